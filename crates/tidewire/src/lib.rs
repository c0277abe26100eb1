//! Tidewire, the real-time stack in Rust: a Socket.IO server that the official JavaScript clients talk to, and raw
//! WebSocket beside it.
//!
//! ```no_run
//! # #[cfg(feature = "server")]
//! use tidewire::server::{Cors, Data, Server, Socket};
//!
//! # #[cfg(feature = "server")]
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().cors(Cors::any()).build();
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.emit("message", format!("Echo: {text}"))
//!     });
//!     io.listen("0.0.0.0:3000").await
//! }
//! # #[cfg(not(feature = "server"))]
//! # fn main() {}
//! ```
//!
//! | module | what is there |
//! |---|---|
//! | [`server`] | a Socket.IO server |
//! | [`ws`] | WebSocket without Socket.IO, client and server |
//!
//! At the root are [`Server`], and what handlers are written with on either side of the wire. What belongs to one side (its
//! `Socket`, `Auth`, `ConnectError`) is in the module of that side. Everything is defined in the crates behind this one,
//! which may be used alone.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `server` | yes | [`server`] |
//! | `ws` | yes | [`ws`] |
//! | `tls` | yes | `wss` and `https`, by rustls with the cryptography of ring |
//! | `axum` | no | `ws::Upgrade` as an extractor of axum |

#[cfg(feature = "server")]
pub use self::server::{Ack, Data, EventName, HandlerError, RawArguments, Reply, Server, State};

/// A Socket.IO server.
#[cfg(feature = "server")]
pub mod server {
    pub use server::*;
}

/// WebSocket without Socket.IO.
#[cfg(feature = "ws")]
pub mod ws {
    pub use ws::*;
}
