//! Connection state recovery: what an adapter keeps of a client that has lost its connection.
//!
//! The rules are those of [`Recovery`]. [`RecoveryState`] is the state machine behind the adapters of this crate: the log
//! of a namespace, its sessions, and the order in which things happen to them. It gets the time and the random bytes as
//! arguments.

mod assigned;
mod budget;
mod candidates;
mod last_sent;
mod log;
mod memberships;
mod offset;
mod private_log;
mod room_positions;
mod sessions;
mod state;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{Arguments, SocketId};
use ws_proto::Time;

use crate::limits::JoinError;
use crate::local_socket::LocalSocket;
use crate::room::Room;
pub use budget::RecoveryBudget;
pub(crate) use state::{RecoveryState, is_logged};

/// The part of an [`Adapter`](crate::Adapter) that keeps sessions and a log of events. A client that reconnects in time
/// then gets its rooms, its data and the events that it has missed.
///
/// # The log
///
/// The adapter gives each event that it logs an offset, and appends it to the event as its last argument. The client
/// sends the offset of the last event that it has received. Logged are the events of
/// [`Adapter::broadcast`](crate::Adapter::broadcast) whose policy is [`DeliveryPolicy::Queue`](crate::DeliveryPolicy) and
/// that are not [`local`](crate::BroadcastOptions::local). A client takes any text at the end of an event for an offset.
/// So if the last argument of another event is text, the adapter appends the current offset to it, or null if the event may
/// overtake others ([`KeepLatest`](crate::DeliveryPolicy::KeepLatest)).
///
/// All of this has one order, that of the log: an event gets its offset, is delivered to all its receivers, and only then
/// the next one gets its own. Sockets join and leave rooms, connect and disconnect at one place in that order. A session has
/// missed exactly those logged events after the offset of its client that its socket would have received.
///
/// # The steps
///
/// A client recovers in two steps. First the server *claims* the session. In a cluster, this moves the session to this
/// server; otherwise it changes nothing. Then the middlewares decide about the client, and the server *resumes* the session
/// or drops it. So a client that a middleware refuses has received no event.
///
/// A client that has received the last event that its socket was sent has missed only what came after the disconnect. Its
/// offset may then be older than the log.
///
/// If anything that the client has missed is not known any more, the session is refused with a [`ClaimError`], and the
/// client connects as a new one. It never gets a part.
///
/// An adapter may call the functions that it gets at once, or later and on another thread. It holds no lock then.
pub trait Recovery: Send + Sync {
    /// Adds a socket like [`Adapter::insert`](crate::Adapter::insert), with a new session. `pid` is its private id, a
    /// secret of the client. The adapter calls [`LocalSocket::accept`] at the place of the socket in the order of the log.
    fn begin(&self, pid: &str, socket: Arc<dyn LocalSocket>);

    /// Removes a socket like [`Adapter::del_all`](crate::Adapter::del_all), and keeps its session: its rooms, its
    /// [data](LocalSocket::session_data) and its place in the log. `generation` is the number that
    /// [`LocalSocket::accept`] got. If the session has another one by now, this does nothing, because another socket of
    /// the client has taken it over.
    fn suspend(&self, socket: &dyn LocalSocket, generation: u64, now: Time);

    /// Finds the session of a client. `offset` is the offset of the last event that the client has received, if any. A
    /// session that is here and can never be recovered ends. If another socket still uses the session, its connection has
    /// ended without notice: [`LocalSocket::evict`] ends it.
    fn claim(&self, pid: &str, offset: Option<&str>, now: Time, then: Claimed);

    /// Adds a socket with a claimed session: puts it into its rooms, and passes the events that it has missed to
    /// [`LocalSocket::accept`], in the order of the log and before any later event. An error means that the socket was not
    /// added and has received nothing.
    fn resume(&self, session: Session, socket: Arc<dyn LocalSocket>, now: Time, then: Resumed);

    /// Returns whether there is a session with this id, of a connected socket or a kept one. An event that is logged for
    /// the room of this id can then still reach the client.
    fn has_session(&self, id: &SocketId) -> bool;

