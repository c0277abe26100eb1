//! A Socket.IO server.
//!
//! ```no_run
//! use tidewire_server::{Cors, Data, DisconnectReason, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().cors(Cors::any()).build();
//!
//!     io.on_connection(async |socket: Socket| println!("connected: {}", socket.id()));
//!     io.on("join-room", async |io: Server, socket: Socket, Data(room): Data<String>| {
//!         socket.join(&room);
//!         io.to(&room).emit("notification", format!("{} joined {room}", socket.id()));
//!     });
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.emit("message", format!("Echo: {text}"))
//!     });
//!     io.on_disconnect(async |socket: Socket, reason: DisconnectReason| {
//!         println!("{}: {reason}", socket.id())
//!     });
//!     io.listen("0.0.0.0:3000").await
//! }
//! ```
//!
//! # Handlers
//!
//! A handler is an async function whose parameters are *extractors*:
//!
//! | handler | extractors that it accepts |
//! |---|---|
//! | all handlers | [`Socket`], [`Server`], [`Namespace`], [`Auth`], [`Extension`], [`State`] |
//! | [`on`](Namespace::on), [`on_fallback`](Namespace::on_fallback) | also [`Data`], [`RawArguments`], [`Ack`], [`EventName`] |
//! | [`event_middleware`](Namespace::event_middleware) | also [`Data`], [`RawArguments`], [`EventName`], [`ReceivedEvent`] |
//! | [`on_disconnect`](Namespace::on_disconnect) | also [`DisconnectReason`], [`DroppedEvents`] |
//!
//! If the client requests an acknowledgement, it receives the return value of the event handler: `()` is an empty
//! acknowledgement, [`Reply`] contains values, and an `Err` contains the error's message (see [`HandlerError`]).
//!
//! `async |..| { .. }` is the short form for closures that capture nothing. Pass shared data of the program to
//! [`Builder::state`] and read it with [`State`]. Write a closure that captures variables as
//! `move |socket: Socket| { let shared = shared.clone(); async move { .. } }`.
//!
//! # Order
//!
//! For each socket, the `on_connection` handler runs first. If it fails, the socket is disconnected. Then the event handlers run one after another, in the order
//! in which the events arrive. The `on_disconnect` handler runs last. The next handler starts when the previous one has
//! finished, so a handler that waits delays only its own socket. Events that wait are queued up to the limits in
//! [`Limits`]. Then the server stops reading from the connection, so a fast client cannot fill the server's memory.

mod client_files;
mod cluster_metrics;
mod connection;
mod handler;
mod limits;
mod namespace;
mod observer;
mod outgoing;
mod recovery;
mod rooms;
mod server;
mod socket;

/// Types for writing your own [`Adapter`].
///
/// With the feature `cluster`, [`adapter::cluster`] contains `ClusterAdapter`, the adapter of a cluster over any message bus,
/// and the formats of messages that Node servers understand.
pub mod adapter {
    pub use ::adapter::*;
}

/// Types for writing your own [`Parser`].
pub mod parser {
    pub use socketio_proto::DecodeError;
    #[cfg(feature = "msgpack")]
    pub use socketio_proto::MessagePackError;
    pub use socketio_proto::parser::{
        IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
    };
}

pub use ::adapter::{
    Adapter, AdapterFactory, ClaimError, InMemoryAdapter, JoinError, KeptForRecovery, LinkChange, Missing,
    MissingReason, Room, SocketId,
};
pub use client_files::{ClientFiles, ClientFilesError};
pub use connection::Handshake;
pub use engineio::{
    AllowedOrigins, ClosePace, ConnectionError, Cookie, CookiePriority, Cors, EngineLayer, EngineService,
    InitialPacket, InvalidCookie, InvalidOrigin, RequestError, SameSite, SessionRefusal, Transport,
};
#[cfg(feature = "compression")]
pub use engineio::{DeflateOptions, HttpCompression};
pub use handler::{
    Auth, BeforeEvent, ConnectError, Context, DroppedEvents, Extension, IntoMiddlewareResult, OnConnection,
    OnDisconnect, OnEvent, Registration, ServerSide,
};
pub use handlers::{
    Ack, Data, EventKind, EventName, Extract, Extractors, Handler, HandlerError, HandlerFn, HandlerFuture,
    HandlerKind, IntoEventMiddlewareResult, IntoHandlerResult, IntoReply, MissingState, ObservedEvent,
    RawArguments, ReceivedEvent, Reply, State, StateMap,
};
pub use limits::Limits;
pub use namespace::{
    AckFailure, Broadcast, BroadcastAcks, FetchSocketsError, FetchedSocket, IncompleteAcks, IntoAllowed,
    Namespace, NamespaceRequest, ParentBroadcast, ParentNamespace,
};
#[cfg(feature = "http2")]
pub use net::Http2Limits;
pub use net::{
    AddressLimitError, AddressLimits, ClientAddress, ClientNetwork, ForwardedHeader, HttpLimits, HttpService,
    Incoming, InvalidNetwork, Listener, LogRateLimit, MemoryBudget, PeerAddress, ReceivedOverTls,
    TrustedProxies,
};
#[cfg(feature = "tls")]
pub use net::{ServerTls, ServerTlsBuilder, TlsConfigError};
pub use observer::{DropReason, Observation, ObservedConnection, ObservedHandler, ObservedRequest, Observer};
pub use recovery::{ConnectionStateRecovery, RecoveryRefusal};
#[doc(hidden)]
pub use rooms::RoomName;
pub use rooms::Rooms;
pub use server::{Builder, Server, SocketIoApplication};
pub use socket::{
    AckError, AckFuture, DataError, DeliveryCounts, EmitError, Emitter, EventStream, JoinFuture, Socket,
    StreamEvent,
};
#[cfg(feature = "msgpack")]
pub use socketio_proto::MessagePackParser;
pub use socketio_proto::server::DisconnectReason;
pub use socketio_proto::{
    Arguments, ArgumentsError, EncodeError, InvalidSocketId, Number, Object, Parser, Value,
};

/// The metrics of the process, for the recorder of the crate `metrics`. `docs/metrics.md` in the repository lists them.
#[cfg(feature = "metrics")]
pub mod metrics {
    pub use net::metrics::publish;
}
