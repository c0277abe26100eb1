//! The namespace as its adapter sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adapter::{EncodedEvent, Host, LinkChange, Ready, ServerSideResponder};

use net::LogRateLimit;
use socketio_proto::Excerpt;

use super::{Inner, Namespace};
use crate::observer::Observation;
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
        // Each namespace reports the same outage, and clients may have caused many namespaces.
        static LOST: LogRateLimit = LogRateLimit::new();
        static RESTORED: LogRateLimit = LogRateLimit::new();
        let namespace = &*self.name;
        match change {
            LinkChange::Lost => LOST.try_log(|suppressed| {
                let namespace = Excerpt(namespace);
                tracing::warn!(%namespace, suppressed, "the link to the other servers of the cluster is lost");
            }),
            LinkChange::Restored { gap } => RESTORED.try_log(|suppressed| {
                let namespace = Excerpt(namespace);
                tracing::warn!(%namespace, gap, suppressed, "the link to the other servers works again");
            }),
            _ => {}
        }
        self.shared.observers.notify(|| Observation::ClusterLinkChanged { namespace, change });
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
