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
//! A handler is an async function whose parameters are *extractors*: [`Socket`], [`Server`], [`Data`], [`Ack`],
//! [`Auth`], [`State`], [`EventName`], [`DisconnectReason`]. What it returns is the acknowledgement, if the client
//! asked for one: `()` is an empty one, [`Reply`] carries values, an `Err` carries the error (see [`HandlerError`]).
//!
//! `async |..| { .. }` is the short form, for closures that capture nothing. Data of the program comes in through
//! [`State`]; a closure that must capture is written
//! `move |socket: Socket| { let shared = shared.clone(); async move { .. } }`.
//!
//! # Order
//!
//! The `on_connection` handler of a socket comes first, then its events one after another in the order of their
//! arrival, last its `on_disconnect` handler. The next handler starts when the one before has finished; a handler that
//! waits holds up only its own socket. While events wait, the connection is not read beyond
//! [`Limits`], so that a fast client cannot fill the memory of the server.

mod connection;
mod handler;
mod limits;
mod namespace;
mod server;
mod socket;

/// What an adapter of one's own is made of.
pub mod adapter {
    pub use ::adapter::*;
}

pub use ::adapter::{Adapter, InMemoryAdapter, JoinError, Room, SocketId};
pub use connection::Handshake;
pub use engineio::{Cors, EngineLayer, EngineService, Transport};
pub use handler::{
    Auth, ConnectError, Context, DroppedEvents, IntoMiddlewareResult, OnConnection, OnDisconnect, OnEvent,
    Registration, ServerSide,
};
pub use handlers::{
    Ack, Data, EventName, Extract, Handler, HandlerError, HandlerKind, IntoHandlerResult, IntoReply,
    RawArguments, Reply, State,
};
pub use limits::Limits;
pub use namespace::{Broadcast, Namespace};
pub use net::{Http2Limits, HttpLimits, Listener, PeerAddress};
#[cfg(feature = "tls")]
pub use net::{ServerTls, ServerTlsBuilder, TlsConfigError};
pub use server::{Builder, Server, SocketIoHandler};
pub use socket::{AckError, AckFuture, EmitError, Emitter, JoinFuture, Socket};
pub use socketio_proto::server::DisconnectReason;
pub use socketio_proto::{Arguments, ArgumentsError, EncodeError, InvalidSocketId};
