//! The connections of a run: opened with an ordinary handshake, then served from one epoll.
//!
//! Each round of the event loop costs every ready connection one read and at most one write, as in the floor server.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read, write};

use super::deflate::{Agreement, Inflater};
use super::options::{Compression, Protocol};
use super::script::frame;
use crate::wire::{http, websocket};

/// The number of concurrent handshakes, less than the listen backlog of every server.
const OPENING: usize = 64;
/// The timeout for any response of a server.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Handles the messages that arrive for a workload.
pub(super) trait Conversation {
    /// Handles a message for one connection. The bytes appended to `out` are sent in the same round.
    fn on_message(&mut self, connection: usize, payload: &[u8], out: &mut Vec<u8>);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the response to the handshake,
    Upgrading,
    /// then the Engine.IO packet `open`,
    Opening,
    /// then the Socket.IO packet `connect`.
    Connecting,
    Ready,
    Gone,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    phase: Phase,
    /// Incomplete input at the end of a read.
    unread: Vec<u8>,
    /// Output that the socket did not accept.
    unwritten: Vec<u8>,
}

/// The connections, by number from 0.
pub(super) struct Fleet {
    epoll: OwnedFd,
    address: SocketAddr,
    protocol: Protocol,
    members: Vec<Member>,
    ready: usize,
    gone: usize,
    events: Vec<Event>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// The compression that the server has agreed to, if it was requested.
    agreement: Option<Agreement>,
    inflater: Option<Inflater>,
    /// The number of bytes of all responses, as received and as inflated.
    traffic: (u64, u64),
}

/// The options of the connections of a fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) path: &'static str,
    pub(super) compression: Compression,
    /// Many connections get the same response.
    pub(super) repeats: bool,
}

impl Asked {
    pub(super) fn of(protocol: Protocol) -> Self {
        let path = match protocol {
            Protocol::Raw => "/ws",
            Protocol::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        };
        Self { path, compression: Compression::Off, repeats: false }
    }
}

impl Fleet {
    /// Opens `count` connections and completes their handshakes.
    pub(super) fn open(address: SocketAddr, protocol: Protocol, count: usize) -> Result<Self> {
        Self::open_and_ask(address, protocol, count, Asked::of(protocol))
    }

