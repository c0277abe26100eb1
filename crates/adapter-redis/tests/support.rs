//! A Redis server, a proxy that cuts links to it, and servers of a cluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use adapter::testing::TestHost;
use adapter::{Adapter, AdapterFactory, BroadcastOptions, Host, LinkChange, Replies, Request, Time};
use redis::Client;
use tidewire_adapter_redis::{RedisAdapter, RedisAdapterBuilder};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A Redis server on an address of its own. It ends with this value.
pub(crate) struct RedisServer {
    child: Child,
    address: SocketAddr,
    /// The nodes of a Redis Cluster talk to each other over it.
    cluster_port: u16,
    options: Vec<String>,
}

const START_TIMEOUT: Duration = Duration::from_secs(20);

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let (address, cluster_port) = (own_address(), own_address().port());
        // If it does not start, it ends with this value.
        let mut server =
            Self { child: spawn(address, cluster_port, &options), address, cluster_port, options };
        assert!(wait_until_started(&mut server.child, address), "the Redis server does not start");
        server
    }

    /// Starts the nodes of a Redis Cluster, which share the slots.
    pub(crate) fn start_cluster<const COUNT: usize>() -> [Self; COUNT] {
        const SLOTS: usize = 16_384;
        let nodes: [Self; COUNT] = std::array::from_fn(|_| Self::start_with(&["--cluster-enabled", "yes"]));
        for (index, node) in nodes.iter().enumerate() {
            let [first, last] =
                [index * SLOTS / COUNT, (index + 1) * SLOTS / COUNT - 1].map(|slot| slot.to_string());
            let _: String = node.command(&[b"CLUSTER", b"ADDSLOTSRANGE", first.as_bytes(), last.as_bytes()]);
            let epoch = (index + 1).to_string();
            let _: String = node.command(&[b"CLUSTER", b"SET-CONFIG-EPOCH", epoch.as_bytes()]);
        }
        for node in &nodes[1..] {
            let words = [
                node.address.ip().to_string(),
                node.address.port().to_string(),
                node.cluster_port.to_string(),
            ];
            let [ip, port, bus_port] = words.each_ref().map(String::as_bytes);
            let _: String = nodes[0].command(&[b"CLUSTER", b"MEET", ip, port, bus_port]);
        }
        for node in &nodes {
            wait_until("the nodes of the cluster", || {
                let info: String = node.command(&[b"CLUSTER", b"INFO"]);
                let size = format!("cluster_size:{COUNT}\r");
                info.contains("cluster_state:ok") && info.contains(&size)
            });
        }
        nodes
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the server again on its address.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.address, self.cluster_port, &self.options);
        assert!(wait_until_started(&mut self.child, self.address), "the Redis server does not start again");
    }

    /// Sends a command and returns the reply.
    pub(crate) fn command<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let mut connection =
            Client::open(self.url()).and_then(|client| client.get_connection()).expect("a connection");
        let mut command = redis::cmd(std::str::from_utf8(words[0]).expect("a name"));
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection).expect("a reply")
    }

    /// Returns the number of subscribers of a channel.
    pub(crate) fn subscribers(&self, channel: &str) -> usize {
        let (_, count): (String, usize) = self.command(&[b"PUBSUB", b"NUMSUB", channel.as_bytes()]);
        count
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        // Only a node of a Redis Cluster has it.
        let _ = std::fs::remove_file(std::env::temp_dir().join(nodes_file(self.address)));
    }
}

fn nodes_file(address: SocketAddr) -> String {
    format!("tidewire-redis-{}-{}.conf", address.port(), std::process::id())
}

fn spawn(address: SocketAddr, cluster_port: u16, options: &[String]) -> Child {
    let binary = std::env::var("TIDEWIRE_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&binary);
    command.args(["--port", &address.port().to_string(), "--bind", &address.ip().to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--cluster-config-file", &nodes_file(address)]);
    command.args(["--cluster-port", &cluster_port.to_string()]);
    // Otherwise, the nodes of a Redis Cluster look for each other at the address from which they connect.
    command.args(["--cluster-announce-ip", &address.ip().to_string()]);
    command.args(options).current_dir(std::env::temp_dir());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| {
        panic!(
            "cannot start {binary:?}: {error}. These tests need the binary of a Redis or Valkey server: install redis-server, \
             or set TIDEWIRE_REDIS_SERVER to its path"
        )
    })
}

fn wait_until_started(child: &mut Child, address: SocketAddr) -> bool {
    let until = Instant::now() + START_TIMEOUT;
    while Instant::now() < until {
        if replies(address).is_ok() {
            return true;
        }
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Waits for a reply, which may be that a password is missing.
fn replies(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"PING\r\n")?;
    stream.read_exact(&mut [0])
}

/// Returns an address for a server that the test starts. Nobody else takes it, also while the server is stopped: all of
/// 127.0.0.0/8 belongs to this machine, this address is only that of this process, and the system gives out no such port. A port
/// that was free a moment ago may be that of a connection now.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    // Linux has at most 2^22 processes.
    let [_, first, second, third] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, first | 0x80, second, third);
    (address, NEXT_PORT.fetch_add(1, Ordering::Relaxed)).into()
}

/// What a proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    Pass,
    /// The connections end.
    Cut,
    /// The connections stay, and nothing passes any more, as if a cable was pulled.
    Silence,
}

