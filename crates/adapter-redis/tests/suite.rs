//! The tests that every adapter must pass, over Redis.

use std::sync::Arc;
use std::time::Duration;

use adapter::testing::TestHost;
use adapter::testing::suite::Cluster;
use adapter::{Adapter, LinkChange, Time};
use tidewire_adapter_redis::{RedisAdapter, RedisAdapterBuilder, SubscriptionMode};
use tokio::runtime::Runtime;

use crate::support::{Clock, Proxy, RedisServer, Server, Traffic, runtime, settle};

/// Servers that are connected over proxies, or a Redis Cluster.
struct RedisCluster {
    clock: Clock,
    servers: Vec<Server>,
    proxies: Vec<Proxy>,
    runtime: Runtime,
    _redis: RedisServer,
}

impl RedisCluster {
    fn start(count: u64, set: impl Fn(RedisAdapterBuilder) -> RedisAdapterBuilder) -> Self {
        let (redis, runtime, clock) = (RedisServer::start(), runtime(), Clock::start());
        let proxies: Vec<_> = (0..count).map(|_| Proxy::start(&runtime, redis.address())).collect();
        let start = |(proxy, first_ack_id): (&Proxy, u64)| {
            let millis = Duration::from_millis;
            let builder = RedisAdapter::builder(proxy.url()).reconnection_delay(millis(5), millis(50));
            Server::start(&runtime, set(builder), clock, first_ack_id)
        };
        let servers: Vec<_> = proxies.iter().zip((10..).step_by(10)).map(start).collect();
        servers.iter().for_each(|server| server.wait_until_ready(&runtime));
        Self { clock, servers, proxies, runtime, _redis: redis }
    }

    /// Starts servers that are connected to a Redis Cluster of one node.
    fn start_in_redis_cluster(set: impl Fn(RedisAdapterBuilder) -> RedisAdapterBuilder) -> Self {
        let ([redis], runtime, clock) = (RedisServer::start_cluster(), runtime(), Clock::start());
        let start = |first_ack_id: u64| {
            let builder = RedisAdapter::builder(redis.url()).redis_cluster([redis.url()]);
            Server::start(&runtime, set(builder), clock, first_ack_id)
        };
        let servers: Vec<_> = [10, 20].map(start).into();
        servers.iter().for_each(|server| server.wait_until_ready(&runtime));
        Self { clock, servers, proxies: Vec::new(), runtime, _redis: redis }
    }
}

impl Cluster for RedisCluster {
    fn servers(&self) -> Vec<(Arc<dyn Adapter>, Arc<TestHost>)> {
        self.servers.iter().map(|server| (Arc::clone(&server.adapter), Arc::clone(&server.host))).collect()
    }

    fn recovers(&self) -> bool {
        false
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    fn settle(&self) {
        let connected: Vec<_> = self.servers.iter().filter(|server| server.redis.is_connected()).collect();
        settle(&self.runtime, &connected);
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn advance(&self, by: Duration) {
        // A deadline that is noticed a little late gives 200 ms more.
        std::thread::sleep(by + Duration::from_millis(500));
        self.settle();
    }

    fn set_link(&self, server: usize, is_up: bool) -> bool {
        // A Redis Cluster says where its nodes are, so proxies are of no use.
        let Some(proxy) = self.proxies.get(server) else { return false };
        proxy.set(if is_up { Traffic::Pass } else { Traffic::Cut });
        let change = if is_up { LinkChange::Restored { gap: true } } else { LinkChange::Lost };
        self.servers[server].wait_for_link(change);
        true
    }
}

mod classic {
    use super::*;

    adapter::adapter_suite!(RedisCluster::start(3, |builder| builder));
}

mod classic_with_response_channels {
    use super::*;

    adapter::adapter_suite!(
        RedisCluster::start(2, |builder| builder.publish_on_specific_response_channel(true))
    );
}

mod sharded {
    use super::*;

    adapter::adapter_suite!(RedisCluster::start(3, |builder| builder.sharded(SubscriptionMode::Dynamic)));
}

mod sharded_with_private_channels {
    use super::*;

    adapter::adapter_suite!(
        RedisCluster::start(2, |builder| builder.sharded(SubscriptionMode::DynamicPrivate))
    );
}

mod sharded_without_channels_of_rooms {
    use super::*;

    adapter::adapter_suite!(RedisCluster::start(2, |builder| builder.sharded(SubscriptionMode::Static)));
}

mod in_a_redis_cluster {
    use super::*;

    adapter::adapter_suite!(RedisCluster::start_in_redis_cluster(|builder| builder));
}

mod sharded_in_a_redis_cluster {
    use super::*;

    adapter::adapter_suite!(RedisCluster::start_in_redis_cluster(
        |builder| builder.sharded(SubscriptionMode::Dynamic)
    ));
}
