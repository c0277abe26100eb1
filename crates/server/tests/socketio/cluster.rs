//! Two servers in a cluster. The test moves the messages between them.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use adapter::cluster::{LocalDelivery, PublishError};
use adapter::testing::{self, Loopback};
use adapter::{Host, Ready};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tidewire_server::parser::{
    DecodeError, IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
};
use tidewire_server::{
    AckError, AckFailure, Adapter, Builder, DataError, EncodeError, FetchedSocket, InMemoryAdapter,
    JoinError, Limits, Missing, MissingReason, Namespace, Observation, Reply, Server, Socket, SocketId,
    State,
};
use tokio::sync::Notify;

use crate::support::{Client, Joined, Program, log, program, serve, soon};

pub(crate) struct Cluster {
    pub(crate) bus: Loopback,
    pub(crate) attached: Vec<testing::Server>,
    pub(crate) servers: Vec<Server>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) programs: Vec<Program>,
}

impl Cluster {
    pub(crate) async fn start(local_delivery: LocalDelivery) -> Self {
        Self::start_with(local_delivery, |builder| builder).await
    }

    /// Starts a cluster. `configure` changes the settings of each server.
    pub(crate) async fn start_with(
        local_delivery: LocalDelivery,
        configure: impl Fn(Builder) -> Builder,
    ) -> Self {
        let bus = Loopback::new(local_delivery);
        let (attached, servers, addresses, programs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut cluster = Self { bus, attached, servers, addresses, programs };
        for _ in 0..2 {
            let attached = cluster.bus.attach();
            let (builder, program) = program();
            let server = attached.clone();
            let builder = builder
                .adapter(move |name: &str, host: Weak<dyn Host>| server.adapter(name, host))
                .limits(Limits { cluster_timeout: Duration::from_secs(3), ..Limits::default() });
            let io = configure(builder).build();
            io.on_connection(async |socket: Socket, joined: State<Joined>| {
                joined.0.0.send(socket).expect("a test");
            });
            cluster.addresses.push(serve(&io).await);
            cluster.attached.push(attached);
            cluster.servers.push(io);
            cluster.programs.push(program);
        }
        cluster.bus.settle();
        // After this, the servers know that there are no others.
        cluster.bus.advance(Duration::from_secs(6));
        cluster
    }

    /// Connects a client to a server.
    pub(crate) async fn join(&mut self, server: usize) -> (Client, Socket) {
        (Client::join(self.addresses[server]).await, self.programs[server].joined().await)
    }

    /// Moves messages between the servers until the future is ready.
    pub(crate) async fn moved<F: IntoFuture>(&self, future: F) -> F::Output {
        let mut future = pin!(future.into_future());
        soon(std::future::poll_fn(|cx| {
            self.bus.settle();
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                // The bus wakes nobody.
                cx.waker().wake_by_ref();
            }
            polled
        }))
        .await
    }
}

#[tokio::test]
async fn rooms_span_the_servers() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let ((mut a, ann), (mut b, bob)) = (cluster.join(0).await, cluster.join(1).await);
    let [one, two] = [0, 1].map(|server| cluster.servers[server].clone());
    assert_eq!((one.server_count(), two.server_count()), (Some(2), Some(2)));
    ann.join("room").await.expect("it may join");
    bob.join("room").await.expect("it may join");
    one.to("room").emit("one", ());
    cluster.bus.settle();
    ann.to("room").emit("two", ());
    cluster.bus.settle();
    two.to("room").local().emit("three", ());
    cluster.bus.settle();
    two.to(ann.id()).emit("four", ());
    two.emit("five", ());
    cluster.bus.settle();
    for packet in [r#"42["one"]"#, r#"42["four"]"#, r#"42["five"]"#] {
        a.expect(packet).await;
    }
    for packet in [r#"42["one"]"#, r#"42["two"]"#, r#"42["three"]"#, r#"42["five"]"#] {
        b.expect(packet).await;
    }

    one.to(bob.id()).sockets_join("other");
    cluster.bus.settle();
    assert_eq!(two.to("other").socket_ids(), [bob.id()]);
    assert!(two.rooms().contains(&("other".into(), 1)));
    one.to("other").sockets_leave("room");
    cluster.bus.settle();
    assert!(two.to("room").socket_ids().is_empty());
    one.to("other").disconnect_sockets(true);
    cluster.bus.settle();
    b.expect("41").await;
    b.expect_end().await;
}

