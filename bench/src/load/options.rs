//! The workload to run and its target.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::wire::http::BROWSER_OFFER;

/// The protocol of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// An echo of WebSocket messages, on `/ws`.
    Raw,
    /// Socket.IO over WebSocket: the events `echo`, `ack`, `join` and `broadcast`.
    SocketIo,
}

/// The permessage-deflate offer of the clients, if it differs from the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The offer of a browser, to a server that declines.
    Off,
    /// Each message is compressed independently, in both directions.
    Deflate,
    /// The offer of a browser. The server's messages may refer to earlier ones (context takeover).
    Takeover,
}

/// The work of the clients. `size` is the size of the payload in bytes, without the bytes of any protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Closed loop: each connection keeps `in_flight` messages in flight. With `acks` the messages are acknowledged
    /// instead of echoed.
    Echo { connections: usize, in_flight: usize, size: usize, acks: bool, compression: Compression },
    /// Open loop: `rate` messages per second, sent over all connections in turn, whether or not responses arrive.
    Paced { connections: usize, rate: u32, size: usize },
    /// One member of a room keeps `in_flight` broadcasts to all its members in flight. Without Socket.IO the room
    /// contains all connections.
    Broadcast { connections: usize, in_flight: usize, size: usize, compression: Compression },
    /// One event per second to a room of `members`, while `connections` others echo `size` bytes one at a time.
    Burst { connections: usize, size: usize, members: usize },
    /// Closed loop over long-polling, one message in flight.
    Polling { connections: usize, size: usize },
    /// Sessions that begin with polling and upgrade to WebSocket.
    Upgrade { connections: usize },
    /// Idle connections, and their memory after several kinds of activity.
    Idle { connections: usize },
    /// `Echo` of raw text that measures the client.
    ClientEcho { connections: usize, in_flight: usize, size: usize },
    /// `echoing` connections echo one message at a time, while each of `attackers` connections sends messages of lists, one
    /// after the other.
    Attack { shape: Shape, attackers: usize, echoing: usize, size: usize },
    /// The same, while one of `members` members of a room sends tiny events to all of them.
    LargeRoom { members: usize, echoing: usize, size: usize },
}

/// The message of an attacker, of 0.96 MB: less than the 1 MB that servers accept by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 4,000 times a list in a list in a list, 120 deep. JSON parsers accept that depth.
    Nested,
    /// 160,000 lists of one number.
    Lists,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Nested => "nested",
            Self::Lists => "lists",
        }
    }
}

/// The duration, or the number of messages.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    Time(Duration),
    /// A number of messages without warm-up, for instruments that count a whole run.
    Messages(u64),
}

#[derive(Debug, Clone)]
pub struct Options {
    pub address: SocketAddr,
    /// The process of the server.
    pub process: u32,
    pub protocol: Protocol,
    pub workload: Workload,
    pub extent: Extent,
}

impl Protocol {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "socket.io" => Ok(Self::SocketIo),
            _ => bail!("{name:?} is no protocol; there are raw and socket.io"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::SocketIo => "socket.io",
        }
    }
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Deflate => "deflate",
            Self::Takeover => "takeover",
        }
    }

    fn behind(self, kind: &str) -> String {
        if self == Self::Off { kind.to_owned() } else { format!("{kind}-{}", self.name()) }
    }

    /// Returns the value of `Sec-WebSocket-Extensions`.
    pub fn offer(self) -> &'static str {
        match self {
            Self::Off | Self::Takeover => BROWSER_OFFER,
            Self::Deflate => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        }
    }
}

