//! The namespace as its adapter sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use adapter::cluster::{Message, PublishError};
use adapter::{EncodedEvent, Host, LinkChange, Ready, ServerSideResponder, Time};

use net::LogRateLimit;
use socketio_proto::Excerpt;

use super::{Inner, Namespace};
use crate::cluster_metrics::count_failed;
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

    fn now(&self) -> Time {
        net::now()
    }

    fn start_recovery_timer(self: Arc<Self>) -> bool {
        // A program may emit, or drop its connections, outside the runtime.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
        net::spawn_boxed(&runtime, drop_kept_in_time(Arc::downgrade(&self)));
        true
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

    fn on_publish_error(&self, message: &Message, error: &PublishError) {
        count_failed(error);
        // Clients can cause this, if the program passes on what they send.
        static FAILED: LogRateLimit = LogRateLimit::new();
        let namespace = &*self.name;
        FAILED.try_log(|suppressed| {
            let (namespace, message) = (Excerpt(namespace), message.name());
            let error: &(dyn std::error::Error + 'static) = error;
            tracing::warn!(%namespace, message, error, suppressed, "other servers do not get a message");
        });
        self.shared.observers.notify(|| Observation::ClusterMessageFailed { namespace, message, error });
    }
}

/// Drops the sessions and events of a namespace when they were kept long enough, until nothing is kept.
async fn drop_kept_in_time(namespace: Weak<Inner>) {
    /// What is due is dropped together with what is due soon after.
    const RESOLUTION: Duration = Duration::from_secs(1);
    /// A session that is kept later may be due earlier than what is kept now.
    const LONGEST: Duration = Duration::from_secs(10);

    // Only this call tells the adapter that no timer runs any more, so it is also the first one: what was kept when the timer
    // was started may be gone already.
    let handle_timeout = || {
        let namespace = Namespace(namespace.upgrade()?);
        let recovery = namespace.recovery()?;
        let next = recovery.handle_timeout(net::now());
        // A namespace that a client has created stays as long as one of its sessions can be recovered.
        if recovery.kept().sessions == 0
            && let Some(server) = namespace.server()
        {
            server.namespaces().remove_if_empty(&namespace);
        }
        next
    };
    while let Some(due) = handle_timeout() {
        match due.saturating_since(net::now()) {
            // There is more to drop.
            Duration::ZERO => tokio::task::yield_now().await,
            left => tokio::time::sleep(left.clamp(RESOLUTION, LONGEST)).await,
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