#[tokio::test]
async fn the_offset_of_the_log_reaches_the_clients_of_all_servers_in_one_order() {
    let mut cluster = Cluster::start(LocalDelivery::InLogOrder).await;
    let ((mut a, _ann), (mut b, _bob)) = (cluster.join(0).await, cluster.join(1).await);
    cluster.servers[0].emit("first", ());
    cluster.servers[1].emit("second", 2);
    cluster.bus.settle();
    for client in [&mut a, &mut b] {
        client.expect(r#"42["first","0001"]"#).await;
        client.expect(r#"42["second",2,"0002"]"#).await;
    }
}

#[tokio::test]
async fn a_parent_reaches_its_children_on_all_servers() {
    let cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let parents: Vec<_> = cluster
        .servers
        .iter()
        .enumerate()
        .map(|(number, io)| {
            let parent = io.of_pattern(|name| name.starts_with("/room-"));
            parent.on_server_side_emit("number", move |(): ()| async move { Reply(number) });
            parent
        })
        .collect();
    let mut clients = Vec::new();
    for address in &cluster.addresses {
        let mut client = Client::open(*address).await;
        for namespace in ["/room-1,", "/room-2,"] {
            cluster.moved(client.connect(namespace)).await;
        }
        clients.push(client);
    }
    cluster.bus.settle();
    parents[0].emit("news", 1);
    cluster.bus.settle();
    for client in &mut clients {
        let mut received = [client.recv().await, client.recv().await].map(|packet| packet.expect("an event"));
        received.sort();
        assert_eq!(received, [r#"42/room-1,["news",1]"#, r#"42/room-2,["news",1]"#]);
    }
    // The other server responds for each of the two children.
    let numbers = cluster.moved(parents[0].server_side_emit_with_ack::<usize>("number", ())).await;
    assert_eq!(numbers, Ok(vec![1, 1]));
    let sockets = cluster.moved(Box::pin(parents[1].fetch_sockets())).await.expect("all servers reply");
    assert_eq!((sockets.len(), sockets.iter().filter(|socket| socket.local().is_some()).count()), (4, 2));
}

#[tokio::test]
async fn the_acknowledgements_of_all_servers_are_one_result() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let ((mut a, _ann), (mut b, bob)) = (cluster.join(0).await, cluster.join(1).await);
    // Each server has its own acknowledgement ids.
    let own = bob.emit_with_ack::<u8>("own", ());
    b.expect(r#"420["own"]"#).await;
    let mut acks = cluster.servers[0].emit_with_ack::<String>("question", "x");
    cluster.bus.settle();
    a.expect(r#"420["question","x"]"#).await;
    b.expect(r#"421["question","x"]"#).await;
    b.send_all([r#"431["b","ignored"]"#, "430[9]"]).await;
    assert_eq!(cluster.moved(acks.next()).await, Some(Ok("b".into())));
    a.send(r#"430["a"]"#).await;
    assert_eq!(cluster.moved(acks).await, Ok(vec!["a".into()]));
    assert_eq!(soon(own).await, Ok(9));
}

#[tokio::test]
async fn a_client_or_a_server_that_goes_is_missing_at_once() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let (_a, ann) = cluster.join(0).await;
    let ((mut b, bob), (mut c, _cid)) = (cluster.join(1).await, cluster.join(1).await);
    let others = cluster.servers[0].except(ann.id()).timeout(Duration::from_secs(3600));
    let mut acks = others.clone().emit_with_ack::<u8>("question", ());
    cluster.bus.settle();
    b.expect(r#"420["question"]"#).await;
    drop(b);
    let id = bob.id().as_str().into();
    let gone = AckFailure::Missing(Missing::Client { id, reason: MissingReason::Disconnected });
    assert_eq!(cluster.moved(acks.next()).await, Some(Err(gone)));
    c.expect(r#"420["question"]"#).await;

    cluster.attached[0].cut();
    let Some(Err(AckFailure::Missing(missing))) = soon(acks.next()).await else { panic!("one is missing") };
    assert!(
        matches!(missing, Missing::Clients { count: 1, reason: MissingReason::Disconnected, .. }),
        "{missing}"
    );
    assert_eq!(soon(acks.next()).await, None);
    assert!(cluster.servers[0].fetch_sockets().await.is_err(), "the link is lost");

    cluster.attached[0].restore();
    cluster.bus.settle();
    let acks = others.emit_with_ack::<u8>("question", ());
    cluster.bus.settle();
    c.expect(r#"421["question"]"#).await;
    c.send("431[1]").await;
    assert_eq!(cluster.moved(acks).await, Ok(vec![1]));
}

#[tokio::test]
async fn a_client_of_another_server_that_is_silent_is_named() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let (_b, bob) = cluster.join(1).await;
    let acks = cluster.servers[0].timeout(Duration::from_millis(30)).emit_with_ack::<u8>("question", ());
    let incomplete = cluster.moved(acks).await.expect_err("it is silent");
    let id = bob.id().as_str().into();
    let silent = AckFailure::Missing(Missing::Client { id, reason: MissingReason::TimedOut });
    assert_eq!(incomplete.failures, [silent]);
}

/// The sockets that a server sees, with its own first.
async fn fetch(cluster: &Cluster, server: usize) -> Vec<FetchedSocket> {
    let all = cluster.servers[server].broadcast();
    let mut sockets = cluster.moved(all.fetch_sockets()).await.expect("both reply");
    sockets.sort_by_key(|socket| socket.local().is_none());
    sockets
}

#[tokio::test]
async fn the_sockets_of_all_servers_are_fetched_and_can_be_used() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let (mut a, ann) = cluster.join(0).await;
    let mut b = Client::open(cluster.addresses[1]).await;
    b.send(r#"40{"user":"bob"}"#).await;
    b.recv().await.expect("the response to CONNECT");
    let bob = cluster.programs[1].joined().await;
    bob.join("room");
    let data = (vec![1], Bytes::from_static(b"binary"));
    bob.set_data(&data).expect("it is serializable");

    let sockets = fetch(&cluster, 0).await;
    let [own, other] = &*sockets else { panic!("two sockets: {sockets:?}") };
    assert_eq!((own.id(), own.local().map(Socket::id)), (ann.id().as_str(), Some(ann.id())));
    assert_eq!((other.id(), other.local().map(Socket::id)), (bob.id().as_str(), None));
    assert_eq!(other.rooms(), bob.rooms());
    assert_eq!(other.handshake().url(), bob.handshake().url());
    assert_eq!(other.handshake().query("transport").as_deref(), Some("websocket"));
    assert_eq!(other.handshake().header("host"), Some("localhost"));
    assert_eq!(other.handshake().address(), bob.handshake().address());
    assert!(other.handshake().address().is_some());
    assert_eq!(other.auth::<serde_json::Value>(), Ok(json!({"user": "bob"})));
    assert_eq!(other.data::<(Vec<u8>, Bytes)>(), Ok(data));
    assert!(matches!(other.data::<String>(), Err(DataError::Deserialize { .. })));
    assert!(!other.handshake().secure());
    assert_eq!(own.data::<serde_json::Value>(), Ok(json!({})));

    for (socket, client) in [(own, &mut a), (other, &mut b)] {
        socket.emit("hello", (1, 2));
        cluster.bus.settle();
        client.expect(r#"42["hello",1,2]"#).await;
        let ask = socket.emit_with_ack::<u8>("question", ());
        let answer = async {
            let question = client.recv().await.expect("a question");
            let id = question.strip_prefix("42").and_then(|text| text.split('[').next()).expect("an id");
            client.send(&format!("43{id}[5]")).await;
        };
        let both = async { tokio::join!(ask, answer).0 };
        assert_eq!(cluster.moved(both).await, Ok(5));
        socket.join(["new", "newer"]);
        socket.leave(["room", "newer"]);
        cluster.bus.settle();
    }
    assert!(bob.rooms().contains(&"new".into()) && !bob.rooms().contains(&"room".into()));
    assert!(ann.rooms().contains(&"new".into()));
    other.disconnect(false);
    cluster.bus.settle();
    b.expect("41").await;
    assert_eq!(cluster.moved(other.emit_with_ack::<u8>("question", ())).await, Err(AckError::Disconnected));
    assert_eq!(fetch(&cluster, 1).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_reply_leaves_the_sockets_of_the_others() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let (_a, ann) = cluster.join(0).await;
    let all = cluster.servers[0].broadcast();
    let fetched = all.fetch_sockets();
    let reply = async {
        // The other server receives nothing, and the time passes.
        tokio::task::yield_now().await;
        assert!(cluster.bus.accept_one());
        cluster.attached[1].cut();
        cluster.bus.advance(Duration::from_secs(8));
    };
    let error = soon(async { tokio::join!(fetched, reply).0 }).await.expect_err("one has not replied");
    assert_eq!(error.sockets.iter().map(FetchedSocket::id).collect::<Vec<_>>(), [ann.id().as_str()]);
    assert!(
        matches!(error.missing[..], [Missing::Server { reason: MissingReason::TimedOut, .. }]),
        "{error}"
    );
    assert!(error.to_string().ends_with("it did not reply in time"), "{error}");
}

#[derive(Deserialize)]
struct Job {
    factor: u32,
}

#[tokio::test]
async fn events_between_servers_call_the_handlers_of_the_others() {
    let cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let [one, two] = [0, 1].map(|server| cluster.servers[server].clone());
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for (name, io) in [("one", &one), ("two", &two)] {
        let sender = sender.clone();
        io.on_server_side_emit("reload", move |(what, when): (String, u8)| {
            sender.send(format!("{name}: {what} {when}")).expect("a test");
            async {}
        });
    }
    two.on_server_side_emit("multiply", async |job: Job| Reply((job.factor * 2, "ignored")));
    two.on_server_side_emit("fail", async |_: ()| Err::<(), _>(tidewire_server::HandlerError::new("no")));
    two.on_server_side_emit("panic", async |nothing: Option<()>| nothing.expect("a handler that panics"));

    one.server_side_emit("reload", ("pages", 7));
    assert_eq!(
        cluster.moved(seen.recv()).await.as_deref(),
        Some("two: pages 7"),
        "the sender does not receive it"
    );
    let ask = |event, argument: serde_json::Value| {
        cluster.moved(one.server_side_emit_with_ack::<serde_json::Value>(event, argument))
    };
    assert_eq!(ask("multiply", json!({"factor": 21})).await, Ok(vec![json!(42)]));
    assert_eq!(ask("fail", json!(null)).await, Ok(vec![json!({"error": "no"})]));
    assert_eq!(ask("panic", json!(null)).await, Ok(vec![json!({"error": "handler failed"})]));
    let invalid = ask("multiply", json!("x")).await.expect("an error is a response");
    assert!(invalid[0]["error"].as_str().is_some_and(|text| text.contains("argument 0")), "{invalid:?}");
    let reserved = ask("connection", json!(null)).await.expect_err("it has a meaning in Node");
    assert!(matches!(reserved.failures[..], [AckFailure::NotSent(_)]));

    // A server without a handler does not respond.
    let mut acks = one.server_side_emit_with_ack::<u8>("unknown", ());
    cluster.bus.settle();
    cluster.bus.advance(Duration::from_secs(60));
    let Some(Err(AckFailure::Missing(missing))) = soon(acks.next()).await else { panic!("it is missing") };
    assert!(matches!(missing, Missing::Server { reason: MissingReason::TimedOut, .. }), "{missing}");
}

#[tokio::test]
async fn a_server_that_closes_leaves_the_cluster() {
    let cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let chat = cluster.servers.iter().map(|io| io.of("/chat")).collect::<Vec<_>>();
    cluster.bus.settle();
    assert_eq!(chat[0].server_count(), Some(2));
    cluster.servers[1].close().await;
    cluster.bus.settle();
    assert_eq!((chat[0].server_count(), cluster.servers[0].server_count()), (Some(1), Some(1)));
}

/// An adapter that needs time to join its cluster.
struct Slow {
    local: InMemoryAdapter,
    has_joined: Arc<Notify>,
    has_subscribed: Arc<Notify>,
}

impl Adapter for Slow {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn ready(&self) -> Ready {
        let has_joined = Arc::clone(&self.has_joined);
        Ready::after(async move { has_joined.notified().await })
    }

    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<Ready, JoinError> {
        self.local.add_all(id, rooms)?;
        let has_subscribed = Arc::clone(&self.has_subscribed);
        Ok(Ready::after(async move { has_subscribed.notified().await }))
    }
}

#[tokio::test]
async fn a_client_waits_until_the_adapter_is_ready_and_join_until_it_has_subscribed() {
    let (builder, mut program) = program();
    let (has_joined, has_subscribed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (joined, subscribed) = (Arc::clone(&has_joined), Arc::clone(&has_subscribed));
    let io = builder
        .adapter(move |_: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
            Arc::new(Slow {
                local: InMemoryAdapter::new(),
                has_joined: Arc::clone(&joined),
                has_subscribed: Arc::clone(&subscribed),
            })
        })
        .build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let address = serve(&io).await;
    let mut client = Client::open(address).await;
    client.send("40").await;
    // The connection works meanwhile.
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    // A client that leaves does not wait.
    let mut other = Client::open(address).await;
    other.send_all(["40", "41"]).await;
    other.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    has_joined.notify_waiters();
    let response = client.recv().await.expect("the response to CONNECT");
    assert!(response.starts_with(r#"40{"sid":"#), "{response}");
    let socket = program.joined().await;
    assert_eq!(io.broadcast().sockets().len(), 1);

    let mut join = pin!(socket.join("room"));
    let is_pending = std::future::poll_fn(|cx| Poll::Ready(join.as_mut().poll(cx).is_pending())).await;
    assert!(is_pending, "the cluster does not know it yet");
    assert!(socket.rooms().contains(&"room".into()), "the socket has joined on this server");
    has_subscribed.notify_waiters();
    assert_eq!(soon(join).await, Ok(()));
    drop(socket.join("other"));
    assert!(socket.rooms().contains(&"other".into()), "nobody needs to wait");
}

/// A parser whose packets are texts, and that calls the server while it encodes an event.
#[derive(Debug, Clone, Default)]
struct CallingParser(Arc<OnceLock<Namespace>>);

impl Parser for CallingParser {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::new(Self::default())
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        let data = packet.json().unwrap_or_default();
        if data.contains("refused") {
            return Err(EncodeError::custom("refused"));
        }
        if let (PacketType::Event, Some(namespace)) = (packet.packet_type(), self.0.get()) {
            // The adapter must hold no lock, or this waits for ever.
            namespace.sockets_join("encoded");
        }
        messages.push_text(&format!("{}{data}", packet.packet_type().number()));
        Ok(())
    }
}

impl PacketDecoder for CallingParser {
    /// Each message requests the namespace.
    fn decode<'m>(&mut self, _: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        Ok(Some(IncomingPacket::new(PacketType::Connect, "/")))
    }
}

#[tokio::test]
async fn an_event_of_another_server_is_encoded_while_the_adapter_holds_no_lock() {
    let parser = CallingParser::default();
    let calls = parser.clone();
    // In the order of a log, each server makes an event with the offset of its own.
    let mut cluster =
        Cluster::start_with(LocalDelivery::InLogOrder, move |builder| builder.parser(calls.clone())).await;
    let mut client = Client::open(cluster.addresses[1]).await;
    client.send("4").await;
    client.recv().await.expect("the response to CONNECT");
    let socket = cluster.programs[1].joined().await;
    parser.0.set(socket.namespace().clone()).expect("it is set once");

    cluster.servers[0].emit("news", 1);
    cluster.bus.settle();
    client.expect(r#"42["news",1,"0001"]"#).await;
    let acks = cluster.servers[0].emit_with_ack::<u8>("ask", ());
    cluster.bus.settle();
    client.expect(r#"42["ask"]"#).await;
    drop(acks);
    assert!(socket.rooms().contains(&"encoded".into()));
}

#[tokio::test]
async fn observers_see_when_the_link_to_the_other_servers_is_lost_and_restored() {
    let (log, mut lines) = log();
    let cluster = Cluster::start_with(LocalDelivery::AtOnce, |builder| {
        let log = log.clone();
        builder.observer(move |observation: &Observation<'_>| {
            if let Observation::ClusterLinkChanged { namespace, change, .. } = observation {
                log.say(format_args!("{namespace} {change:?}"));
            }
        })
    })
    .await;
    cluster.attached[1].cut();
    cluster.attached[1].restore();
    assert_eq!(lines.now(), ["/ Lost", "/ Restored { gap: true }"]);
}

#[tokio::test]
async fn observers_see_an_event_that_the_bus_refuses_and_the_clients_of_its_server_get_it() {
    for local_delivery in [LocalDelivery::AtOnce, LocalDelivery::InLogOrder] {
        let (log, mut lines) = log();
        let mut cluster = Cluster::start_with(local_delivery, |builder| {
            let log = log.clone();
            builder.observer(move |observation: &Observation<'_>| {
                if let Observation::ClusterMessageFailed { namespace, message, error, .. } = observation {
                    log.say(format_args!("{namespace} {}: {error}", message.name()));
                }
            })
        })
        .await;
        let ((mut here, _), (mut there, _)) = (cluster.join(0).await, cluster.join(1).await);
        cluster.bus.refuse(|message| match message {
            adapter::cluster::Message::Broadcast { event, .. } if event.json().len() > 100 => {
                Err(PublishError::TooLarge { size: event.json().len(), max: 100 })
            }
            _ => Ok(()),
        });
        let large = "x".repeat(100);
        cluster.servers[0].emit("large", &large);
        cluster.servers[0].emit("small", ());
        cluster.bus.settle();
        let offset = if local_delivery == LocalDelivery::AtOnce { "" } else { r#","0001""# };
        here.expect(&format!(r#"42["large","{large}"]"#)).await;
        for client in [&mut here, &mut there] {
            client.expect(&format!(r#"42["small"{offset}]"#)).await;
        }
        let failed = "/ broadcast: the message has 112 bytes, but the message bus accepts only 100";
        assert_eq!(lines.now(), [failed]);
    }
}
