//! A Socket.IO client for the servers of Node and Tidewire.
//!
//! ```no_run
//! use tidewire_client::{Client, Data, Socket};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = Client::builder("http://localhost:3000")
//!     .on_connect(async |socket: Socket| socket.emit("join-room", "general"))
//!     .on("notification", async |Data(text): Data<String>| println!("{text}"))
//!     .connect();
//! let answer: String = socket.emit_with_ack("ask", 42).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Socket`] is one namespace of a [`Client`], which has the connection. There are three ways to use it, which can be
//! combined:
//!
//! - handlers with extractors, the same as on the server: [`Socket::on`], or [`Builder::on`];
//! - a loop over the events: [`Socket::events`];
//! - [`emit`](Socket::emit) and [`emit_with_ack`](Socket::emit_with_ack) from any task.
//!
//! **Reconnecting.** The client opens a connection and reconnects whenever it is lost, see
//! [`Builder::reconnection_attempts`]. Events that are emitted in between are buffered, in the [`Limits`].
//!
//! **What can be lost.** Events arrive in the order in which they were emitted. An event that was sent on a connection
//! that broke may be lost, in both directions. Three things help: [`emit_with_ack`](Socket::emit_with_ack) tells whether
//! the server has received an event; [`Builder::retries`] sends each event until it has; and a server with connection
//! state recovery sends what the client has missed ([`Socket::is_recovered`]).
//!
//! **Handlers** run in the order of the events, one at a time for each socket. `on_disconnect` comes after the events
//! that were received before it. No event is dropped when the connection breaks.
//!
//! **In a browser** (`wasm32-unknown-unknown`) everything here compiles. The transports for browsers do not exist yet.

mod auth;
mod builder;
mod client;
mod driver;
mod engine;
mod error;
mod handler;
mod limits;
mod outgoing;
mod platform;
mod reconnection;
mod retry_queue;
mod socket;
mod socket_driver;
mod state;

/// Types for writing your own [`Parser`](parser::Parser). They are the same as those of the server.
pub mod parser {
    pub use socketio_proto::DecodeError;
    #[cfg(feature = "msgpack")]
    pub use socketio_proto::MessagePackError;
    pub use socketio_proto::parser::{
        IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
    };
}

pub use builder::{Builder, SocketBuilder};
pub use client::Client;
#[cfg(all(feature = "compression", not(target_family = "wasm")))]
pub use engineio_client::DeflateOptions;
pub use engineio_client::Limits as TransportLimits;
#[cfg(all(feature = "tls", not(target_family = "wasm")))]
pub use engineio_client::{ClientTls, ClientTlsBuilder, TlsConfigError};
#[cfg(not(target_family = "wasm"))]
pub use engineio_client::{InvalidProxy, MemoryBudget, Proxy};
pub use engineio_proto::Transport;
pub use error::{AckError, AuthError, ConnectError, EmitError, TransportError};
pub use handler::{
    ClientHandlerEnv, ClientSide, ConnectedSocket, Context, DroppedEvents, OnConnect, OnConnectError,
    OnDisconnect, OnEvent, Registration,
};
pub use handlers::{
    Ack, Data, EventName, Extract, Extractors, Handler, HandlerError, HandlerFn, HandlerFuture, HandlerKind,
    IntoHandlerResult, IntoReply, MissingState, ObservedEvent, RawArguments, ReceivedEvent, Reply, State,
    StateMap,
};
pub use http;
pub use limits::{Limits, Overflow};
pub use socket::{AckFuture, Emitter, EventStream, Socket, StreamEvent};
#[cfg(feature = "msgpack")]
pub use socketio_proto::MessagePackParser;
pub use socketio_proto::client::DisconnectReason;
pub use socketio_proto::{Arguments, ArgumentsError, EncodeError, Number, Object, RawJson, Value};

#[cfg(test)]
mod tests;
