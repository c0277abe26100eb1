//! Tidewire, the real-time stack in Rust: a Socket.IO server that the official JavaScript clients talk to, and raw
//! WebSocket beside it.
//!
//! ```no_run
//! use tidewire::{Cors, Data, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().cors(Cors::any()).build();
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.emit("message", format!("Echo: {text}"))
//!     });
//!     io.listen("0.0.0.0:3000").await
//! }
//! ```
//!
//! This crate is a front door: everything here is defined in the crates behind it, which may be used alone.

pub use server::*;

/// WebSocket without Socket.IO.
pub mod ws {
    pub use ws::*;
}
