//! The namespace as its adapter sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adapter::{EncodedEvent, Host, LinkChange, Ready, ServerSideResponder};

use super::{Inner, Namespace};
use crate::outgoing::convert;

impl Host for Inner {
    fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    fn prepare_delivery(&self, event: &EncodedEvent) -> bool {
        convert(self.shared.parser.as_ref(), event)
    }

    fn on_server_side_emit(self: Arc<Self>, event: &EncodedEvent, responder: Option<ServerSideResponder>) {
        Namespace(self).handle_server_side_event(event, responder);
    }

    fn on_link(&self, change: LinkChange) {
        match change {
            LinkChange::Lost => {
                tracing::warn!(
                    namespace = &*self.name,
                    "the link to the other servers of the cluster is lost"
                );
            }
            LinkChange::Restored { gap } => {
                tracing::warn!(namespace = &*self.name, gap, "the link to the other servers works again");
            }
            _ => {}
        }
    }
}

impl Namespace {
    /// Starts the adapter. It is the program's code: if it panics, the namespace works all the same, on this server.
    pub(super) fn start_adapter(&self) {
        let start = AssertUnwindSafe(|| self.0.adapter.start(net::now()));
        if catch_unwind(start).is_err() {
            tracing::error!(namespace = self.name(), "the adapter panicked when it was started");
        }
    }

    /// Makes the adapter leave the cluster.
    pub(crate) fn close_adapter(&self) -> Ready {
        self.0.adapter.close()
    }
}
