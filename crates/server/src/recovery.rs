//! Connection state recovery: its settings, and what a namespace and a socket have to do with it.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use adapter::{Adapter, ClaimError, Host, RecoveryBudget, RecoveryOptions, Session, SocketId};
use engineio::Options;

/// The settings of connection state recovery, see
/// [`Builder::connection_state_recovery`](crate::Builder::connection_state_recovery). The first two have the names and
/// defaults of Node. Each limit names what it protects against.
///
/// # All namespaces together
///
/// `max_log_bytes`, `max_sessions` and `max_session_bytes` hold for all namespaces of the server together and are never exceeded,
/// however many namespaces clients create. One namespace keeps at most half of what the others leave: half of the limit if it is
/// alone, and an equal share of what these namespaces may have if several keep all they can. A namespace that has more, because
/// others have come, drops its own oldest entries within ten seconds. It never loses to others what is less than half of an
/// equal share.
///
/// The namespaces that clients create ([`Server::of_pattern`](crate::Server::of_pattern),
/// [`of_predicate`](crate::Server::of_predicate)) have at most half of each limit together. So they cannot take everything from
/// those that the program creates.
///
/// ```
/// use std::time::Duration;
/// use tidewire_server::{ConnectionStateRecovery, Server};
///
/// let io = Server::builder()
///     .connection_state_recovery(ConnectionStateRecovery {
///         max_disconnection_duration: Duration::from_secs(30),
///         ..ConnectionStateRecovery::default()
///     })
///     .build();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStateRecovery {
    /// How long the session of a client is kept after its connection was lost. Default 2 min.
    pub max_disconnection_duration: Duration,
    /// Whether a client that recovers its session passes without the middlewares of the namespace. If `false`, they run
    /// before the client gets anything that it has missed. Default true.
    pub skip_middlewares: bool,
    /// The names of the namespaces whose clients can recover their sessions. `None` for all of them, which is the default.
    /// In the other namespaces, events have no offset, and nothing is kept.
    pub namespaces: Option<Vec<String>>,
    /// The maximum size of the logs of events of [all namespaces](Self#all-namespaces-together), in bytes, with the server's own
    /// memory for each event. At its share, a namespace drops its oldest events. For a short time its log may take more than its
    /// share, because not all are dropped at once. An event that does not fit even then is not kept. A client that has missed it
    /// is not recovered. A client that had received all that it was sent is not recovered if one of them came after its
    /// disconnect. Another client is not recovered if one of them came after the last event that it has received. Protects
    /// against programs that send much within [`max_disconnection_duration`](Self::max_disconnection_duration), and against
    /// clients that create namespaces. Default 32 MiB.
    pub max_log_bytes: usize,
    /// The maximum size of the events in the log that were sent to one socket only, in bytes, for each socket. All of these
    /// events together take at most half of the log. At the limit of one socket, its own oldest events are dropped, so that
    /// only its own client may not be recovered. At the common limit, first its own, and then the oldest of all sockets.
    /// Protects against clients that make the program answer without end, and so would push out the events of the others.
    /// Default 1 MiB.
    pub max_private_bytes: usize,
    /// The maximum number of sessions of [all namespaces](Self#all-namespaces-together) that are kept. At its share, a namespace
    /// drops its oldest one. Protects against clients that connect and disappear again and again. Default 200,000.
    pub max_sessions: usize,
    /// The maximum size of the sessions of [all namespaces](Self#all-namespaces-together) that are kept, in bytes: with the names
    /// of their rooms and the [data](crate::Socket::data) of their sockets. At its share, a namespace drops its oldest ones. For a
    /// short time its sessions may take more than its share, because not all are dropped at once. Protects against the same
    /// clients, if each joins many rooms or has much data. Default 128 MiB.
    pub max_session_bytes: usize,
    /// The maximum size of one of these sessions, in bytes. A session that is larger is not kept when its connection is lost.
    /// Protects the sessions of the others against a client that joins very many rooms or has much data. Default 1 MiB.
    pub max_bytes_per_session: usize,
    /// The maximum number of rooms that a socket has left and that are still remembered, because an event that was sent
    /// before may not have arrived. At the limit, the oldest one is forgotten: if the client has missed events from before
    /// it left that room, it is not recovered. Protects against clients that join and leave rooms again and again.
    /// Default 64.
    pub max_left_rooms: usize,
    /// The maximum number of events that one client gets again. A client that has missed more is not recovered, and neither
    /// is one for which more than twice as many must be [examined](ClaimError::TooManyToExamine). Protects a client against
    /// a flood, and the others of the namespace, which get no event meanwhile. Default 10,000.
    pub max_missed_events: usize,
    /// The maximum size of the events that one client gets again, in bytes. A client that has missed more is not recovered.
    /// If [`max_write_buffer_size`](crate::Builder::max_write_buffer_size) is less, that is the limit. Default 8 MiB.
    pub max_missed_bytes: usize,
}

impl Default for ConnectionStateRecovery {
    fn default() -> Self {
        Self {
            max_disconnection_duration: Duration::from_secs(120),
            skip_middlewares: true,
            namespaces: None,
            max_log_bytes: 32 * 1024 * 1024,
            max_private_bytes: 1024 * 1024,
            max_sessions: 200_000,
            max_session_bytes: 128 * 1024 * 1024,
            max_bytes_per_session: 1024 * 1024,
            max_left_rooms: 64,
            max_missed_events: 10_000,
            max_missed_bytes: 8 * 1024 * 1024,
        }
    }
}

