//! The floor: a lower bound for the cost of any server on this machine.
//!
//! One thread, one epoll. One round is one `epoll_wait`. In it, each readable connection costs exactly one read, and
//! each connection with output exactly one write. No UTF-8 is checked, no JSON is parsed and no timer runs. The
//! connection of a peer that violates the protocol is simply closed.

mod connection;
mod polling;
mod socketio;

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use connection::{Connection, Step};
use polling::Sessions;

/// The index of the listener among the connections.
const LISTENER: u64 = u64::MAX;

/// State shared by all connections in one round.
struct Turn {
    /// Responses to the current connection.
    out: Vec<u8>,
    /// Frames for all members of the room, written at the end of the round.
    room: Vec<u8>,
    members: Vec<u64>,
    sessions: Sessions,
    /// Responses to other connections: the polls that wait.
    elsewhere: Vec<(u64, Vec<u8>)>,
}

/// Serves until an error occurs.
pub fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut turn = Turn {
        out: Vec::new(),
        room: Vec::new(),
        members: Vec::new(),
        sessions: Sessions::default(),
        elsewhere: Vec::new(),
    };
    let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 1024];
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let ready = match epoll::wait(&epoll, &mut events, None) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in &events[..ready] {
            let (flags, place) = (event.flags, event.data.u64());
            if place == LISTENER {
                accept(&listener, &epoll, &mut connections, &mut free)?;
                continue;
            }
            let slot = &mut connections[place as usize];
            let Some(connection) = slot else { continue };
            let mut step = Step::Go;
            if flags.contains(EventFlags::OUT) {
                step = connection.flush();
            }
            if step == Step::Go && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                step = connection.read(place, &mut buffer, &mut turn);
                if step == Step::Go && !turn.out.is_empty() {
                    step = connection.write(&turn.out);
                }
                turn.out.clear();
            }
            settle(step, place, slot, &epoll, &mut free, &mut turn)?;
        }
        for (place, bytes) in std::mem::take(&mut turn.elsewhere) {
            let slot = &mut connections[place as usize];
            let Some(connection) = slot else { continue };
            let step = connection.write(&bytes);
            settle(step, place, slot, &epoll, &mut free, &mut turn)?;
        }
        if !turn.room.is_empty() {
            let room = std::mem::take(&mut turn.room);
            let members = turn.members.clone();
            for place in members {
                let slot = &mut connections[place as usize];
                let Some(connection) = slot else { continue };
                let step = connection.write(&room);
                settle(step, place, slot, &epoll, &mut free, &mut turn)?;
            }
            turn.room = room;
            turn.room.clear();
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    // Accept one connection per round. The listener stays ready while others wait.
    let Ok((stream, _)) = listener.accept() else { return Ok(()) };
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let place = free.pop().unwrap_or_else(|| {
        connections.push(None);
        connections.len() - 1
    });
    epoll::add(epoll, stream.as_fd(), EventData::new_u64(place as u64), EventFlags::IN)?;
    connections[place] = Some(Connection::new(stream));
    Ok(())
}

/// The result of a read or write: continue, close, or wait until the socket is writable.
fn settle(
    step: Step,
    place: u64,
    slot: &mut Option<Connection>,
    epoll: &OwnedFd,
    free: &mut Vec<usize>,
    turn: &mut Turn,
) -> Result<()> {
    let Some(connection) = slot else { return Ok(()) };
    if step == Step::End {
        if connection.is_member() {
            turn.members.retain(|&member| member != place);
        }
        // Closing the socket removes it from the epoll.
        *slot = None;
        free.push(place as usize);
        return Ok(());
    }
    if let Some(waits) = connection.interest_changed() {
        let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        epoll::modify(epoll, connection.fd(), EventData::new_u64(place), flags)?;
    }
    Ok(())
}
