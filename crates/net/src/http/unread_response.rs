//! The memory of a response that its client does not read.
//!
//! A client that reads a little before each `write_timeout` may hold a response for hours. So a long response counts in
//! the [`MemoryBudget`] while it waits for its client, and its connection ends if it is among those that hold the most.
//!
//! hyper keeps the bytes of a body until the last one is written, and nobody can take them back from it. So the body
//! itself owns the [`MemoryUsage`], and the connection, which can end, only reports. A response that is read as fast as
//! it is written is never reported.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::Extensions;

use crate::memory_budget::{MemoryBudget, MemoryUsage, REGISTRATION_THRESHOLD};

/// Makes `body`, which belongs to the response with these extensions, count in `budget` while its client does not read
/// it. If the connection must end, because the budget is exceeded and it is among those that hold the most, calls
/// `on_end` before: the response will not arrive completely. Over HTTP/2 only the stream ends.
///
/// Only a [`Listener`](crate::Listener) does this. In other HTTP servers, and if the body has at most 16 KiB, nothing
/// counts.
#[must_use]
pub fn count_unread_response(
    body: Vec<u8>,
    extensions: &mut Extensions,
    budget: &MemoryBudget,
    on_end: impl FnOnce() + Send + 'static,
) -> Bytes {
    if body.len() <= REGISTRATION_THRESHOLD {
        return Bytes::from(body);
    }
    let report = Report { usage: MemoryUsage::default(), on_end: Some(Box::new(on_end)) };
    let counted = Arc::new(CountedBody { bytes: body, budget: budget.clone(), report: Mutex::new(report) });
    extensions.insert(UnreadResponse(Arc::downgrade(&counted)));
    Bytes::from_owner(BodyOwner(counted))
}

struct CountedBody {
    bytes: Vec<u8>,
    budget: MemoryBudget,
    report: Mutex<Report>,
}

struct Report {
    usage: MemoryUsage,
    on_end: Option<Box<dyn FnOnce() + Send>>,
}

/// Dropped with the last slice of the body.
struct BodyOwner(Arc<CountedBody>);

impl AsRef<[u8]> for BodyOwner {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The body of a response, for the connection that sends it.
#[derive(Clone)]
pub(crate) struct UnreadResponse(Weak<CountedBody>);

impl UnreadResponse {
    /// Reports that the peer has not read the response yet. Returns `false` if the connection must end. The task is woken
    /// when this happens later.
    #[must_use]
    pub(crate) fn report(&self, cx: &Context<'_>) -> bool {
        // The body is gone if all of it has been written.
        let Some(body) = self.0.upgrade() else { return true };
        let mut others = Vec::new();
        let (may_go_on, on_end) = {
            let mut report = body.report.lock().unwrap_or_else(PoisonError::into_inner);
            let held = body.bytes.capacity().into();
            let may_go_on = report.usage.report(&body.budget, held, cx, |waker| others.push(waker));
            (may_go_on, if may_go_on { None } else { report.on_end.take() })
        };
        others.into_iter().for_each(Waker::wake);
        if let Some(on_end) = on_end {
            on_end();
        }
        may_go_on
    }
}

impl fmt::Debug for UnreadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreadResponse").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
