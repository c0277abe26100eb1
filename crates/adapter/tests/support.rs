//! Servers of a cluster. The test moves the messages between them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidewire_adapter::cluster::{ClusterAdapter, ClusterOptions, LocalDelivery};
use tidewire_adapter::testing::{Loopback, Probe, Server, TestHost, event, id};
use tidewire_adapter::{Adapter, BroadcastOptions, Host, LocalSocket, Recovery, RecoveryOptions};

/// Servers of a cluster, each with a socket in the namespace `/`.
pub(crate) struct Cluster {
    pub(crate) bus: Loopback,
    pub(crate) nodes: Vec<Node>,
}

pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) host: Arc<TestHost>,
    pub(crate) adapter: Arc<ClusterAdapter>,
    pub(crate) probe: Arc<Probe>,
}

impl Cluster {
    /// Creates a cluster without servers.
    pub(crate) fn new(local_delivery: LocalDelivery) -> Self {
        Self { bus: Loopback::new(local_delivery), nodes: vec![] }
    }

    /// Starts servers that know each other.
    pub(crate) fn start(count: u8, local_delivery: LocalDelivery, set: impl Fn(&mut ClusterOptions)) -> Self {
        let mut cluster = Self::new(local_delivery);
        for _ in 0..count {
            cluster.join(Duration::ZERO, &set);
        }
        cluster.bus.settle();
        cluster
    }

    /// Starts another server, whose clock is ahead of the bus. Nothing reaches it yet.
    pub(crate) fn join(&mut self, clock: Duration, set: impl Fn(&mut ClusterOptions)) -> &Node {
        let (server, host) = (self.bus.attach(), TestHost::new(0));
        let weak: Weak<TestHost> = Arc::downgrade(&host);
        let adapter = server.adapter_with("/", weak as Weak<dyn Host>, set);
        server.set_clock(clock);
        adapter.start(server.now());
        let number = u8::try_from(self.nodes.len()).expect("a test has few servers");
        let probe = Probe::new(id(number));
        adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
        self.nodes.push(Node { server, host, adapter, probe });
        &self.nodes[usize::from(number)]
    }

    /// Makes the bus accept everything that was published.
    pub(crate) fn accept(&self) {
        while self.bus.accept_one() {}
    }

    /// Takes the events that the socket of each server has received.
    pub(crate) fn texts(&self) -> Vec<Vec<String>> {
        self.nodes.iter().map(|node| node.probe.texts()).collect()
    }
}

impl Node {
    pub(crate) fn enable_recovery(&self, options: RecoveryOptions) {
        let host: Weak<TestHost> = Arc::downgrade(&self.host);
        assert!(self.adapter.enable_recovery(options, host as Weak<dyn Host>));
    }

    pub(crate) fn recovery(&self) -> &dyn Recovery {
        self.adapter.recovery().expect("enabled")
    }

    pub(crate) fn emit(&self, name: &str) {
        self.adapter.broadcast(&event(name), &BroadcastOptions::new());
    }

    /// Delivers everything that the bus has accepted for this server.
    pub(crate) fn deliver(&self) {
        while self.server.deliver_one() {}
    }
}
