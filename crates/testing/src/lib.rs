//! Tests Socket.IO and WebSocket servers in one process, without a port.
//!
//! ```
//! # use server as tidewire_server;
//! use tidewire_server::{Data, Server, Socket};
//! use tidewire_testing as testing;
//!
//! fn chat() -> Server {
//!     let io = Server::new();
//!     io.on("join", async |socket: Socket, Data(room): Data<String>| { socket.join(&room); });
//!     io.on("say", async |io: Server, Data((room, text)): Data<(String, String)>| {
//!         io.to(&room).emit("message", (room.clone(), text));
//!     });
//!     io
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a `#[tokio::test]`:
//! let io = chat();
//! let mut alice = testing::connect(&io).await?;
//! let mut bob = testing::connect(&io).await?;
//! alice.emit("join", "sailing").await?;
//! alice.sync().await?;
//! bob.emit("say", ("sailing", "ahoy")).await?;
//! let (room, text): (String, String) = alice.recv("message").await?;
//! assert_eq!((room.as_str(), text.as_str()), ("sailing", "ahoy"));
//! bob.expect_nothing().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is the real client of Tidewire, and its server is the real server. Between them, HTTP and WebSocket pass
//! over a stream in memory. So a test sees what a program sees: the middleware, the order of events, limits and timeouts.
//! It uses no socket of the operating system. What belongs to a listener is not part of it: TLS, HTTP/2, workers, and the
//! limits of HTTP connections. A [`WebSocket`] does the same for handlers of raw WebSockets.
//!
//! **Nothing waits for ever.** Each method that waits gives up after five seconds, see [`Builder::timeout`]. The error
//! says what has arrived instead.
//!
//! **Nothing sleeps.** [`Client::sync`] and [`Client::expect_nothing`] wait for a round trip, not for some time.
//!
//! **Faults.** A [`Link`] cuts, delays or stalls the connection of a client, or makes the client a slow reader:
//! [`Client::link`].
//!
//! **The clock.** All timeouts and delays of Tidewire follow the clock of Tokio. With
//! `#[tokio::test(start_paused = true)]`, which is in the feature `test-util` of Tokio, hours pass in milliseconds:
//!
//! ```
//! use std::time::Duration;
//! # use server as tidewire_server;
//! use tidewire_server::{DisconnectReason, Server};
//! use tidewire_testing as testing;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let io = Server::builder().ping_interval(Duration::from_secs(25)).ping_timeout(Duration::from_secs(20)).build();
//! let alice = testing::connect(&io).await?;
//! let socket = alice.server_socket()?;
//! alice.link().stall();
//! // The clock moves by itself, because no task has anything else to do.
//! assert_eq!(socket.disconnected().await, DisconnectReason::PingTimeout);
//! # Ok(())
//! # }
//! ```
//!
//! While the clock is paused, `tokio::time::sleep` lets time pass: it runs everything that becomes due on the way.
//! `tokio::time::advance` jumps instead. To Tidewire, a jump looks like a machine that was suspended: a peer that is late
//! only because of the jump gets more time.

mod client;
mod error;
mod link;
mod serve;
mod websocket;

pub use self::client::{Builder, Client, connect};
pub use ::client::{DisconnectReason, StreamEvent};
pub use error::{ConnectError, Error};
pub use link::Link;
pub use websocket::{WebSocket, WebSocketBuilder, websocket};
pub use ws::{CloseCause, Message};
