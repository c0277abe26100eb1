//! What a program may learn about its server: one trait, which is called with everything that happens.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use adapter::cluster::{Message, PublishError};
use adapter::{LinkChange, Room, SocketId};
use engineio::{ConnectionError, Session, SessionRefusal, Transport};
use handlers::{HandlerError, ObservedEvent};
use http::request::Parts;
use net::{LogRateLimit, PushOutcome};
use socketio_proto::server::DisconnectReason;

use crate::connection::Handshake;
use crate::handler::ConnectError;
use crate::namespace::Namespace;
use crate::recovery::RecoveryRefusal;
use crate::socket::Socket;

/// Is called with everything that happens in a server: connections, sockets, events, rooms, handlers, errors. Metrics,
/// logs and administration pages are built on it. Add one with [`Builder::observer`](crate::Builder::observer).
///
/// A function with the parameter `&Observation<'_>` is an observer too.
///
/// # What an observer may do
///
/// It is called on the thread on which the thing happens, often that of a connection, so it must not block. The server
/// holds none of its locks during the call, so an observer may use every method of the server and its sockets. What it
/// causes itself is not reported, neither to it nor to the other observers. If it panics, the panic is logged, and
/// nothing else happens.
///
/// What happens on one thread is reported in its order. A socket or a room that several threads change at the same time
/// may be reported in another order.
///
/// # What it costs
///
/// Without an observer, each place costs one branch. With observers, each observation costs a virtual call for each of
/// them, and these things cost more:
///
/// - The time of each event handler is measured, which takes two readings of the clock, and a third one if the handler
///   waits. Without observers, few readings find handlers that keep their thread too long.
/// - The adapter makes a list of the changes of its rooms, and clones the names of the rooms.
/// - A poll that waits keeps a copy of the head of its request, as with
///   [`on_connection_error`](crate::Builder::on_connection_error).
///
/// A broadcast is one observation, no matter how many sockets receive it.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tidewire_server::{Observation, Observer, Server};
///
/// #[derive(Default)]
/// struct OpenConnections(AtomicUsize);
///
/// impl Observer for OpenConnections {
///     fn observe(&self, observation: &Observation<'_>) {
///         match observation {
///             Observation::ConnectionOpened { .. } => self.0.fetch_add(1, Ordering::Relaxed),
///             Observation::ConnectionClosed { .. } => self.0.fetch_sub(1, Ordering::Relaxed),
///             _ => return,
///         };
///     }
/// }
///
/// let connections = Arc::new(OpenConnections::default());
/// let io = Server::builder()
///     .observer(Arc::clone(&connections))
///     .observer(|observation: &Observation<'_>| println!("{observation:?}"))
///     .build();
/// ```
pub trait Observer: Send + Sync {
    /// Is called with each thing that happens.
    fn observe(&self, observation: &Observation<'_>);
}

impl<F: Fn(&Observation<'_>) + Send + Sync> Observer for F {
    fn observe(&self, observation: &Observation<'_>) {
        self(observation);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, observation: &Observation<'_>) {
        (**self).observe(observation);
    }
}

/// Something that has happened in a server, see [`Observer`].
///
/// Later versions may add variants, and fields to variants. Texts of clients, such as the names of events and rooms, may
/// be long and have any character. An observer that writes a log must limit its lines, because a client can cause any
/// number of most of these.
///
/// Lengths of events and acknowledgements are those that the default parser would need. With another parser, or with the
/// offset of connection state recovery, the packets on the connection have other lengths.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A client has opened a connection, on the transport that it uses first.
    #[non_exhaustive]
    ConnectionOpened {
        /// The connection.
        connection: ObservedConnection<'a>,
    },
    /// A connection has changed its transport. [`ObservedConnection::transport`] is the new one.
    #[non_exhaustive]
    ConnectionUpgraded {
        /// The connection.
        connection: ObservedConnection<'a>,
    },
    /// A connection is over. There is exactly one for each [`ConnectionOpened`](Self::ConnectionOpened). The
    /// `SocketDisconnected` of its sockets come next.
    #[non_exhaustive]
    ConnectionClosed {
        /// The connection.
        connection: ObservedConnection<'a>,
        /// Why it is over.
        reason: DisconnectReason,
        /// What went wrong, if there is more to say: a violated rule, or a limit. It may contain text of the client.
        description: Option<&'a str>,
    },
    /// The server has refused a request with one of Node's codes: `connection_error` in Node.
    #[non_exhaustive]
    RequestRefused {
        /// Why.
        error: &'a ConnectionError,
        /// The head of the request.
        request: ObservedRequest<'a>,
    },
    /// A client got no session although its request was right, because of a limit or because the server is closing. The
    /// status of the response is 429, 431 or 503. The log has a warning for most of these, at a limited rate.
    ///
    /// A connection that the listener closes before its first request is not reported, see
    /// [`AddressLimits::max_http_connections`](crate::AddressLimits::max_http_connections).
    #[non_exhaustive]
    SessionRefused {
        /// Why.
        refusal: SessionRefusal,
        /// The head of the request.
        request: ObservedRequest<'a>,
    },
    /// A namespace has been created, by the program or for a client. The namespace `/` always exists and is not
    /// reported.
    #[non_exhaustive]
    NamespaceCreated {
        /// The namespace.
        namespace: &'a Namespace,
    },
    /// A namespace has been removed with its last socket, see
    /// [`Builder::cleanup_empty_child_namespaces`](crate::Builder::cleanup_empty_child_namespaces).
    #[non_exhaustive]
    NamespaceRemoved {
        /// The namespace.
        namespace: &'a Namespace,
    },
    /// A client requests to connect to a namespace. Its middlewares run next. One of
    /// [`SocketConnected`](Self::SocketConnected), [`SocketRefused`](Self::SocketRefused) and
    /// [`SocketAbandoned`](Self::SocketAbandoned) follows.
    #[non_exhaustive]
    SocketConnecting {
        /// The socket.
        socket: &'a Socket,
    },
    /// A client was refused: `connect_error` in the client. If the namespace does not exist, there was no
    /// [`SocketConnecting`](Self::SocketConnecting) before, and no socket.
    #[non_exhaustive]
    SocketRefused {
        /// The name of the namespace that the client requested.
        namespace: &'a str,
        /// The handshake request of the connection.
        handshake: &'a Handshake,
        /// The socket that was refused.
        socket: Option<&'a Socket>,
        /// What the client receives.
        error: &'a ConnectError,
    },
    /// A client left, or the program disconnected it, before the middlewares had accepted it.
    #[non_exhaustive]
    SocketAbandoned {
        /// The socket, which was never connected.
        socket: &'a Socket,
        /// Why it left.
        reason: DisconnectReason,
    },
    /// A client has connected to a namespace. The `on_connection` handler runs next.
    #[non_exhaustive]
    SocketConnected {
        /// The socket.
        socket: &'a Socket,
    },
    /// A client has recovered its session: [`SocketConnected`](Self::SocketConnected) of the same socket came before.
    #[non_exhaustive]
    SocketRecovered {
        /// The socket.
        socket: &'a Socket,
        /// The number of events that it had missed and gets now.
        missed: usize,
    },
    /// A client wanted to recover a session and could not. It connects as a new client, unless a middleware has refused it.
    #[non_exhaustive]
    RecoveryRefused {
        /// The socket of the client: the new one, or that which the middleware has refused.
        socket: &'a Socket,
        /// Why.
        reason: RecoveryRefusal,
    },
    /// A socket that was connected is disconnected, and has left its rooms. Its last handlers may still run.
    #[non_exhaustive]
    SocketDisconnected {
        /// The socket.
        socket: &'a Socket,
        /// Why it is disconnected.
        reason: DisconnectReason,
    },
    /// The program has changed the [data](Socket::set_data) of a socket.
    #[non_exhaustive]
    SocketDataChanged {
        /// The socket, with the new data.
        socket: &'a Socket,
    },
    /// An event has arrived, with all its attachments. Its handler runs next, or waits behind others.
    #[non_exhaustive]
    EventReceived {
        /// The socket that received it.
        socket: &'a Socket,
        /// The event, with its name and its arguments.
        event: ObservedEvent<'a>,
        /// The length of its name and arguments as JSON, and of its attachments, in bytes.
        bytes: usize,
    },
    /// An event had no handler and was ignored. If a [fallback](crate::Namespace::on_fallback) exists, each event has a
    /// handler.
    #[non_exhaustive]
    EventUnhandled {
        /// The socket that received it.
        socket: &'a Socket,
        /// The name of the event.
        event: &'a str,
    },
    /// An event to one socket was queued for its client. [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing)
    /// shows its arguments.
    #[non_exhaustive]
    EventSent {
        /// The socket.
        socket: &'a Socket,
        /// The name of the event.
        event: &'a str,
        /// The length of its packet and its attachments, in bytes.
        bytes: usize,
        /// Whether the client was asked for an acknowledgement.
        is_ack_requested: bool,
    },
    /// An event was queued for the sockets of this process that a broadcast selects.
    #[non_exhaustive]
    EventBroadcast {
        /// The namespace.
        namespace: &'a Namespace,
        /// The name of the event.
        event: &'a str,
        /// The length of its packet and its attachments, in bytes.
        bytes: usize,
        /// The number of sockets for which it was queued. 0 if the adapter delivers it later, in the order of a log.
        receivers: usize,
    },
    /// Events that the program sent were dropped.
    #[non_exhaustive]
    EventDropped {
        /// The namespace.
        namespace: &'a Namespace,
        /// The socket, if the event was sent to one socket.
        socket: Option<&'a Socket>,
        /// The name of the event.
        event: &'a str,
        /// Why.
        reason: DropReason,
        /// The number of sockets for which it was dropped.
        receivers: usize,
    },
    /// An acknowledgement of the client has arrived.
    #[non_exhaustive]
    AckReceived {
        /// The socket.
        socket: &'a Socket,
        /// The length of its arguments as JSON, and of its attachments, in bytes.
        bytes: usize,
        /// Whether the program still waits for it. If not, it came after its timeout, or the client invented it.
        is_awaited: bool,
    },
    /// The client has not acknowledged events in time.
    #[non_exhaustive]
    AcksTimedOut {
        /// The socket.
        socket: &'a Socket,
        /// The number of events.
        count: usize,
    },
    /// An acknowledgement was queued for the client.
    #[non_exhaustive]
    AckSent {
        /// The namespace.
        namespace: &'a Namespace,
        /// The id of the socket.
        socket_id: &'a SocketId,
        /// The length of its packet and its attachments, in bytes.
        bytes: usize,
    },
    /// The handler of an event has finished, whether or not it failed.
    #[non_exhaustive]
    HandlerFinished {
        /// The socket.
        socket: &'a Socket,
        /// The name of the event.
        event: &'a str,
        /// The time from its call to its end, in which it may have waited.
        elapsed: Duration,
        /// Whether it returned an error, panicked, or could not be called.
        is_failed: bool,
    },
    /// A handler has kept its thread for more than 5 ms without waiting, so that other connections on this thread had to
    /// wait. Only the time until the handler waits for the first time is measured. Each handler of an event
    /// is measured, and a sample of the others. A machine that is overloaded, and
    /// stops a thread for so long, looks the same.
    #[non_exhaustive]
    HandlerBlocked {
        /// The socket. It is known if the handler is that of an event.
        socket: Option<&'a Socket>,
        /// The handler.
        handler: ObservedHandler<'a>,
        /// How long it kept the thread.
        duration: Duration,
    },
    /// A handler failed or could not be called, or a client sent an invalid packet. The observer is called before the
    /// [error hook](crate::Builder::on_error), with the same values.
    #[non_exhaustive]
    Error {
        /// The error.
        error: &'a HandlerError,
        /// The socket.
        socket: &'a Socket,
        /// The name of the event, if the error belongs to one.
        event: Option<&'a str>,
    },
    /// A room has its first member: `create-room` of Node's adapters.
    ///
    /// In a cluster, each server reports the rooms of its own sockets. As in Node, the room of each socket's own id is
    /// reported as well.
    #[non_exhaustive]
    RoomCreated {
        /// The name of the namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
    },
    /// A socket has joined a room: `join-room` of Node's adapters.
    #[non_exhaustive]
    RoomJoined {
        /// The name of the namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
        /// The id of the socket.
        socket_id: &'a SocketId,
    },
    /// A socket has left a room: `leave-room` of Node's adapters.
    #[non_exhaustive]
    RoomLeft {
        /// The name of the namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
        /// The id of the socket.
        socket_id: &'a SocketId,
    },
    /// The last member has left a room: `delete-room` of Node's adapters.
    #[non_exhaustive]
    RoomDeleted {
        /// The name of the namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
    },
    /// This server has lost its link to the other servers of the cluster, or has it again. While it is lost, events reach
    /// only the sockets of the server that sends them, unless the adapter keeps them.
    ///
    /// Each namespace has an adapter of its own, and each adapter reports its link. To count the outages of the server,
    /// look at the namespace `/` only.
    #[non_exhaustive]
    ClusterLinkChanged {
        /// The name of the namespace.
        namespace: &'a str,
        /// What has changed. After an outage with a `gap`, events of other servers may be missing.
        change: LinkChange,
    },
    /// Other servers of the cluster do not get a message of this server, or perhaps do not. The message bus has refused it,
    /// for instance because it is too large, or has not returned an event. The sockets of this server have got the event.
    #[non_exhaustive]
    ClusterMessageFailed {
        /// The name of the namespace.
        namespace: &'a str,
        /// The message. [`Message::name`] says what it is.
        message: &'a Message,
        /// Why.
        error: &'a PublishError,
    },
}

