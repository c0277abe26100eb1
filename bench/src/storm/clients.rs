//! A process with clients of Socket.IO over WebSocket. All connect at once, without waiting for each other.

use std::io::BufRead;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read, write};
use rustix::net::sockopt::{set_socket_linger, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::Served;
use crate::wire::{http, websocket};

/// All clients must be served in this time.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time between a failed attempt and the next one.
const RETRY: Duration = Duration::from_millis(500);

/// Runs the clients: `SERVER OWN_ADDRESS CONNECTIONS plain|recovery`. Reads commands until the end of standard input.
pub fn run_clients(arguments: &[String]) -> Result<()> {
    let [server, own, connections, recovery] = arguments else { bail!("four arguments are needed") };
    let mut clients = Clients {
        server: server.parse()?,
        own: SocketAddr::new(own.parse::<IpAddr>()?, 0),
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        members: (0..connections.parse()?).map(|_| Member::default()).collect(),
        recovery: recovery == "recovery",
        served: Served::default(),
        started: Instant::now(),
    };
    for command in std::io::stdin().lock().lines() {
        match &*command? {
            "connect" => println!("{}", serde_json::to_string(&clients.connect_all()?)?),
            "cut" => {
                clients.cut()?;
                println!("cut");
            }
            command => bail!("{command:?} is no command"),
        }
    }
    Ok(())
}

struct Clients {
    server: SocketAddr,
    own: SocketAddr,
    epoll: OwnedFd,
    members: Vec<Member>,
    recovery: bool,
    served: Served,
    started: Instant,
}

#[derive(Debug, Default)]
struct Member {
    stream: Option<OwnedFd>,
    phase: Phase,
    unread: Vec<u8>,
    /// The secret id with which the session may be recovered, and the offset of the last event.
    session: Option<(String, String)>,
    /// The id of the socket.
    id: String,
    retry_at: Option<Instant>,
}

/// What the client waits for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Connection,
    Upgrade,
    Open,
    Connect,
    Echo,
    Served,
}

