//! Handlers of Socket.IO events, for servers and clients.
//!
//! A program writes async functions whose parameters are *extractors*: [`Data`], [`Ack`], [`State`], and the extractors
//! that each side adds, for instance its socket. The return value of the function is the acknowledgement of the event.
//! These types do not depend on a side, so types and functions that use only them work in a server and in a client.
//!
//! A side is a type that implements [`Side`]. It defines the socket that sends acknowledgements, the values that its
//! own extractors read, and how a future is spawned as a task. It owns one [`EventQueue`] per socket. The queue runs
//! the handlers in the order of the events.
//!
//! This example is a side without a network. Its socket stores the acknowledgements:
//!
//! ```
//! # use std::{sync::{Arc, Mutex}, task::{Context, Waker}};
//! # use engineio_proto::EncodedMessage;
//! # use socketio_proto::{Decoder, Packet};
//! # use tidewire_handlers::{
//! #     Acknowledge, BoxFuture, Data, EventHandler, EventQueue, EventTable, HandlerError, MaybeSend, HandlerEnv, Reply, Side,
//! #     Spawn, StateMap,
//! # };
//! #[derive(Default)]
//! struct Socket(Mutex<Vec<String>>);
//!
//! impl Acknowledge for Socket {
//!     fn namespace(&self) -> &str { "/" }
//!     fn send_ack(&self, message: EncodedMessage<'_>) { self.0.lock().unwrap().push(message.text().into()) }
//!     fn report_error(self: Arc<Self>, error: &HandlerError, _: Option<&str>) { panic!("{error}") }
//! }
//!
//! #[derive(Debug)]
//! struct InMemory;
//!
//! impl Side for InMemory {
//!     type Socket = Socket;
//!     type Env<'a> = &'a Client;
//!     type Spawn = InPlace;
//! }
//!
//! struct Client { socket: Arc<Socket>, states: StateMap, events: EventTable<InMemory> }
//! # impl std::fmt::Debug for Client {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("Client") }
//! # }
//!
//! impl HandlerEnv for &Client {
//!     type Side = InMemory;
//!     fn reborrow(&self) -> &Client { self }
//!     fn socket(&self) -> &Arc<Socket> { &self.socket }
//!     fn states(&self) -> &StateMap { &self.states }
//!     fn event_table(&self) -> &EventTable<InMemory> { &self.events }
//!     fn is_disconnected(&self) -> bool { false }
//!     fn max_concurrent_handlers(&self) -> usize { 0 }
//! }
//! # struct InPlace;
//! # impl Spawn for InPlace {
//! #     type Task<T: MaybeSend + 'static> = BoxFuture<Result<T, HandlerError>>;
//! #     fn spawn<T: MaybeSend + 'static>(future: BoxFuture<T>) -> Self::Task<T> {
//! #         Box::pin(async move { Ok(future.await) })
//! #     }
//! # }
//!
//! let mut events = EventTable::default();
//! events.insert(Some("add"), EventHandler::new(async |Data((a, b)): Data<(i32, i32)>| Reply(a + b)));
//! let client = Client { socket: Arc::default(), states: StateMap::default(), events };
//!
//! let mut queue = EventQueue::<InMemory>::new();
//! // An event that requests an acknowledgement, with the id 7.
//! let packet = Decoder::new(&Default::default()).decode_text(r#"27["add",1,2]"#)?;
//! if let Some(Packet::Event { event, ack, .. }) = packet {
//!     queue.handle_event(&event, ack, &&client, &mut Context::from_waker(Waker::noop()));
//! }
//! assert_eq!(*client.socket.0.lock().unwrap(), ["37[3]"]);
//! # Ok::<(), socketio_proto::DecodeError>(())
//! ```
//!
//! This crate does no I/O and does not depend on an async runtime. On `wasm32`, futures need not be `Send` (see
//! [`MaybeSend`]).

mod ack;
mod context;
mod encoder;
mod error;
mod error_map;
mod event_table;
mod extract;
mod handler;
mod maybe_send;
mod middleware;
mod queue;
mod reply;
mod side;
mod spawn;
mod state;

pub use ack::{Ack, AckSender, Acknowledge};
pub use context::{BeforeEvent, EventKind, HandlerContext, HandlerKind, OnEvent};
pub use encoder::{with_converted, with_encoder};
pub use error::HandlerError;
pub use error_map::ErrorMap;
pub use event_table::{EventHandler, EventRegistry, EventTable, Registration};
pub use extract::{Data, EventName, Extract, RawArguments};
pub use handler::{ErasedHandler, Extractors, Handler, HandlerFn, HandlerFuture, erase_handler};
pub use maybe_send::{BoxFuture, MaybeSend};
pub use middleware::{
    EventMiddleware, IntoEventMiddlewareResult, ObservedEvent, ReceivedEvent, decode_event, event_middleware,
};
pub use queue::{EventQueue, EventQueueSize};
pub use reply::{IntoHandlerResult, IntoReply};
pub use side::{HandlerEnv, Side};
pub use socketio_proto::Reply;
pub use spawn::{FirstPoll, Spawn, poll_handler, start_handler};
pub use state::{MissingState, State, StateMap};