/// Why an event that the program sent was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The event was volatile, and the connection was not ready to send it.
    Volatile,
    /// A newer event replaced it before it was sent, see [`Emitter::keep_latest`](crate::Emitter::keep_latest). The
    /// observation names the newer event.
    Replaced,
    /// The client reads too slowly: its write buffer is full, and its connection ends.
    Overflow,
}

impl DropReason {
    /// Returns why an event was dropped, if a push with this outcome has dropped one.
    pub(crate) fn of(outcome: PushOutcome) -> Option<Self> {
        match outcome {
            PushOutcome::Queued | PushOutcome::Kept => None,
            PushOutcome::Dropped => Some(Self::Volatile),
            PushOutcome::Replaced => Some(Self::Replaced),
            PushOutcome::Overflowed => Some(Self::Overflow),
        }
    }
}

/// A handler of the program, as an [`Observation`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObservedHandler<'a> {
    /// The handler of an event.
    Event(&'a str),
    /// A middleware of a namespace.
    Middleware,
    /// A middleware of events.
    EventMiddleware,
    /// An `on_connection` handler.
    Connection,
    /// An `on_disconnect` handler.
    Disconnect,
}

impl fmt::Display for ObservedHandler<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => f.write_str(event),
            Self::Middleware => f.write_str("middleware"),
            Self::EventMiddleware => f.write_str("event_middleware"),
            Self::Connection => f.write_str("on_connection"),
            Self::Disconnect => f.write_str("on_disconnect"),
        }
    }
}