/// A TCP proxy between a server and Redis.
pub(crate) struct Proxy {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
}

impl Proxy {
    pub(crate) fn start(runtime: &Runtime, target: SocketAddr) -> Self {
        let traffic = watch::Sender::new(Traffic::Pass);
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let changes = traffic.subscribe();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let changes = changes.clone();
                tokio::spawn(async move {
                    if *changes.borrow() == Traffic::Pass
                        && let Ok(server) = TcpStream::connect(target).await
                    {
                        pass(client, server, changes).await;
                    }
                });
            }
        });
        Self { address, traffic }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    pub(crate) fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }
}

/// Passes bytes in both directions, until the traffic changes.
async fn pass(mut client: TcpStream, mut server: TcpStream, mut changes: watch::Receiver<Traffic>) {
    let change = changes.wait_for(|traffic| *traffic != Traffic::Pass);
    let change = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        change = change => change.map(|traffic| *traffic),
    };
    if change.is_ok_and(|change| change == Traffic::Silence) {
        // Both ends believe that they are connected, also after the test passes new connections again.
        let _ = changes.wait_for(|traffic| *traffic == Traffic::Cut).await;
        std::future::pending::<()>().await;
    }
}

/// A server of a cluster, with the namespace `/`.
pub(crate) struct Server {
    pub(crate) redis: RedisAdapter,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) host: Arc<TestHost>,
    clock: Clock,
    /// Starts after the namespace `/`, so it learns later what happens to the link.
    links: Arc<TestHost>,
    _links_adapter: Arc<dyn Adapter>,
    seen_links: Mutex<Vec<LinkChange>>,
}

/// The clock of all servers.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }
}

/// The limit of everything that the tests wait for.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

impl Server {
    /// Starts a server. It does not wait until it is subscribed.
    pub(crate) fn start(
        runtime: &Runtime,
        builder: RedisAdapterBuilder,
        clock: Clock,
        first_ack_id: u64,
    ) -> Self {
        let _guard = runtime.enter();
        let redis = builder.build().expect("the URL is valid");
        let (adapter, host) = namespace(&redis, "/", clock, first_ack_id);
        let (links_adapter, links) = namespace(&redis, "/links", clock, 0);
        Self {
            redis,
            adapter,
            host,
            clock,
            links,
            _links_adapter: links_adapter,
            seen_links: Mutex::default(),
        }
    }

    pub(crate) fn wait_until_ready(&self, runtime: &Runtime) {
        runtime.block_on(async {
            tokio::time::timeout(LIMIT, self.redis.ready()).await.expect("Redis can be reached");
            self.adapter.ready().await;
        });
    }

    /// Waits until the namespace `/` has learnt this change of the link.
    pub(crate) fn wait_for_link(&self, change: LinkChange) {
        wait_until("a change of the link", || {
            let mut seen = self.seen_links.lock().expect("nothing panics");
            seen.extend(self.links.take_links());
            let found = seen.iter().position(|seen| *seen == change);
            found.map(|index| drop(seen.drain(..=index))).is_some()
        });
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
}

/// Starts a namespace.
pub(crate) fn namespace(
    redis: &RedisAdapter,
    name: &str,
    clock: Clock,
    first_ack_id: u64,
) -> (Arc<dyn Adapter>, Arc<TestHost>) {
    let host = TestHost::new(first_ack_id);
    let weak: Weak<TestHost> = Arc::downgrade(&host);
    let adapter = redis.create(name, weak as Weak<dyn Host>);
    adapter.start(clock.now());
    (adapter, host)
}

/// Waits until everything that the servers have published has arrived, with the replies. All servers must have a link.
///
/// A new namespace of each server asks those of the others. Its messages follow the earlier ones, and so do the replies. Each
/// round also waits for what was asked for before: subscriptions, namespaces that are closed, and counts.
pub(crate) fn settle(runtime: &Runtime, servers: &[&Server]) {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..3 {
        let name = format!("/settle-{}", ROUND.fetch_add(1, Ordering::Relaxed));
        let namespaces: Vec<_> = servers
            .iter()
            .map(|server| (namespace(&server.redis, &name, server.clock, 0), server.now()))
            .collect();
        runtime.block_on(async {
            for ((adapter, _), _) in &namespaces {
                tokio::time::timeout(LIMIT, adapter.ready()).await.expect("it is subscribed");
            }
            for ((adapter, _), now) in &namespaces {
                let (open, mut closed) = tokio::sync::mpsc::channel::<()>(1);
                let replies = Replies::new(move |_| {
                    let _ = &open;
                });
                let request = Request { timeout: LIMIT, now: *now, replies };
                adapter.fetch_sockets(&BroadcastOptions::new(), request);
                let _ = tokio::time::timeout(LIMIT, closed.recv()).await.expect("the others reply");
            }
            for ((adapter, _), _) in namespaces {
                adapter.close().await;
            }
        });
    }
}

/// Waits until something is the case.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < until, "{what} has not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Creates the runtime in which the connections of a test live.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
