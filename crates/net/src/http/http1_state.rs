//! What hyper's service and the stream below hyper tell each other on an HTTP/1.1 connection.

use std::sync::{Mutex, PoisonError};
use std::task::Context;

use crate::http::request_filter::ParsedHead;
use crate::http::unread_response::UnreadResponse;

/// The state of one connection. Service and stream run in its task.
#[derive(Debug, Default)]
pub(crate) struct Http1State {
    pub(crate) parsed: ParsedHead,
    /// The last response that may have to wait for the peer. hyper reads the next request only when this response has
    /// been written, so there is only one.
    unread: Mutex<Option<UnreadResponse>>,
}

impl Http1State {
    pub(crate) fn set_response(&self, response: UnreadResponse) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
    }

    /// Reports that the peer does not read what was written. Returns `false` if the connection must end, because it holds
    /// too much of the memory budget.
    #[must_use]
    pub(crate) fn report_unread(&self, cx: &Context<'_>) -> bool {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone();
        unread.is_none_or(|response| response.report(cx))
    }
}