/// A connection, as an [`Observation`] shows it.
#[derive(Clone, Copy)]
pub struct ObservedConnection<'a> {
    session: &'a Session,
    handshake: &'a Handshake,
}

impl<'a> ObservedConnection<'a> {
    pub(crate) fn new(session: &'a Session, handshake: &'a Handshake) -> Self {
        Self { session, handshake }
    }

    /// Returns the transport that the connection uses now, or used last.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.session.transport()
    }

    /// Returns the revision of the Engine.IO protocol: 4, or 3 for [old clients](crate::Builder::allow_eio3).
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.session.protocol()
    }

    /// Returns the handshake request. Its address in memory stays the same as long as the connection, and is that of
    /// [`Socket::handshake`](crate::Socket::handshake) of its sockets.
    #[must_use]
    pub fn handshake(&self) -> &'a Handshake {
        self.handshake
    }
}

impl fmt::Debug for ObservedConnection<'_> {
    /// Omits the session id, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedConnection")
            .field("transport", &self.transport())
            .field("protocol", &self.protocol())
            .field("handshake", self.handshake)
            .finish_non_exhaustive()
    }
}

/// The head of a request, as an [`Observation`] shows it.
#[derive(Clone, Copy)]
pub struct ObservedRequest<'a>(pub(crate) &'a Parts);