impl Workload {
    /// Parses a name as returned by [`name`](Self::name): `echo-c100-k1-s32`.
    pub fn named(name: &str) -> Result<Self> {
        let of_clients = name.strip_prefix("client-");
        let mut parts = of_clients.unwrap_or(name).split('-');
        let kind = parts.next().unwrap_or_default();
        let (mut connections, mut in_flight, mut size, mut rate, mut members, mut echoing) =
            (0, 1, 0, 0, 0, 0);
        let (mut compression, mut shape) = (Compression::Off, Shape::Nested);
        for part in parts {
            let named =
                [Compression::Deflate, Compression::Takeover].into_iter().find(|kind| kind.name() == part);
            if let Some(named) = named {
                compression = named;
                continue;
            }
            if let Some(named) = [Shape::Nested, Shape::Lists].into_iter().find(|shape| shape.name() == part)
            {
                shape = named;
                continue;
            }
            if part == "room" {
                continue;
            }
            let (field, number) = part.split_at_checked(1).context("an empty part in the workload")?;
            let number: usize = number.parse().with_context(|| format!("{part:?} has no number"))?;
            match field {
                "c" => connections = number,
                "k" => in_flight = number,
                "s" => size = number,
                "r" => rate = number.try_into()?,
                "n" => members = number,
                "e" => echoing = number,
                _ => bail!("{part:?} is neither c, k, s, r, n nor e"),
            }
        }
        ensure!(connections > 0, "{name:?} has no connections");
        Ok(match kind {
            "echo" if of_clients.is_some() => Self::ClientEcho { connections, in_flight, size },
            _ if of_clients.is_some() => bail!("{name:?} is no workload of clients"),
            "echo" | "ack" => Self::Echo { connections, in_flight, size, acks: kind == "ack", compression },
            "paced" => Self::Paced { connections, rate, size },
            "broadcast" => Self::Broadcast { connections, in_flight, size, compression },
            "burst" => Self::Burst { connections, size, members },
            "polling" => Self::Polling { connections, size },
            "upgrade" => Self::Upgrade { connections },
            "idle" => Self::Idle { connections },
            "attack" => Self::Attack { shape, attackers: connections, echoing, size },
            "large" => Self::LargeRoom { members: connections, echoing, size },
            _ => bail!("{kind:?} is no workload"),
        })
    }

    pub fn name(self) -> String {
        match self {
            Self::Echo { connections, in_flight, size, acks, compression } => {
                let kind = if acks { "ack" } else { "echo" };
                format!("{}-c{connections}-k{in_flight}-s{size}", compression.behind(kind))
            }
            Self::Paced { connections, rate, size } => format!("paced-c{connections}-r{rate}-s{size}"),
            Self::Broadcast { connections, in_flight, size, compression } => {
                format!("{}-c{connections}-k{in_flight}-s{size}", compression.behind("broadcast"))
            }
            Self::Burst { connections, size, members } => format!("burst-c{connections}-s{size}-n{members}"),
            Self::Polling { connections, size } => format!("polling-c{connections}-s{size}"),
            Self::Upgrade { connections } => format!("upgrade-c{connections}"),
            Self::Idle { connections } => format!("idle-c{connections}"),
            Self::ClientEcho { connections, in_flight, size } => {
                format!("client-echo-c{connections}-k{in_flight}-s{size}")
            }
            Self::Attack { shape, attackers, echoing, size } => {
                format!("attack-{}-c{attackers}-e{echoing}-s{size}", shape.name())
            }
            Self::LargeRoom { members, echoing, size } => {
                format!("large-room-c{members}-e{echoing}-s{size}")
            }
        }
    }

    pub fn compression(self) -> Compression {
        match self {
            Self::Echo { compression, .. } | Self::Broadcast { compression, .. } => compression,
            Self::Paced { .. }
            | Self::Burst { .. }
            | Self::Polling { .. }
            | Self::Upgrade { .. }
            | Self::Idle { .. }
            | Self::ClientEcho { .. }
            | Self::Attack { .. }
            | Self::LargeRoom { .. } => Compression::Off,
        }
    }
}

impl Options {
    /// `ADDRESS PROCESS PROTOCOL WORKLOAD (SECONDS | MESSAGESm)`.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let [address, process, protocol, workload, extent] = arguments else {
            bail!("usage: load ADDRESS PROCESS raw|socket.io WORKLOAD SECONDS|MESSAGESm");
        };
        Ok(Self {
            address: address.parse().context("the address")?,
            process: process.parse().context("the process")?,
            protocol: Protocol::named(protocol)?,
            workload: Workload::named(workload)?,
            extent: match extent.strip_suffix('m') {
                Some(messages) => Extent::Messages(messages.parse().context("the messages")?),
                None => Extent::Time(Duration::from_secs_f64(extent.parse().context("the seconds")?)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_reads_what_it_writes() {
        for name in [
            "echo-c100-k1-s32",
            "echo-deflate-c100-k1-s1024",
            "echo-takeover-c100-k1-s1024",
            "ack-c500-k8-s32",
            "paced-c500-r4000-s128",
            "broadcast-c1000-k4-s128",
            "broadcast-deflate-c1000-k1-s1024",
            "burst-c100-s32-n10000",
            "polling-c100-s32",
            "upgrade-c500",
            "idle-c10000",
            "client-echo-c100-k8-s32",
            "attack-nested-c2-e1-s32",
            "attack-lists-c2-e1-s32",
            "large-room-c5000-e10-s32",
        ] {
            assert_eq!(Workload::named(name).unwrap().name(), name);
        }
    }
}
