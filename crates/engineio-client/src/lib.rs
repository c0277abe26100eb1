//! The client of Engine.IO sessions, over HTTP long-polling and WebSocket.
//!
//! A [`Connector`] has the settings. [`Connector::connect`] returns two parts of one session:
//!
//! - the [`Driver`] is a state machine that owns the transports. A task polls it together with an [`EngineHandler`],
//!   which gets each message where it was read;
//! - the [`Session`] is a handle, with which any task sends messages, waits for capacity and closes the session.
//!
//! A session opens once. A program that reconnects calls [`Connector::connect`] again.
//!
//! The crate speaks revision 4 of the protocol (`EIO=4`) and behaves like the JavaScript package `engine.io-client` 6.
//! It is for protocols above Engine.IO, such as Socket.IO, and it works for raw messages too:
//!
//! ```no_run
//! use std::task::Context;
//! use tidewire_engineio_client::{Closed, Connector, EngineHandler, Message, Session, Time};
//!
//! struct Echo(Session);
//!
//! impl EngineHandler for Echo {
//!     fn on_message(&mut self, message: Message<'_>, _now: Time, _cx: &mut Context<'_>) {
//!         match message {
//!             Message::Text(text) => self.0.send_text(text),
//!             Message::Binary(data) => self.0.send_binary(&data),
//!         }
//!     }
//!     fn on_close(&mut self, closed: Closed, _now: Time, _cx: &mut Context<'_>) {
//!         println!("{closed}");
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (session, driver) = Connector::new("http://localhost:3000").connect()?;
//! session.send_text("hello");
//! driver.run(Echo(session.clone())).await;
//! # Ok(())
//! # }
//! ```
//!
//! The transports are the only part that depends on the platform. Natively they use Tokio, so the driver must be polled
//! in its runtime. In browsers they do not exist yet: there the crate compiles, and every transport fails to open.

#![cfg_attr(target_family = "wasm", allow(dead_code, reason = "there are no transports for browsers yet"))]

mod connector;
mod driver;
mod error;
mod handler;
mod outbox;
mod packet_queue;
mod session;
mod transport;

pub use connector::{ConnectError, Connector, Limits};
pub use driver::Driver;
pub use engineio_proto::client::{Handshake, SessionError};
pub use engineio_proto::{CloseReason, EncodedMessage, MessageBatch, MessageEncoder, Transport};
pub use error::{CloseError, Closed};
pub use handler::{EngineHandler, Message};
pub use http;
#[cfg(all(feature = "tls", not(target_family = "wasm")))]
pub use net::{ClientTls, ClientTlsBuilder, TlsConfigError};
#[cfg(not(target_family = "wasm"))]
pub use net::{DialError, ExchangeError, InvalidProxy, MemoryBudget, Proxy, ProxyError, TlsError};
pub use outbox::PushError;
pub use session::Session;
pub use transport::TransportError;
#[cfg(not(target_family = "wasm"))]
#[cfg(feature = "compression")]
pub use ws_proto::DeflateOptions;
pub use ws_proto::{ClientHandshakeError, HandshakeResponseError, ProtocolError, Time, UriError};