impl Deref for ObservedRequest<'_> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.0
    }
}

impl fmt::Debug for ObservedRequest<'_> {
    /// Omits the query and the headers, because they contain ids of sessions, cookies and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedRequest")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}

/// The observers of a server.
#[derive(Clone, Default)]
pub(crate) struct Observers(Option<Arc<[Box<dyn Observer>]>>);

thread_local! {
    /// Whether an observer runs on this thread.
    static IS_OBSERVING: Cell<bool> = const { Cell::new(false) };
}

impl Observers {
    pub(crate) fn new(observers: Vec<Box<dyn Observer>>) -> Self {
        Self((!observers.is_empty()).then(|| observers.into()))
    }

    /// Returns whether there is an observer.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Calls the observers, if there are any. The caller holds no lock.
    #[inline]
    pub(crate) fn notify<'a>(&self, observation: impl FnOnce() -> Observation<'a>) {
        if self.is_active() {
            self.call(&observation());
        }
    }

    #[cold]
    pub(crate) fn call(&self, observation: &Observation<'_>) {
        if let Some(observers) = &self.0 {
            call(observers, observation);
        }
    }
}

fn call(observers: &[Box<dyn Observer>], observation: &Observation<'_>) {
    static PANICKED: LogRateLimit = LogRateLimit::new();
    // An observer that emits would otherwise call itself without end.
    if IS_OBSERVING.replace(true) {
        return;
    }
    for observer in observers {
        // It is the program's code: if it panics, the connection must survive.
        if catch_unwind(AssertUnwindSafe(|| observer.observe(observation))).is_err() {
            PANICKED.try_log(|suppressed| tracing::error!(suppressed, "an observer panicked"));
        }
    }
    IS_OBSERVING.set(false);
}
