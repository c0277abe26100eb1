//! Two servers that act like one, with a message bus that the program has written itself:
//! `cargo run -p tidewire --features client,cluster --example two_servers`.
//!
//! The bus of this example is a channel, so both servers are in one process. A bus between processes has the same parts: it
//! encodes each `Message` where this one sends a copy, and decodes it where this one calls `handle_message`.
//!
//! The channel gives all messages one order, and each of them a number. So a client that has lost its connection can recover
//! its session on either server.
#![allow(clippy::print_stdout, reason = "the example prints what the clients receive")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tidewire::client::{self, Client};
use tidewire::server::adapter::cluster::{
    Bus, ClusterAdapter, ClusterOptions, LocalDelivery, Message, NodeId, PublishError, Recipient,
};
use tidewire::server::adapter::{Adapter, Host, LinkChange, Ready, Time};
use tidewire::server::{ConnectionStateRecovery, Data, Server, Socket};
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let broker = Broker::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 2];
    for address in &mut addresses {
        let io = server(&broker);
        let listener = io.bind(*address).await?;
        *address = listener.local_addr()?;
        tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    }
    let (received, mut lines) = mpsc::unbounded_channel();
    let clients = [("Ann", addresses[0]), ("Bob", addresses[1])]
        .map(|(name, address)| connect(name, address, received.clone()));
    for client in &clients {
        client.connected().await.map_err(std::io::Error::other)?;
    }
    clients[0].emit("say", "hello");
    clients[1].emit("say", "hi");
    // Each of the two gets both.
    for _ in 0..4 {
        if let Some(line) = lines.recv().await {
            println!("{line}");
        }
    }
    Ok(())
}

/// A server of the cluster. What one of its clients says reaches the clients of all servers.
pub(crate) fn server(broker: &Broker) -> Server {
    let recovery = ConnectionStateRecovery::default();
    let io = Server::builder().adapter(broker.adapters()).connection_state_recovery(recovery).build();
    io.on("say", async |io: Server, socket: Socket, Data(text): Data<String>| {
        io.emit("said", (socket.id(), text));
    });
    io
}

/// Connects a client, which passes on what it hears.
pub(crate) fn connect(
    name: &'static str,
    address: SocketAddr,
    received: mpsc::UnboundedSender<String>,
) -> client::Socket {
    Client::builder(format!("http://{address}"))
        .on("said", move |Data((_, text)): Data<(String, String)>| {
            let _ = received.send(format!("{name} hears: {text}"));
            std::future::ready(())
        })
        .connect()
}

/// What the servers are connected to. It passes each message to all of them, also to its sender.
#[derive(Clone)]
pub(crate) struct Broker(Arc<Shared>);

struct Shared {
    messages: broadcast::Sender<Arc<Envelope>>,
    /// The number of the last message. It is locked while a message is sent, so that the numbers increase for all receivers.
    last: Mutex<u64>,
}

struct Envelope {
    number: u64,
    namespace: Box<str>,
    sender: NodeId,
    recipient: Recipient,
    message: Message,
}

impl Broker {
    pub(crate) fn new() -> Self {
        // A server that is more messages behind than this loses some, and learns it.
        Self(Arc::new(Shared { messages: broadcast::Sender::new(1024), last: Mutex::new(0) }))
    }

    /// Returns the function that creates the adapter of each namespace of a server.
    fn adapters(&self) -> impl Fn(&str, Weak<dyn Host>) -> Arc<dyn Adapter> + Send + Sync + 'static {
        // The program may create a namespace outside the runtime.
        let (broker, runtime) = (self.clone(), Handle::current());
        move |namespace: &str, host: Weak<dyn Host>| -> Arc<dyn Adapter> {
            let mut random = [0; 16];
            getrandom::fill(&mut random).expect("the operating system has random bytes");
            let mut options = ClusterOptions::new(random);
            options.local_delivery = LocalDelivery::InLogOrder;
            let bus = ChannelBus {
                broker: broker.clone(),
                runtime: runtime.clone(),
                namespace: namespace.into(),
                id: options.id.clone(),
                wake: Arc::default(),
                task: Mutex::new(None),
            };
            ClusterAdapter::new(namespace, host, bus, options)
        }
    }

    fn send(&self, message: impl FnOnce(u64) -> Envelope) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        // Without a receiver, all servers are closed.
        let _ = self.0.messages.send(Arc::new(message(*last)));
    }
}

/// The connection of one namespace of one server to the broker.
struct ChannelBus {
    broker: Broker,
    runtime: Handle,
    namespace: Box<str>,
    id: NodeId,
    wake: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

impl Bus for ChannelBus {
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time) {
        // Before the adapter publishes its first message, whose answers it needs.
        let messages = self.broker.0.messages.subscribe();
        let clock = Clock { start: Instant::now(), time: now };
        let task = self.runtime.spawn(receive(messages, adapter, Arc::clone(&self.wake), clock));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }

    fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        // The channel is never full. A bus that has a limit returns an error here. The message comes back to the task of this
        // server, and so wakes it.
        self.broker.send(|number| Envelope {
            number,
            namespace: self.namespace.clone(),
            sender: self.id.clone(),
            recipient,
            message: message.clone(),
        });
        Ok(())
    }

    fn wake(&self) {
        self.wake.notify_one();
    }

    fn close(&self) -> Ready {
        // Everything has been sent.
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        Ready::now()
    }
}

/// The clock of the server.
struct Clock {
    start: Instant,
    /// The time at `start`.
    time: Time,
}

impl Clock {
    fn now(&self) -> Time {
        self.time + self.start.elapsed()
    }

    fn instant(&self, time: Time) -> Instant {
        self.start + time.saturating_since(self.time)
    }
}

/// Passes messages and deadlines to an adapter, as long as it exists.
async fn receive(
    mut messages: broadcast::Receiver<Arc<Envelope>>,
    adapter: Weak<ClusterAdapter>,
    wake: Arc<Notify>,
    clock: Clock,
) {
    loop {
        let Some(deadline) = adapter.upgrade().map(|adapter| adapter.poll_timeout()) else { return };
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(clock.instant(deadline)).await,
                None => std::future::pending().await,
            }
        };
        let received = tokio::select! {
            received = messages.recv() => Some(received),
            () = due => None,
            // The deadline has changed.
            () = wake.notified() => None,
        };
        let Some(adapter) = adapter.upgrade() else { return };
        match received {
            Some(Ok(envelope)) => pass_on(&envelope, &adapter, clock.now()),
            // Messages are lost. The adapter then recovers no session across the gap, and asks again who is there.
            Some(Err(RecvError::Lagged(_))) => {
                adapter.handle_link(LinkChange::Lost);
                adapter.handle_link(LinkChange::Restored { gap: true });
            }
            Some(Err(RecvError::Closed)) => return,
            None => {}
        }
        // Also if messages arrive all the time.
        if adapter.poll_timeout().is_some_and(|deadline| deadline <= clock.now()) {
            adapter.handle_timeout(clock.now());
        }
    }
}

fn pass_on(envelope: &Envelope, adapter: &ClusterAdapter, now: Time) {
    let Envelope { number, namespace, sender, recipient, message } = envelope;
    let is_recipient = match recipient {
        Recipient::All => true,
        Recipient::Node(id) => id == adapter.id(),
    };
    if is_recipient && **namespace == *adapter.namespace() {
        adapter.handle_message(Some(sender), message.clone(), Some(&number.to_string()), now);
    }
}
