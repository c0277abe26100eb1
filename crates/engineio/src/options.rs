//! The settings of an engine.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use engineio_proto::Settings;

use crate::cors::Cors;

/// How an [`Engine`](crate::Engine) behaves. The defaults are those of the Node packages where these have one.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests whose path begins with this are the engine's. Default `/engine.io/`.
    pub path: String,
    /// Heartbeat, transports and the size of a message.
    pub protocol: Settings,
    /// Headers for pages of other origins. Default none: only pages of the same origin get at the responses.
    pub cors: Option<Cors>,
    /// Asks the program about the first request of a session. Default: every request is allowed.
    pub allow_request: Option<AllowRequest>,
    /// Bytes that may wait to be sent to one client. Answers readers that stop: at the limit the connection is closed.
    /// Default 16 MiB.
    pub max_write_buffer_size: usize,
    /// Time for the body of a POST. Answers bodies that drip. Default 30 s.
    pub body_timeout: Duration,
    /// How long a closing polling session waits for the poll that takes its last packets. Default 30 s.
    pub close_timeout: Duration,
    /// Sessions at the same time. Answers handshakes without an end: a new one is refused with 503. Default 1,000,000.
    pub max_sessions: usize,
    /// Polling sessions that may begin after one of which nothing has been heard since its handshake; then that one is
    /// closed. Answers handshakes without an end that nothing follows, which would fill the memory or take the places of
    /// others. A client sends its first packet as soon as it has the answer to its handshake. Default 50,000.
    pub max_half_open_sessions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/engine.io/".into(),
            protocol: Settings::default(),
            cors: None,
            allow_request: None,
            max_write_buffer_size: 16 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(30),
            max_sessions: 1_000_000,
            max_half_open_sessions: 50_000,
        }
    }
}

/// Decides whether a session may begin; the error is what the client is told.
#[derive(Clone)]
pub struct AllowRequest(Arc<Check>);

type Check = dyn Fn(&http::request::Parts) -> Result<(), String> + Send + Sync;

impl AllowRequest {
    /// Wraps the program's decision. It runs on the connection's task, so it must not block.
    pub fn new(check: impl Fn(&http::request::Parts) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    pub(crate) fn check(&self, request: &http::request::Parts) -> Result<(), String> {
        (self.0)(request)
    }
}

impl fmt::Debug for AllowRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AllowRequest(..)")
    }
}