    /// Opens `count` connections with the given options and completes their handshakes.
    pub(super) fn open_and_ask(
        address: SocketAddr,
        protocol: Protocol,
        count: usize,
        asked: Asked,
    ) -> Result<Self> {
        let mut fleet = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            address,
            protocol,
            members: Vec::with_capacity(count),
            ready: 0,
            gone: 0,
            events: vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 1024],
            buffer: vec![0; 256 * 1024],
            out: Vec::new(),
            agreement: None,
            inflater: None,
            traffic: (0, 0),
        };
        let request = http::upgrade_request(asked.path, asked.compression.offer());
        let mut last_progress = Instant::now();
        while fleet.ready < count {
            while fleet.members.len() < count && fleet.members.len() - fleet.ready < OPENING {
                fleet.add(&request)?;
            }
            let before = fleet.ready;
            fleet.turn(Some(Duration::from_secs(1)), &mut Silence)?;
            ensure!(fleet.gone == 0, "the server has closed a connection during its handshake");
            if fleet.ready > before {
                last_progress = Instant::now();
            }
            ensure!(last_progress.elapsed() < RESPONSE_TIMEOUT, "a handshake was not answered");
        }
        let wanted = asked.compression != Compression::Off;
        ensure!(wanted || fleet.agreement.is_none(), "a server without compression was asked for");
        if let Some(agreement) = &fleet.agreement {
            fleet.inflater = Some(Inflater::new(agreement, count, asked.repeats));
        }
        Ok(fleet)
    }

    /// Handles at most that number of connections in each turn.
    pub(super) fn handle_few_at_once(&mut self, few: usize) {
        self.events.truncate(few);
    }

    /// Returns a descriptor that is readable if a turn has something to do.
    pub(super) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    /// Returns the compression that the server has agreed to.
    pub(super) fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// Returns the number of inflated bytes for each received byte.
    pub(super) fn ratio(&self) -> f64 {
        let (came, inflated) = self.traffic;
        inflated as f64 / came.max(1) as f64
    }

    fn add(&mut self, request: &[u8]) -> Result<()> {
        let stream = TcpStream::connect(self.address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let place = self.members.len();
        epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        self.members.push(Member {
            stream,
            phase: Phase::Upgrading,
            unread: Vec::new(),
            unwritten: Vec::new(),
        });
        self.send(place, request)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the number of connections that the server has closed.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    /// Waits for events, with a timeout, and handles all of them.
    pub(super) fn turn(
        &mut self,
        timeout: Option<Duration>,
        conversation: &mut impl Conversation,
    ) -> Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = std::mem::take(&mut self.events);
        let ready = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in &events[..ready] {
            let (flags, place) = (event.flags, event.data.u64() as usize);
            if flags.contains(EventFlags::OUT) {
                self.flush(place)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.receive(place, conversation)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn receive(&mut self, place: usize, conversation: &mut impl Conversation) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut out = std::mem::take(&mut self.out);
        let member = &mut self.members[place];
        let outcome = match read(&member.stream, &mut buffer[..]) {
            Ok(0) => Err(None),
            Ok(count) => self.take_in(place, &buffer[..count], conversation, &mut out).map_err(Some),
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(None),
        };
        self.buffer = buffer;
        match outcome {
            Ok(()) if !out.is_empty() => self.send(place, &out)?,
            Ok(()) => {}
            Err(None) => self.lose(place),
            Err(Some(error)) => return Err(error),
        }
        out.clear();
        self.out = out;
        Ok(())
    }

    fn lose(&mut self, place: usize) {
        let member = &mut self.members[place];
        if member.phase != Phase::Gone {
            member.phase = Phase::Gone;
            // The error means that the descriptor does not exist any more.
            let _ = epoll::delete(&self.epoll, &member.stream);
            self.gone += 1;
        }
    }

    fn take_in(
        &mut self,
        place: usize,
        bytes: &[u8],
        conversation: &mut impl Conversation,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut unread = std::mem::take(&mut self.members[place].unread);
        if unread.is_empty() {
            let used = self.parse(place, bytes, conversation, out)?;
            self.members[place].unread = bytes[used..].to_vec();
        } else {
            unread.extend_from_slice(bytes);
            let used = self.parse(place, &unread, conversation, out)?;
            unread.drain(..used);
            self.members[place].unread = unread;
        }
        Ok(())
    }

    /// Handles all complete frames in `bytes`. Returns their length in bytes.
    fn parse(
        &mut self,
        place: usize,
        bytes: &[u8],
        conversation: &mut impl Conversation,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let mut used = 0;
        if self.members[place].phase == Phase::Upgrading {
            let Some(end) = http::head_end(bytes) else { return Ok(0) };
            http::check_upgrade(&bytes[..end])?;
            self.agreement = Agreement::of(http::value(&bytes[..end], "sec-websocket-extensions"))?;
            used = end;
            self.advance(place, if self.protocol == Protocol::Raw { Phase::Ready } else { Phase::Opening });
        }
        while let Some(found) = websocket::header(&bytes[used..]) {
            let Some(payload) = bytes.get(used + found.start..used + found.end) else { break };
            used += found.end;
            ensure!(found.mask.is_none(), "the server has sent a masked frame");
            match found.first {
                websocket::TEXT => {
                    self.traffic.0 += payload.len() as u64;
                    self.traffic.1 += payload.len() as u64;
                    self.on_text(place, payload, conversation, out)?;
                }
                websocket::COMPRESSED_TEXT => {
                    let mut inflater = self.inflater.take().context("compression was not agreed on")?;
                    let text = inflater.inflate(place, payload)?;
                    self.traffic.0 += payload.len() as u64;
                    self.traffic.1 += text.len() as u64;
                    self.on_text(place, text, conversation, out)?;
                    self.inflater = Some(inflater);
                }
                websocket::PING => websocket::put_client_frame(out, websocket::PONG, payload),
                websocket::CLOSE => {
                    self.lose(place);
                    break;
                }
                first => bail!("the server has sent a frame that begins with {first:#x}"),
            }
        }
        Ok(used)
    }

    #[inline]
    fn on_text(
        &mut self,
        place: usize,
        payload: &[u8],
        conversation: &mut impl Conversation,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let speaks_engine = self.protocol == Protocol::SocketIo;
        match self.members[place].phase {
            // Some servers send their first ping at once.
            _ if speaks_engine && payload == b"2" => out.extend_from_slice(&frame(b"3")),
            Phase::Ready => conversation.on_message(place, payload, out),
            Phase::Opening => {
                ensure!(payload.starts_with(b"0{"), "no open: {}", String::from_utf8_lossy(payload));
                out.extend_from_slice(&frame(b"40"));
                self.advance(place, Phase::Connecting);
            }
            Phase::Connecting => {
                ensure!(payload.starts_with(b"40{"), "no connect: {}", String::from_utf8_lossy(payload));
                self.advance(place, Phase::Ready);
            }
            Phase::Upgrading | Phase::Gone => {}
        }
        Ok(())
    }

    fn advance(&mut self, place: usize, phase: Phase) {
        self.members[place].phase = phase;
        if phase == Phase::Ready {
            self.ready += 1;
        }
    }

    /// Writes at once. Bytes that the socket does not accept are sent as soon as it does.
    pub(super) fn send(&mut self, place: usize, bytes: &[u8]) -> Result<()> {
        let member = &mut self.members[place];
        if !member.unwritten.is_empty() {
            member.unwritten.extend_from_slice(bytes);
            return Ok(());
        }
        let written = match write(&member.stream, bytes) {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                self.lose(place);
                return Ok(());
            }
        };
        if written < bytes.len() {
            member.unwritten.extend_from_slice(&bytes[written..]);
            let flags = EventFlags::IN | EventFlags::OUT;
            epoll::modify(&self.epoll, &member.stream, EventData::new_u64(place as u64), flags)?;
        }
        Ok(())
    }

    fn flush(&mut self, place: usize) -> Result<()> {
        let member = &mut self.members[place];
        match write(&member.stream, &member.unwritten) {
            Ok(written) => drop(member.unwritten.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.lose(place);
                return Ok(());
            }
        }
        if member.unwritten.is_empty() {
            epoll::modify(&self.epoll, &member.stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        }
        Ok(())
    }
}

/// No messages are expected yet.
pub(super) struct Silence;

impl Conversation for Silence {
    fn on_message(&mut self, _: usize, _: &[u8], _: &mut Vec<u8>) {}
}
