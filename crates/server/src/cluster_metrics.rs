//! The metrics of a cluster: what the server asks its adapters for, and what it counts itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use adapter::cluster::{BusStats, PublishError};
use adapter::{AdapterFactory, Missing, MissingReason, Reply};
use net::metrics::{self, ClusterStats, Series};

use crate::server::Namespaces;

/// Lets the metrics ask the server, if its adapters belong to a cluster.
pub(crate) fn observe(namespaces: &Arc<Namespaces>) {
    if metrics::IS_ENABLED && bus_stats(namespaces.adapter_factory()).is_some() {
        let namespaces = Arc::downgrade(namespaces);
        metrics::observe_cluster(move || stats(&namespaces));
    }
}

/// Returns `None` if the server has ended.
fn stats(namespaces: &Weak<Namespaces>) -> Option<ClusterStats> {
    let namespaces = namespaces.upgrade()?;
    let bus = bus_stats(namespaces.adapter_factory()).unwrap_or_default();
    // Every server has this namespace.
    let servers = catch_unwind(AssertUnwindSafe(|| namespaces.root()?.adapter().server_count()));
    Some(ClusterStats {
        is_connected: bus.is_connected,
        servers: servers.ok().flatten().unwrap_or(0),
        queued_messages: bus.queued,
        queued_bytes: bus.queued_bytes,
        links_lost: bus.links_lost,
        messages_sent: bus.published,
        bytes_sent: bus.published_bytes,
        messages_received: bus.received,
        bytes_received: bus.received_bytes,
        messages_invalid: bus.invalid,
        subscriptions_refused: bus.subscriptions_refused,
    })
}

/// The factory may be the program's code: if it panics, the metrics go on.
fn bus_stats(factory: &dyn AdapterFactory) -> Option<BusStats> {
    catch_unwind(AssertUnwindSafe(|| factory.bus_stats())).ok().flatten()
}

/// Counts a message that other servers do not get.
pub(crate) fn count_failed(error: &PublishError) {
    metrics::count(match error {
        PublishError::TooLarge { .. } => Series::ClusterTooLarge,
        PublishError::QueueFull { .. } => Series::ClusterQueueFull,
        PublishError::LinkLost => Series::ClusterLinkLost,
        PublishError::NotReturned => Series::ClusterNotReturned,
        _ => Series::ClusterRefused,
    });
}

/// Counts the reply if it says that another server has not replied.
pub(crate) fn count_missing(reply: &Reply) {
    let Reply::Missing(Missing::Server { reason, .. }) = reply else { return };
    metrics::count(match reason {
        MissingReason::TimedOut => Series::ClusterReplyTimedOut,
        MissingReason::Limit => Series::ClusterReplyLimit,
        _ => Series::ClusterReplyDisconnected,
    });
}

#[cfg(test)]
mod tests {
    use adapter::cluster::{BusCounters, LocalDelivery};
    use adapter::testing::{Loopback, Server as Attached};
    use adapter::{Adapter, Host};

    use super::*;
    use crate::Server;

    /// A server on the bus in this process, whose driver counts.
    struct Counting {
        server: Attached,
        counters: Arc<BusCounters>,
    }

    impl AdapterFactory for Counting {
        fn create(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter> {
            self.server.adapter(namespace, host)
        }

        fn bus_stats(&self) -> Option<BusStats> {
            Some(self.counters.stats(true, (3, 30)))
        }
    }

    fn read(io: &Server) -> Option<ClusterStats> {
        stats(&Arc::downgrade(io.namespaces()))
    }

    #[tokio::test]
    async fn a_server_reports_its_bus_and_the_number_of_servers() {
        let bus = Loopback::new(LocalDelivery::AtOnce);
        let counters = Arc::new(BusCounters::default());
        counters.count_published(70);
        counters.count_received(80);
        counters.count_invalid();
        counters.count_link_lost();
        counters.count_subscription_refused();
        let counting = Counting { server: bus.attach(), counters };
        let io = Server::builder().adapter(counting).build();
        let other = bus.attach();
        let another = Server::builder().adapter(move |name: &str, host| other.adapter(name, host)).build();
        bus.settle();
        let expected = ClusterStats {
            is_connected: true,
            servers: 2,
            queued_messages: 3,
            queued_bytes: 30,
            links_lost: 1,
            messages_sent: 1,
            bytes_sent: 70,
            messages_received: 1,
            bytes_received: 80,
            messages_invalid: 1,
            subscriptions_refused: 1,
        };
        assert_eq!(read(&io), Some(expected));
        // Its factory is a closure, which has no bus.
        assert_eq!(read(&another), Some(ClusterStats { servers: 2, ..ClusterStats::default() }));
        let namespaces = Arc::downgrade(io.namespaces());
        drop(io);
        assert_eq!(stats(&namespaces), None);
    }
}
