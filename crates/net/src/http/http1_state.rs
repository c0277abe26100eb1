//! What hyper's service and the stream below hyper tell each other on an HTTP/1.1 connection.

use crate::http::request_filter::ParsedHead;

/// The state of one connection. Service and stream run in its task.
#[derive(Debug, Default)]
pub(crate) struct Http1State {
    pub(crate) parsed: ParsedHead,
}