impl Clients {
    /// Connects all clients, and waits until each one has the response to an event.
    fn connect_all(&mut self) -> Result<Served> {
        self.served = Served::default();
        self.started = Instant::now();
        for place in 0..self.members.len() {
            self.begin(place)?;
        }
        let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 1024];
        let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while self.served.waits.len() < self.members.len() {
            let served = self.served.waits.len();
            ensure!(
                self.started.elapsed() < RESPONSE_TIMEOUT,
                "only {served} clients were served in {RESPONSE_TIMEOUT:?}"
            );
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&tick)) {
                Ok(ready) => ready,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error).context("epoll_wait"),
            };
            for event in &events[..ready] {
                self.handle(event.data.u64() as usize, event.flags)?;
            }
            self.retry()?;
        }
        Ok(std::mem::take(&mut self.served))
    }

    /// Cuts all connections, as a proxy that fails does: with a reset.
    fn cut(&mut self) -> Result<()> {
        for member in &mut self.members {
            if let Some(stream) = member.stream.take() {
                set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, place: usize) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&stream, true)?;
        bind(&stream, &self.own).context("no port is left")?;
        match connect(&stream, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).context("cannot connect"),
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), flags)?;
        let member = &mut self.members[place];
        (member.stream, member.phase, member.retry_at) = (Some(stream), Phase::Connection, None);
        member.unread.clear();
        Ok(())
    }

    fn retry(&mut self) -> Result<()> {
        let now = Instant::now();
        for place in 0..self.members.len() {
            if self.members[place].retry_at.is_some_and(|at| at <= now) {
                self.begin(place)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.stream = None;
        member.retry_at = Some(Instant::now() + RETRY);
        self.served.failures += 1;
    }

    fn handle(&mut self, place: usize, flags: EventFlags) -> Result<()> {
        let member = &mut self.members[place];
        let Some(stream) = &member.stream else { return Ok(()) };
        if member.phase == Phase::Connection && flags.contains(EventFlags::OUT) {
            if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                self.fail(place);
                return Ok(());
            }
            member.phase = Phase::Upgrade;
            let path = "/socket.io/?EIO=4&transport=websocket";
            return self.send(place, &http::upgrade_request(path, http::BROWSER_OFFER));
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match read(stream, &mut buffer[..]) {
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => {
                    ensure!(member.phase != Phase::Served, "the server has closed a connection");
                    self.fail(place);
                    return Ok(());
                }
                Ok(count) => count,
            };
            member.unread.extend_from_slice(&buffer[..count]);
        }
        self.parse(place)
    }

    fn parse(&mut self, place: usize) -> Result<()> {
        let unread = std::mem::take(&mut self.members[place].unread);
        let mut used = 0;
        if self.members[place].phase == Phase::Upgrade {
            let Some(end) = http::head_end(&unread) else {
                self.members[place].unread = unread;
                return Ok(());
            };
            if http::check_upgrade(&unread[..end]).is_err() {
                // Refused: too many at once.
                self.fail(place);
                return Ok(());
            }
            used = end;
            self.members[place].phase = Phase::Open;
        }
        while let Some(found) = websocket::header(&unread[used..]) {
            let Some(payload) = unread.get(used + found.start..used + found.end) else { break };
            used += found.end;
            ensure!(found.first == websocket::TEXT, "the server has sent a frame with {:#x}", found.first);
            self.on_packet(place, std::str::from_utf8(payload)?)?;
        }
        if self.members[place].stream.is_some() {
            self.members[place].unread = unread[used..].to_vec();
        }
        Ok(())
    }

    fn on_packet(&mut self, place: usize, packet: &str) -> Result<()> {
        if packet == "2" {
            return self.send_text(place, "3");
        }
        let member = &mut self.members[place];
        match member.phase {
            Phase::Open => {
                ensure!(packet.starts_with("0{"), "no open: {packet}");
                member.phase = Phase::Connect;
                let connect = match &member.session {
                    Some((session, offset)) if self.recovery => {
                        format!("40{}", serde_json::json!({ "pid": session, "offset": offset }))
                    }
                    _ => "40".to_owned(),
                };
                self.send_text(place, &connect)
            }
            Phase::Connect => {
                ensure!(packet.starts_with("40{"), "no connect: {packet}");
                let response: serde_json::Value = serde_json::from_str(&packet[2..])?;
                let text = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
                let id = text("sid");
                self.served.recovered += usize::from(member.id == id);
                member.id = id;
                member.session = Some((text("pid"), String::new()));
                member.phase = Phase::Echo;
                self.send_text(place, &format!(r#"42["echo","from {place}"]"#))
            }
            Phase::Echo => {
                let response: serde_json::Value = serde_json::from_str(packet.trim_start_matches("42"))?;
                let is_right = response[0] == "echo" && response[1] == format!("from {place}");
                self.served.wrong += usize::from(!is_right);
                // The server appends the offset of the event, if it keeps a log.
                if let (Some((_, offset)), Some(last)) = (&mut member.session, response[2].as_str()) {
                    last.clone_into(offset);
                }
                member.phase = Phase::Served;
                self.served.waits.push(self.started.elapsed().as_secs_f64() * 1_000.0);
                Ok(())
            }
            phase => bail!("{packet:?} arrived in phase {phase:?}"),
        }
    }

    fn send_text(&mut self, place: usize, text: &str) -> Result<()> {
        let mut out = Vec::new();
        websocket::put_client_frame(&mut out, websocket::TEXT, text.as_bytes());
        self.send(place, &out)
    }

    /// Writes less than any socket buffer holds.
    fn send(&mut self, place: usize, bytes: &[u8]) -> Result<()> {
        let Some(stream) = &self.members[place].stream else { return Ok(()) };
        match write(stream, bytes) {
            Ok(written) => {
                ensure!(written == bytes.len(), "a socket accepts only {written} bytes");
                Ok(())
            }
            Err(Errno::AGAIN) => bail!("a socket accepts nothing"),
            Err(_) => {
                self.fail(place);
                Ok(())
            }
        }
    }
}
