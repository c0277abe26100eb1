//! What a handler of Socket.IO events is, on either side of the wire.
//!
//! A program writes async functions whose parameters are *extractors* ([`Data`], [`Ack`], [`State`] and those that its
//! side adds, for instance the socket). The value that such a function returns is the acknowledgement of the event.
//! None of these types names a side, so a typed contract of a program is the same on both.
//!
//! A side of the wire is a type that implements [`Side`]. It says which socket acknowledges, what its own extractors
//! take their values from, and how a future becomes a task. For each of its sockets it owns one [`EventQueue`], which
//! runs the handlers in the order of the events.
//!
//! There is no runtime and no input or output in here. On `wasm32` futures need not be `Send` (see [`MaybeSend`]).

mod ack;
mod context;
mod encoder;
mod error;
mod extract;
mod handler;
mod queue;
mod reply;
mod send;
mod side;
mod start;
mod state;
mod table;

pub use ack::{Ack, Acknowledge, Responder};
pub use context::{Context, Kind, OnEvent};
pub use encoder::with_encoder;
pub use error::HandlerError;
pub use extract::{Data, EventName, Extract, RawArguments};
pub use handler::{ErasedHandler, Handler, erase};
pub use queue::{EventQueue, WaitingEvents};
pub use reply::{IntoOutcome, IntoReply, Reply};
pub use send::{BoxFuture, MaybeSend};
pub use side::{Side, Source};
pub use start::{Spawn, Started, start};
pub use state::{State, States};
pub use table::{EventHandler, EventTable, Registration, Registry};