    /// Returns when [`handle_timeout`](Self::handle_timeout) should be called next. `None` if nothing is kept.
    fn poll_timeout(&self) -> Option<Time>;

    /// Drops what was kept long enough. One call drops a limited number of events and sessions, because none can be sent
    /// meanwhile. Returns when it must be called next: a time that has passed if there is more to drop. If it returns `None`,
    /// the adapter will call [`Host::start_recovery_timer`](crate::Host::start_recovery_timer) again.
    fn handle_timeout(&self, now: Time) -> Option<Time>;

    /// Returns what is kept now.
    fn kept(&self) -> KeptForRecovery;
}

/// Is called with the result of [`Recovery::claim`].
pub type Claimed = Box<dyn FnOnce(Result<Session, ClaimError>) + Send>;

/// Is called with the result of [`Recovery::resume`]: the number of missed events that the client gets.
pub type Resumed = Box<dyn FnOnce(Result<usize, ClaimError>) + Send>;

/// The settings of [`Recovery`], for one namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryOptions {
    /// Random bytes, which make the offsets of this process differ from those of others.
    pub random: [u8; 8],
    /// How long a session is kept after its socket was disconnected. Default 2 min.
    pub max_disconnection_duration: Duration,
    /// How long an event stays in the log. It must be longer than the time above: an event may be lost for some time
    /// before the disconnect is noticed. Default 3 min.
    pub max_log_age: Duration,
    /// The maximum size of the log in bytes. At the limit, the oldest events are dropped; it may be exceeded by a half meanwhile,
    /// because one operation drops a limited number. An event that does not fit even then is not kept. Default 16 MiB.
    pub max_log_bytes: usize,
    /// The maximum size of the events in the log that were sent to one socket only, in bytes, for each socket. All of these
    /// events together take at most half of the log. At the limit of one socket, its own oldest events are dropped. At the
    /// common limit, first its own, and then the oldest of all sockets. Default 1 MiB.
    pub max_private_bytes: usize,
    /// The maximum number of sessions that are kept. At the limit, the oldest one is dropped. Default 100,000.
    pub max_sessions: usize,
    /// The maximum size of the sessions that are kept, in bytes. At the limit, the oldest ones are dropped; it may be exceeded by
    /// a half meanwhile, because one operation drops a limited number. Default 64 MiB.
    pub max_session_bytes: usize,
    /// The maximum size of one of these sessions, in bytes. A session that is larger is not kept. Default 1 MiB.
    pub max_bytes_per_session: usize,
    /// The maximum number of rooms that a socket has left and that its session still knows. At the limit, the oldest one
    /// is forgotten, and offsets from before that are refused. Default 64.
    pub max_left_rooms: usize,
    /// The maximum number of events that one client gets again. At most twice as many are
    /// [examined](ClaimError::TooManyToExamine) for it, because no event can be sent meanwhile. Default 10,000.
    pub max_missed_events: usize,
    /// The maximum size of these events in bytes. Default 8 MiB.
    pub max_missed_bytes: usize,
    /// The limits of what this namespace and others keep together. They hold besides `max_log_bytes`, `max_sessions` and
    /// `max_session_bytes`. Default: none.
    pub budget: Option<RecoveryBudget>,
}

impl RecoveryOptions {
    /// Creates options with default values. `random` must be random bytes.
    #[must_use]
    pub fn new(random: [u8; 8]) -> Self {
        Self {
            random,
            max_disconnection_duration: Duration::from_secs(120),
            max_log_age: Duration::from_secs(180),
            max_log_bytes: 16 * 1024 * 1024,
            max_private_bytes: 1024 * 1024,
            max_sessions: 100_000,
            max_session_bytes: 64 * 1024 * 1024,
            max_bytes_per_session: 1024 * 1024,
            max_left_rooms: 64,
            max_missed_events: 10_000,
            max_missed_bytes: 8 * 1024 * 1024,
            budget: None,
        }
    }
}

/// The private id of a session, which only the client and the servers know. With it, a client recovers the session. Its
/// [`Debug`] form does not contain it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateId(Box<str>);

