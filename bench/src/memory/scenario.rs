//! What the clients do before they leave.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use super::clients::{Polling, WebSocket};
use crate::wire::websocket;

/// The bytes of each client that the server keeps: received, or queued.
const EACH: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
pub(super) enum Scenario {
    /// They connect over WebSocket and do nothing.
    Idle,
    /// They send the first 64 KiB of a message.
    Received,
    /// Over long-polling, they cause 64 events of 1 KiB, and do not poll.
    Queued,
    /// Two of them send messages of nested arrays, each of which becomes a tree.
    Nested,
}

/// The clients, which stay until they leave.
#[derive(Debug)]
pub(super) enum Clients {
    WebSockets(Vec<WebSocket>),
    Sessions(Vec<Polling>),
}

impl Scenario {
    pub(super) const ALL: [Self; 4] = [Self::Idle, Self::Received, Self::Queued, Self::Nested];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Received => "64 KiB received of each",
            Self::Queued => "64 KiB queued for each",
            Self::Nested => "two that send nested JSON",
        }
    }

    /// Connects the clients, and fills the memory of the server.
    pub(super) fn fill(self, server: SocketAddr, connections: usize) -> Result<Clients> {
        match self {
            Self::Idle => Ok(Clients::WebSockets(connect(server, connections)?)),
            Self::Received => {
                let mut clients = connect(server, connections)?;
                let mut start = Vec::new();
                websocket::put_header(&mut start, websocket::TEXT, EACH + 1, Some(websocket::KEY));
                let mut text = vec![b'x'; EACH];
                websocket::apply_mask(&mut text, websocket::KEY);
                start.extend(text);
                clients.iter_mut().try_for_each(|client| client.write(&start))?;
                Ok(Clients::WebSockets(clients))
            }
            Self::Queued => queue(server, connections).map(Clients::Sessions),
            Self::Nested => nest(server).map(Clients::WebSockets),
        }
    }
}

impl Clients {
    /// Closes all connections, and ends the sessions. The server may have closed idle connections before.
    pub(super) fn leave(self) {
        match self {
            Self::WebSockets(clients) => drop(clients),
            Self::Sessions(mut sessions) => {
                for session in &mut sessions {
                    drop(session.request_post("1"));
                }
                for session in &mut sessions {
                    drop(session.response());
                }
            }
        }
    }
}

/// Connects to the main namespace. All clients do each step at once.
fn connect(server: SocketAddr, connections: usize) -> Result<Vec<WebSocket>> {
    let mut clients = (0..connections).map(|_| WebSocket::begin(server)).collect::<Result<Vec<_>>>()?;
    clients.iter_mut().try_for_each(WebSocket::join)?;
    clients.iter_mut().try_for_each(|client| client.expect("40{"))?;
    Ok(clients)
}

fn queue(server: SocketAddr, connections: usize) -> Result<Vec<Polling>> {
    let mut sessions = (0..connections).map(|_| Polling::begin(server)).collect::<Result<Vec<_>>>()?;
    sessions.iter_mut().try_for_each(Polling::open)?;
    post(&mut sessions, "40")?;
    sessions.iter_mut().try_for_each(Polling::request_get)?;
    for session in &mut sessions {
        let connected = session.response()?;
        ensure!(connected.starts_with("40{"), "{connected}");
    }
    // Each event is echoed.
    let event = format!(r#"42["message","{}"]"#, "x".repeat(1024));
    post(&mut sessions, &vec![event; EACH / 1024].join("\u{1e}"))?;
    Ok(sessions)
}

fn post(sessions: &mut [Polling], body: &str) -> Result<()> {
    sessions.iter_mut().try_for_each(|session| session.request_post(body))?;
    for session in sessions {
        let response = session.response()?;
        ensure!(response == "ok", "{response}");
    }
    Ok(())
}

/// Sends forty messages of 0.96 MB with 4,000 arrays, each 120 levels deep, to a room in which nobody else is.
fn nest(server: SocketAddr) -> Result<Vec<WebSocket>> {
    let mut clients = connect(server, 2)?;
    let array = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let arrays = vec![array; 4_000].join(",");
    for number in 0..20 {
        for client in &mut clients {
            client.send(&format!(r#"42{number}["message",{{"room":"empty","message":[{arrays}]}}]"#))?;
        }
    }
    for number in 0..20 {
        for client in &mut clients {
            client.expect(&format!("43{number}["))?;
        }
    }
    Ok(clients)
}
