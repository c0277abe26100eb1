//! The tests that every adapter must pass, with the adapter of one process and with clusters of two and of three servers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidewire_adapter::cluster::LocalDelivery;
use tidewire_adapter::testing::suite::{self, Cluster};
use tidewire_adapter::testing::{Loopback, Server, TestHost};
use tidewire_adapter::{Adapter, Host, InMemoryAdapter, Time};

type Servers = Vec<(Arc<dyn Adapter>, Arc<TestHost>)>;

struct InMemory(Servers);

impl InMemory {
    fn start() -> Self {
        Self(vec![(Arc::new(InMemoryAdapter::new()), TestHost::new(1))])
    }
}

impl Cluster for InMemory {
    fn servers(&self) -> Servers {
        self.0.clone()
    }

    fn recovers(&self) -> bool {
        true
    }
}

struct LoopbackCluster {
    bus: Loopback,
    local_delivery: LocalDelivery,
    attached: Vec<Server>,
    servers: Servers,
}

impl LoopbackCluster {
    fn start(count: u64, local_delivery: LocalDelivery) -> Self {
        Self::start_on(Loopback::new(local_delivery), count, local_delivery)
    }

    fn start_counted(count: u64, names_repliers: bool) -> Self {
        Self::start_on(Loopback::counting(names_repliers), count, LocalDelivery::AtOnce)
    }

    fn start_on(bus: Loopback, count: u64, local_delivery: LocalDelivery) -> Self {
        let attached: Vec<_> = (0..count).map(|_| bus.attach()).collect();
        let start = |(server, first_ack_id): (&Server, u64)| {
            let host = TestHost::new(first_ack_id);
            let weak: Weak<TestHost> = Arc::downgrade(&host);
            let adapter = server.adapter("/", weak as Weak<dyn Host>);
            adapter.start(Time::ZERO);
            (adapter, host)
        };
        let servers = attached.iter().zip((10..).step_by(10)).map(start).collect();
        bus.settle();
        // After this, the servers know that there are no others.
        bus.advance(Duration::from_secs(6));
        Self { bus, local_delivery, attached, servers }
    }
}

impl Cluster for LoopbackCluster {
    fn servers(&self) -> Servers {
        self.servers.clone()
    }

    fn recovers(&self) -> bool {
        self.local_delivery == LocalDelivery::InLogOrder
    }

    fn settle(&self) {
        self.bus.settle();
    }

    fn now(&self) -> Time {
        self.bus.now()
    }

    fn advance(&self, by: Duration) {
        self.bus.advance(by);
    }

    fn set_link(&self, server: usize, is_up: bool) -> bool {
        if is_up {
            self.attached[server].restore();
        } else {
            self.attached[server].cut();
        }
        true
    }
}

mod in_memory {
    use super::*;

    tidewire_adapter::adapter_suite!(InMemory::start());
}

mod two_servers {
    use super::*;

    tidewire_adapter::adapter_suite!(LoopbackCluster::start(2, LocalDelivery::AtOnce));
}

mod three_servers {
    use super::*;

    tidewire_adapter::adapter_suite!(LoopbackCluster::start(3, LocalDelivery::AtOnce));
}

mod counted {
    use super::*;

    tidewire_adapter::adapter_suite!(LoopbackCluster::start_counted(3, true));
}

mod counted_with_anonymous_replies {
    use super::*;

    tidewire_adapter::adapter_suite!(LoopbackCluster::start_counted(3, false));
}

mod in_log_order {
    use super::*;

    tidewire_adapter::adapter_suite!(LoopbackCluster::start(3, LocalDelivery::InLogOrder));
}

/// Says the contrary of what the adapters of a cluster do.
struct Denying<C>(C);

impl<C: Cluster> Cluster for Denying<C> {
    fn servers(&self) -> Servers {
        self.0.servers()
    }

    fn recovers(&self) -> bool {
        !self.0.recovers()
    }
}

#[test]
#[should_panic(expected = "whether recovery is enabled")]
fn an_adapter_that_promises_recovery_and_refuses_it_fails() {
    let cluster = Denying(LoopbackCluster::start(2, LocalDelivery::AtOnce));
    suite::a_session_gets_what_it_has_missed_in_the_order_of_the_log(&cluster);
}

#[test]
#[should_panic(expected = "whether recovery is enabled")]
fn an_adapter_that_denies_recovery_and_enables_it_fails() {
    suite::a_session_gets_what_it_has_missed_in_the_order_of_the_log(&Denying(InMemory::start()));
}