impl PrivateId {
    /// Returns the id as text. It must not appear in a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for PrivateId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PrivateId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PrivateId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Box<str>> for PrivateId {
    fn from(text: Box<str>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for PrivateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateId(..)")
    }
}

/// The session of a client that has lost its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id that the socket had and gets again.
    pub id: SocketId,
    /// The private id.
    pub pid: PrivateId,
    /// The rooms of the socket, without the room of its own id.
    pub rooms: Vec<Room>,
    /// The data of the socket: one value, as JSON and binary values. `None` if the program has set none.
    pub data: Option<Arc<Arguments<'static>>>,
    /// The offset of the last event that the client has received.
    pub offset: Option<Box<str>>,
    /// Which of the sockets of the session was the last one. If another one has had the session since the claim, the rooms
    /// and the data are out of date, and the session cannot be resumed with them.
    pub generation: u64,
}

/// What is kept for recovery, see [`Recovery::kept`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptForRecovery {
    /// The number of events in the log.
    pub events: usize,
    /// Their size in bytes.
    pub event_bytes: usize,
    /// The number of sessions without a socket.
    pub sessions: usize,
    /// Their size in bytes.
    pub session_bytes: usize,
}

/// The reason why a session cannot be recovered. The client then connects as a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimError {
    /// There is no such session: it was never there, it was removed after its time or at a limit, its socket was
    /// disconnected by the client or the program, or another connection of the client has recovered it. Or the connection
    /// has made so many claims in vain that the server does not look for another session.
    UnknownSession,
    /// The session has expired.
    Expired,
    /// The client has sent an offset that no event has had, or only an event after its disconnect.
    InvalidOffset,
    /// The client has not received everything that its socket was sent, and the log does not reach back to its offset. Or the
    /// log does not reach back to the disconnect.
    LogTooShort,
    /// The server had no link to the others, so that events may be missing in the log.
    Gap,
    /// The socket has left so many rooms that it is not known any more which events it has missed.
    RoomsForgotten,
    /// The client has missed more events than it may get at once.
    TooManyMissed,
    /// More events were sent to the rooms of the session than are examined for one client: twice as many as it may get. An
    /// event counts for each of these rooms that it was sent to, and once more for each room that it excludes.
    TooManyToExamine,
    /// Another session on this server has the socket id of this one, so the session stays where it is.
    IdInUse,
    /// This server does not let a socket join so many rooms, or rooms with such names, but the server of the session does.
    RoomsNotAllowed(JoinError),
    /// A server that may have the session did not answer, could not say whether it has it, or has left the cluster.
    ServerUnavailable,
    /// The message bus has not returned what this server had sent before the claim.
    TimedOut,
    /// Too many claims wait: of this connection (`max_pending_claims`), or of this server (`max_claims`).
    TooManyClaims,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownSession => "the session is not known",
            Self::Expired => "the session has expired",
            Self::InvalidOffset => "the offset is not one of this namespace",
            Self::LogTooShort => "the log no longer contains all events after the offset",
            Self::Gap => "the log has a gap after the offset",
            Self::RoomsForgotten => "the rooms of the session at the offset are not known any more",
            Self::TooManyMissed => "the client has missed too many events",
            Self::TooManyToExamine => "too many events were sent to the rooms of the session",
            Self::IdInUse => "another session on this server has the same socket id",
            Self::RoomsNotAllowed(_) => "this server does not allow the rooms of the session",
            Self::ServerUnavailable => "a server that may have the session is not available",
            Self::TimedOut => "the message bus did not return earlier events in time",
            Self::TooManyClaims => "too many claims of sessions are waiting",
        })
    }
}

impl Error for ClaimError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::RoomsNotAllowed(error) => Some(error),
            _ => None,
        }
    }
}

impl ClaimError {
    /// Returns whether the session is here and its client can never recover it.
    pub(crate) fn ends_session(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::InvalidOffset
                | Self::LogTooShort
                | Self::Gap
                | Self::RoomsForgotten
                | Self::TooManyMissed
                | Self::TooManyToExamine
        )
    }
}