/// The settings of a server, and what they are for each namespace.
pub(crate) struct RecoverySettings {
    pub(crate) skip_middlewares: bool,
    /// `None` for all.
    namespaces: Option<Vec<String>>,
    /// With the budget of the whole server.
    options: RecoveryOptions,
    /// The part of that budget for the namespaces that clients create.
    client_budget: RecoveryBudget,
}

impl ConnectionStateRecovery {
    /// Returns the settings of a server with these options of its engine.
    pub(crate) fn settings(self, engine: &Options) -> RecoverySettings {
        let mut options = RecoveryOptions::new([0; 8]);
        options.max_disconnection_duration = self.max_disconnection_duration;
        // Events that were sent before the disconnect was noticed may be lost.
        let unnoticed = engine.protocol.ping_interval.saturating_add(engine.protocol.ping_timeout);
        options.max_log_age = self.max_disconnection_duration.saturating_add(unnoticed);
        options.max_log_bytes = self.max_log_bytes;
        options.max_private_bytes = self.max_private_bytes;
        options.max_sessions = self.max_sessions;
        options.max_session_bytes = self.max_session_bytes;
        options.max_bytes_per_session = self.max_bytes_per_session;
        options.max_left_rooms = self.max_left_rooms;
        options.max_missed_events = self.max_missed_events;
        options.max_missed_bytes = self.max_missed_bytes.min(engine.max_write_buffer_size);
        let budget = RecoveryBudget::new(self.max_log_bytes, self.max_sessions, self.max_session_bytes);
        let client_budget = budget.half();
        options.budget = Some(budget);
        let Self { skip_middlewares, namespaces, .. } = self;
        RecoverySettings { skip_middlewares, namespaces, options, client_budget }
    }
}

impl RecoverySettings {
    /// Enables recovery in the adapter of a new namespace. Returns whether it is enabled.
    pub(crate) fn enable(
        &self,
        namespace: &str,
        is_from_client: bool,
        adapter: &dyn Adapter,
        host: Weak<dyn Host>,
    ) -> bool {
        if self.namespaces.as_ref().is_some_and(|names| names.iter().all(|name| name != namespace)) {
            return false;
        }
        let mut options = self.options.clone();
        if is_from_client {
            options.budget = Some(self.client_budget.clone());
        }
        if let Err(error) = getrandom::fill(&mut options.random) {
            tracing::error!(%error, namespace, "cannot get random bytes for connection state recovery");
            return false;
        }
        let is_enabled = adapter.enable_recovery(options, host);
        if !is_enabled {
            tracing::error!(namespace, "the adapter does not support connection state recovery");
        }
        is_enabled
    }
}

/// Why a client was not recovered, see [`Observation::RecoveryRefused`](crate::Observation::RecoveryRefused).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryRefusal {
    /// The adapter does not have the session, or not everything that the client has missed.
    Session(ClaimError),
    /// A middleware has refused the client. Its session is still kept. The client has received nothing that it missed.
    Middleware,
}

impl fmt::Display for RecoveryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::Middleware => f.write_str("a middleware has refused the client"),
        }
    }
}

impl Error for RecoveryRefusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Session(error) => error.source(),
            Self::Middleware => None,
        }
    }
}

impl From<ClaimError> for RecoveryRefusal {
    fn from(error: ClaimError) -> Self {
        Self::Session(error)
    }
}

/// What a socket of a recoverable namespace knows of its session.
pub(crate) struct SocketSession {
    pub(crate) pid: Box<str>,
    pub(crate) is_recovered: bool,
    /// See [`adapter::Recovery::suspend`]. 0 before the socket is connected.
    generation: AtomicU64,
    /// Whether the socket was connected, and not disconnected before.
    has_connected: AtomicBool,
    /// The claimed session, until it is resumed.
    claimed: Mutex<Option<Box<Session>>>,
}

impl SocketSession {
    /// Creates a new session. `None` if the operating system has no random bytes; the client cannot recover then.
    pub(crate) fn new() -> Option<Box<Self>> {
        let mut random = [0; 15];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "cannot get random bytes for a session");
            return None;
        }
        // It has the form of an id, as in Node.
        let pid = SocketId::from_random(random).as_str().into();
        Some(Box::new(Self::with_pid(pid, None)))
    }

    pub(crate) fn claimed(session: Session) -> Box<Self> {
        Box::new(Self::with_pid(session.pid.as_str().into(), Some(session)))
    }

    fn with_pid(pid: Box<str>, claimed: Option<Session>) -> Self {
        Self {
            pid,
            is_recovered: claimed.is_some(),
            generation: AtomicU64::new(0),
            has_connected: AtomicBool::new(false),
            claimed: Mutex::new(claimed.map(Box::new)),
        }
    }

    pub(crate) fn take_claimed(&self) -> Option<Session> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).take().map(|session| *session)
    }

    pub(crate) fn set_connected(&self) {
        self.has_connected.store(true, Ordering::Release);
    }

    pub(crate) fn has_connected(&self) -> bool {
        self.has_connected.load(Ordering::Acquire)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }
}
