//! Connects the protocol state machines to Tokio: streams, queues, timers, the HTTP server and client, and TLS.
//!
//! | folder | contents |
//! |---|---|
//! | `io` | The I/O of a connection. One task owns the connection. The task reads into the thread's [`ReadBuffer`], writes from a [`WriteQueue`] and sleeps on one [`DeadlineTimer`]. Other tasks use only the connection's [`Outbox`]. [`WebSocketStream`] combines a WebSocket state machine, a [`WriteQueue`] and a [`Stream`] of any kind |
//! | `http` | How a connection begins. [`Listener`] accepts connections and serves HTTP/1.1 and HTTP/2 until a connection is [upgraded](`finish_upgrade`). A client connects with [`Dialer`], directly or through a proxy, and sends its request with [`exchange`] |
//! | `address` | The address of a client, and the limits for one address. [`TrustedProxies`] finds the [`ClientAddress`] of a request, and an [`AddressLimiter`] limits what one address may open |
//! | `close_pace` | How fast a server that shuts down closes its connections |
//! | `connection_span` | The span in which the task of a connection runs, for programs that trace |
//! | `memory_budget` | The limit on the memory of all connections together. Each connection reports to its [`MemoryBudget`] what it holds, and those that hold the most end |
//! | [`metrics`] | What servers count for their operators |
//! | `spawn_boxed` | Spawns tasks that are rare |
//! | `task_tracker` | [`TaskTracker`] counts the tasks of a server and waits for them |
//! | `tls` | TLS for clients and servers. `http` starts the handshake; a [`Stream`] holds the encrypted connection |
//!
//! This crate does not depend on Engine.IO or Socket.IO.

mod address;
mod close_pace;
mod connection_span;
mod http;
mod io;
mod log_rate_limit;
mod memory_budget;
pub mod metrics;
mod spawn_boxed;
mod task_tracker;
mod tls;
mod unlogged;

pub use self::address::{
    AddressLimitError, AddressLimiter, AddressLimits, AddressPermit, ClientAddress, ClientNetwork,
    ForwardedHeader, InvalidNetwork, TrustedProxies,
};
pub use self::close_pace::ClosePace;
pub use self::connection_span::{ConnectionSpan, address_for_span};
#[cfg(feature = "client")]
pub use self::http::{
    DialError, Dialer, ExchangeError, ExchangeResponse, InvalidProxy, Proxy, ProxyError, Target, exchange,
};
#[cfg(feature = "http2")]
pub use self::http::{Http2Limits, Http2Stream};
pub use self::http::{
    HttpLimits, HttpService, Incoming, Listener, ListenerSettings, PeerAddress, PendingUpgrade,
    ReceivedOverTls, Upgraded, count_unread_response, finish_upgrade, is_websocket_request, original_uri,
    verify_handshake,
};
pub use self::io::{
    BoxedIo, DeadlineTimer, Frame, LatestKey, MAX_CLOSING_READS_PER_POLL, MAX_INFLATED_PER_POLL, Outbox,
    OutboxItem, OutboxSignals, PeerTimeout, PushError, PushOutcome, Pushed, ReadBuffer, SlowReaderPolicy,
    Stream, StreamEnd, TurnBudget, WebSocketStream, WireBytes, WriteQueue, defer_wake, now, wake_in_batches,
};
pub use log_rate_limit::LogRateLimit;
pub use memory_budget::{
    HeldMemory, MEMORY_BUDGET_EXCEEDED, MemoryBudget, MemoryUsage, RetainedMemory, SharedMemory,
};
pub use spawn_boxed::spawn_boxed;
pub use task_tracker::{TaskToken, TaskTracker};
#[cfg(feature = "client")]
pub use tls::TlsError;
#[cfg(feature = "client-tls")]
pub use tls::{ClientTls, ClientTlsBuilder};
#[cfg(feature = "tls")]
pub use tls::{ServerTls, ServerTlsBuilder, TlsConfigError};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use unlogged::print_if_unlogged;
pub use ws_proto::ErrorChain;
