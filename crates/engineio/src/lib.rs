//! Engine.IO sessions over HTTP long-polling and WebSocket, as a tower service.
//!
//! [`Engine`] handles HTTP requests. For every session it spawns one task, which owns the session's state machine, its
//! transport, and the [`SessionHandler`] that the [`Application`] has made for it. Other tasks use a [`Session`] handle to
//! send messages, to wake the session's task, and to close the session.
//!
//! [`server`] has a server for programs: a handler is an async function that receives and sends messages. The traits
//! here are for protocols above Engine.IO, such as Socket.IO, which handle each message where it is read.
//!
//! ```
//! use std::task::Context;
//! use tidewire_engineio::{Application, CloseReason, Engine, Message, Options, Session, SessionHandler, Time};
//!
//! struct Echo;
//! struct EchoHandler(Session);
//!
//! impl Application for Echo {
//!     type Handler = EchoHandler;
//!     fn on_open(&self, _: &Engine<Self>, session: Session, _: http::request::Parts) -> EchoHandler {
//!         EchoHandler(session)
//!     }
//! }
//! impl SessionHandler for EchoHandler {
//!     fn on_message(&mut self, message: Message<'_>, _now: Time, _cx: &mut Context<'_>) {
//!         match message {
//!             Message::Text(text) => self.0.send_text(text),
//!             Message::Binary(data) => self.0.send_binary(&data),
//!         }
//!     }
//!     fn on_close(&mut self, _reason: CloseReason, _now: Time, _cx: &mut Context<'_>) {}
//! }
//!
//! let engine = Engine::new(Options { path: "/engine.io".into(), ..Options::default() }, Echo);
//! # let _ = engine;
//! ```

mod compression;
mod connection_error;
mod cookie;
mod cors;
mod driver;
mod engine;
mod half_open;
mod handler;
mod hooks;
mod options;
mod outbox_items;
mod packet_dispatcher;
mod registry;
mod request;
pub mod server;
mod service;
mod session;
mod session_refusal;
mod static_files;
mod transport;

#[cfg(feature = "compression")]
pub use compression::HttpCompression;
pub use connection_error::ConnectionError;
pub use cookie::{Cookie, CookiePriority, InvalidCookie, SameSite};
pub use cors::Cors;
pub use engine::{Engine, WeakEngine};
pub use engineio_proto::server::Settings;
pub use engineio_proto::{CloseReason, RequestError, Transport};
pub use handler::{Application, Message, SessionHandler};
pub use hooks::{ConnectionErrorHook, HeadersHook, SessionRefusedHook};
pub use http;
#[cfg(feature = "http2")]
pub use net::Http2Limits;
pub use net::{
    AddressLimitError, AddressLimits, ClientAddress, ClientNetwork, ClosePace, ForwardedHeader, HttpLimits,
    HttpService, Incoming, InvalidNetwork, Listener, ListenerSettings, MemoryBudget, PeerAddress,
    TrustedProxies,
};
#[cfg(feature = "tls")]
pub use net::{ServerTls, ServerTlsBuilder, TlsConfigError};
pub use options::{AllowRequest, InitialPacket, Options};
pub use service::{EngineLayer, EngineService};
pub use session::Session;
pub use session_refusal::SessionRefusal;
pub use static_files::{StaticFile, StaticFiles};
#[cfg(feature = "compression")]
pub use ws_proto::DeflateOptions;
pub use ws_proto::{AllowedOrigins, InvalidOrigin, Time};

/// The metrics of the process, for the recorder of the crate `metrics`. `docs/metrics.md` in the repository lists them.
#[cfg(feature = "metrics")]
pub mod metrics {
    pub use net::metrics::publish;
}
