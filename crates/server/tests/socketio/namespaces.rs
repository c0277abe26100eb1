//! Namespaces on demand: their parents, their life, and the limits of what clients can cause.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde::Deserialize;
use tidewire_server::adapter::{Host, Ready};
use tidewire_server::{
    AckFailure, Adapter, Builder, ConnectError, InMemoryAdapter, Limits, Namespace, NamespaceRequest, Reply,
    Socket, State,
};
use tokio::sync::Semaphore;

use crate::support::{Client, Gate, Log, program, serve, soon, until};

/// Returns the packet that rejects a request for `namespace`.
fn refusal(namespace: &str, message: &str) -> String {
    format!(r#"44{namespace},{{"message":"{message}"}}"#)
}

async fn expect_refusal(client: &mut Client, namespace: &str, message: &str) {
    client.expect_only(&format!("40{namespace},"), &refusal(namespace, message)).await;
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn is_room(name: &str) -> bool {
    name.starts_with("/room-")
}

/// Logs that it is dropped.
struct Farewell(Arc<Log>, &'static str);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[tokio::test]
async fn a_client_creates_the_namespaces_of_a_pattern_and_no_others() {
    let (builder, mut program) = program();
    let io = builder.build();
    let rooms = io.of_pattern(is_room);
    rooms.middleware(async |log: State<Log>, namespace: Namespace| {
        log.say(format_args!("middleware of {}", namespace.name()));
    });
    rooms.on_connection(async |log: State<Log>, namespace: Namespace| {
        log.say(format_args!("connected to {}", namespace.name()));
    });
    rooms.on("where", async |namespace: Namespace| Reply(namespace.name().to_owned()));
    rooms.on_fallback(async || Reply("fallback"));
    rooms.on_disconnect(async |log: State<Log>, namespace: Namespace| {
        log.say(format_args!("left {}", namespace.name()));
    });
    let mut client = Client::open(serve(&io).await).await;
    let id = client.connect("/room-1,").await;
    assert_eq!(
        io.of("/room-1").socket(&id.parse().expect("an id")).expect("it is connected").id().to_string(),
        id
    );
    client.expect_only(r#"42/room-1,0["where"]"#, r#"43/room-1,0["/room-1"]"#).await;
    client.expect_only(r#"42/room-1,1["other"]"#, r#"43/room-1,1["fallback"]"#).await;
    client.send("41/room-1,").await;
    program.lines.expect(["middleware of /room-1", "connected to /room-1", "left /room-1"]).await;
    for name in ["/rooms", "/room", "/Room-1", "/x/room-1"] {
        expect_refusal(&mut client, name, "Invalid namespace").await;
    }
    program.lines.expect_silence();
}

#[tokio::test]
async fn the_hooks_of_a_parent_are_those_of_its_children() {
    let (builder, mut program) = program();
    let io = builder.build();
    let rooms = io.of_pattern(is_room);
    rooms.event_middleware(async |log: State<Log>| log.say("middleware"));
    rooms.on_any(|socket, event| socket.emit("received", event.name()));
    rooms.on_any_outgoing(|socket, event| {
        if event.name() == "message" {
            socket.emit("sent", event.name());
        }
    });
    rooms.on_disconnecting(|socket, reason| socket.broadcast().emit("leaving", reason.as_str()));
    rooms.on("event", async || {});
    let address = serve(&io).await;
    let mut client = Client::open(address).await;
    client.connect("/room-1,").await;
    client.expect_only(r#"42/room-1,["event"]"#, r#"42/room-1,["received","event"]"#).await;
    program.lines.expect(["middleware"]).await;
    rooms.send("hi");
    client.expect(r#"42/room-1,["message","hi"]"#).await;
    client.expect(r#"42/room-1,["sent","message"]"#).await;
    let mut other = Client::open(address).await;
    other.connect("/room-1,").await;
    drop(other);
    client.expect(r#"42/room-1,["leaving","transport close"]"#).await;
}

#[tokio::test]
async fn a_namespace_knows_its_server_and_does_not_keep_it() {
    let (builder, _program) = program();
    let io = builder.path("/chat/").build();
    assert_eq!(io.path(), "/chat");
    io.on_new_namespace(|namespace| {
        let server = namespace.server().expect("it exists");
        server.of("/log").on_any(|_, _| {});
    });
    let news = io.of("/news");
    assert!(news.server().is_some_and(|server| server.of("/news").name() == "/news"));
    drop(io);
    assert!(news.server().is_none());
    assert_eq!(tidewire_server::Server::new().path(), "/socket.io");
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

#[tokio::test]
async fn the_parents_are_asked_in_the_order_of_their_creation_until_one_allows() {
    let (builder, mut program) = program();
    let io = builder.build();
    fn say(request: &NamespaceRequest, who: &str) {
        request.state::<Log>().expect("a log").say(format_args!("{who} {}", request.name()));
    }
    let first = io.of_predicate(async |request: NamespaceRequest| {
        say(&request, "first");
        // An error means no.
        let Credentials { token } = request.auth()?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(token == "secret")
    });
    let second = io.of_pattern(is_room);
    let third = io.of_predicate(async |request: NamespaceRequest| {
        say(&request, "third");
        tokio::task::yield_now().await;
        request.handshake().header("host") == Some("localhost") && request.server().connection_count() == 1
    });
    for (parent, name) in [(first, "first"), (second, "second"), (third, "third")] {
        parent.on("who", move || async move { Reply(name) });
    }
    let mut client = Client::open(serve(&io).await).await;
    for (namespace, auth, asked, answer) in [
        ("/room-1", r#"{"token":"secret"}"#, &["first /room-1"][..], "first"),
        ("/room-2", r#"{"token":"wrong"}"#, &["first /room-2"], "second"),
        ("/room-3", "", &["first /room-3"], "second"),
        ("/a", "", &["first /a", "third /a"], "third"),
    ] {
        let connect = format!("40{namespace},{auth}");
        client.send(&connect).await;
        assert!(client.recv().await.expect("a reply").starts_with(&format!("40{namespace},{{\"sid\":")));
        client
            .expect_only(&format!("42{namespace},0[\"who\"]"), &format!("43{namespace},0[\"{answer}\"]"))
            .await;
        program.lines.expect(asked).await;
    }
    // A namespace that exists is nobody's question.
    let mut other = Client::open(serve(&io).await).await;
    other.connect("/a,").await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_predicate_that_waits_holds_up_nothing_else_of_the_connection() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("ping", async || Reply("pong"));
    let parent = io.of_predicate(async |request: NamespaceRequest| {
        request.state::<Log>().expect("a log").say("asked");
        request.state::<Gate>().expect("a gate").pass().await;
        true
    });
    parent.on("where", async |namespace: Namespace| Reply(namespace.name().to_owned()));
    let mut client = Client::join(serve(&io).await).await;
    client.send("40/slow,").await;
    program.lines.expect(["asked"]).await;
    client.expect_only(r#"420["ping"]"#, r#"430["pong"]"#).await;
    program.gate.open();
    assert!(client.recv().await.expect("a reply").starts_with(r#"40/slow,{"sid":"#));
    client.expect_only(r#"42/slow,0["where"]"#, r#"43/slow,0["/slow"]"#).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_a_predicate_waits_ends_it() {
    let (builder, mut program) = program();
    let io = builder.build();
    let parent = io.of_predicate(async |request: NamespaceRequest| {
        let log = request.state::<Log>().expect("a log");
        log.say("asked");
        let _farewell = Farewell(log, "dropped");
        request.state::<Gate>().expect("a gate").pass().await;
        true
    });
    parent.on_connection(async |log: State<Log>| log.say("connected"));
    parent.on_disconnect(async |log: State<Log>| log.say("disconnected"));
    let address = serve(&io).await;
    // With a packet that leaves the namespace: the client may then request it again.
    let mut client = Client::join(address).await;
    for _ in 0..2 {
        client.send_all(["40/slow,", "41/slow,"]).await;
        program.lines.expect(["asked", "dropped"]).await;
    }
    // With the end of the connection.
    client.send("40/slow,").await;
    program.lines.expect(["asked"]).await;
    drop(client);
    program.lines.expect(["dropped"]).await;
    until(|| io.connection_count() == 0).await;
    assert!(parent.children().is_empty());
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_predicate_that_never_decides_is_given_up() {
    let (builder, mut program) = program();
    let timeout = Duration::from_millis(1);
    let io = builder.limits(limits(|limits| limits.namespace_check_timeout = timeout)).build();
    let parent = io.of_predicate(async |request: NamespaceRequest| {
        let _farewell = Farewell(request.state::<Log>().expect("a log"), "dropped");
        std::future::pending::<bool>().await
    });
    let mut client = Client::open(serve(&io).await).await;
    expect_refusal(&mut client, "/slow", "The namespace was not checked in time").await;
    program.lines.expect(["dropped"]).await;
    assert!(parent.children().is_empty());
}

#[tokio::test]
async fn code_of_the_program_that_panics_refuses_the_namespace_and_harms_nothing_else() {
    let (builder, mut program) = program();
    let builder = builder.adapter(|name: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
        assert_ne!(name, "/adapter", "the adapter panics");
        Arc::new(InMemoryAdapter::new())
    });
    let io = builder.build();
    io.on_new_namespace(|namespace| assert_ne!(namespace.name(), "/hook", "the hook panics"));
    let _ = io.of_pattern(|name| {
        assert_ne!(name, "/pattern", "the pattern panics");
        false
    });
    let _ = io.of_predicate(async |request: NamespaceRequest| {
        tokio::task::yield_now().await;
        assert_ne!(request.name(), "/predicate", "the predicate panics");
        true
    });
    let mut client = Client::join(serve(&io).await).await;
    for name in ["/pattern", "/predicate", "/adapter"] {
        expect_refusal(&mut client, name, "handler failed").await;
        let error = program.lines.next().await;
        assert!(error.contains("panics"), "{error}");
    }
    client.connect("/hook,").await;
    client.connect("/fine,").await;
}

#[tokio::test]
async fn a_namespace_that_the_program_creates_is_a_child_of_a_pattern_but_not_of_a_predicate() {
    let io = program().0.build();
    let all = io.of_predicate(async |_: NamespaceRequest| true);
    let rooms = io.of_pattern(is_room);
    rooms.on("who", async || Reply("a room"));
    let _ = (io.of("/room-1"), io.of("/lobby"));
    let names = |children: Vec<Namespace>| -> Vec<String> {
        children.iter().map(|child| child.name().to_owned()).collect()
    };
    assert_eq!(names(rooms.children()), ["/room-1"]);
    assert_eq!(names(all.children()), [""; 0]);
    let mut client = Client::open(serve(&io).await).await;
    client.connect("/room-1,").await;
    client.expect_only(r#"42/room-1,0["who"]"#, r#"43/room-1,0["a room"]"#).await;
    client.connect("/lobby,").await;
}

#[tokio::test]
async fn a_child_has_the_handlers_that_its_parent_had_when_it_was_created() {
    let io = program().0.build();
    let rooms = io.of_pattern(is_room);
    rooms.on("version", async || Reply(1));
    let mut client = Client::open(serve(&io).await).await;
    client.connect("/room-1,").await;
    rooms.on("version", async || Reply(2));
    client.connect("/room-2,").await;
    let mut other = Client::open(serve(&io).await).await;
    for (namespace, version) in [("/room-1", 1), ("/room-2", 2)] {
        other.connect(&format!("{namespace},")).await;
        other
            .expect_only(&format!("42{namespace},0[\"version\"]"), &format!("43{namespace},0[{version}]"))
            .await;
    }
}

#[tokio::test]
async fn the_hook_sees_each_new_namespace_once_and_before_its_first_client() {
    let io = program().0.build();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&seen);
    io.on_new_namespace(move |namespace| {
        names.lock().expect("no panic").push(namespace.name().to_owned());
        namespace.on("from-hook", async || Reply("from the hook"));
    });
    let _ = io.of_pattern(is_room);
    let _ = (io.of("/static"), io.of("static"), io.of("/"));
    let address = serve(&io).await;
    let (mut one, mut two) = (Client::open(address).await, Client::open(address).await);
    for client in [&mut one, &mut two] {
        client.connect("/room-1,").await;
        client.expect_only(r#"42/room-1,0["from-hook"]"#, r#"43/room-1,0["from the hook"]"#).await;
    }
    assert_eq!(*seen.lock().expect("no panic"), ["/static", "/room-1"]);
}

#[tokio::test]
async fn clients_that_wait_for_the_same_name_share_one_namespace() {
    let (builder, mut program) = program();
    let io = builder.build();
    let created = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&created);
    io.on_new_namespace(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let parent = io.of_predicate(async |request: NamespaceRequest| {
        request.state::<Log>().expect("a log").say("asked");
        request.state::<Gate>().expect("a gate").pass().await;
        true
    });
    let address = serve(&io).await;
    let (mut one, mut two) = (Client::open(address).await, Client::open(address).await);
    one.send("40/shared,").await;
    two.send("40/shared,").await;
    program.lines.expect(["asked", "asked"]).await;
    program.gate.open();
    program.gate.open();
    for client in [&mut one, &mut two] {
        assert!(client.recv().await.expect("a reply").starts_with(r#"40/shared,{"sid":"#));
    }
    assert_eq!((parent.children().len(), created.load(Ordering::Relaxed)), (1, 1));
    io.of("/shared").emit("hello", ());
    for client in [&mut one, &mut two] {
        client.expect(r#"42/shared,["hello"]"#).await;
    }
}

#[tokio::test]
async fn an_event_of_the_parent_reaches_all_its_children() {
    let io = program().0.build();
    let rooms = io.of_pattern(is_room);
    rooms.on("join", async |socket: Socket| Reply(socket.join("red").await.is_ok()));
    let _ = io.of("/lobby");
    let mut client = Client::open(serve(&io).await).await;
    for namespace in ["/room-1,", "/room-2,", "/lobby,"] {
        client.connect(namespace).await;
    }
    client.expect_only(r#"42/room-2,0["join"]"#, "43/room-2,0[true]").await;
    let mut expect_all = async |packets: &[&str]| {
        let mut received = Vec::new();
        for _ in packets {
            received.push(client.recv().await.expect("a packet"));
        }
        // The children are in no particular order.
        received.sort();
        assert_eq!(received, packets);
    };
    rooms.emit("all", 1);
    expect_all(&[r#"42/room-1,["all",1]"#, r#"42/room-2,["all",1]"#]).await;
    rooms.to("red").emit("to", 2);
    expect_all(&[r#"42/room-2,["to",2]"#]).await;
    rooms.except("red").emit("except", 3);
    expect_all(&[r#"42/room-1,["except",3]"#]).await;
    assert_eq!(rooms.in_("red").to("blue").local().volatile().try_emit("in", 4), Ok(()));
    expect_all(&[r#"42/room-2,["in",4]"#]).await;
}

#[tokio::test]
async fn a_parent_selects_the_sockets_of_all_its_children() {
    let io = program().0.build();
    let rooms = io.of_pattern(is_room);
    let _ = io.of("/lobby");
    let mut client = Client::open(serve(&io).await).await;
    for namespace in ["/room-1,", "/room-2,", "/lobby,"] {
        client.connect(namespace).await;
    }
    assert_eq!((rooms.sockets().len(), rooms.to("red").sockets().len()), (2, 0));
    rooms.sockets_join(["red", "blue"]);
    rooms.broadcast().sockets_leave("blue");
    assert_eq!((rooms.to("red").sockets().len(), rooms.to("blue").socket_ids().len()), (2, 0));
    assert_eq!(rooms.fetch_sockets().await.expect("there is no other server").len(), 2);
    assert!(rooms.to(&[] as &[&str]).fetch_sockets().await.expect("nobody is selected").is_empty());

    let acks = rooms.to("red").emit_with_ack::<u8>("who", "x");
    for _ in 0..2 {
        let packet = client.recv().await.expect("a question");
        let (namespace, _) = packet.strip_prefix("42").and_then(|rest| rest.split_once(',')).expect(&packet);
        let number = &namespace["/room-".len()..];
        let id = &packet[packet.find(',').expect("a comma") + 1..packet.find('[').expect("a list")];
        client.send(&format!("43{namespace},{id}[{number}]")).await;
    }
    let mut answers = soon(acks.into_future()).await.expect("all answer");
    answers.sort_unstable();
    assert_eq!(answers, [1, 2]);
    // Nobody answers this one in time.
    let late = rooms.timeout(Duration::from_millis(20)).emit_with_ack::<u8>("late", ());
    assert_eq!(soon(late.into_future()).await.expect_err("nobody answers").failures.len(), 2);
    assert_eq!(soon(rooms.to("green").emit_with_ack::<u8>("nobody", ()).into_future()).await, Ok(vec![]));
    let reserved =
        soon(rooms.emit_with_ack::<u8>("connect", ()).into_future()).await.expect_err("a reserved name");
    assert!(matches!(reserved.failures[..], [AckFailure::NotSent(_)]), "{reserved}");

    for _ in 0..2 {
        assert!(client.recv().await.expect("the late question").contains("late"));
    }
    rooms.disconnect_sockets(false);
    let mut ends = [client.recv().await, client.recv().await];
    ends.sort();
    assert_eq!(ends.map(|packet| packet.expect("a packet")), ["41/room-1,", "41/room-2,"]);
    assert_eq!(io.of("/lobby").sockets().len(), 1);
}

/// Makes a builder remember its adapters. Returns the names of the namespaces whose adapters exist, sorted.
fn watch_adapters(builder: Builder) -> (Builder, impl Fn() -> Vec<String>) {
    let made = Arc::new(Mutex::new(Vec::new()));
    let adapters = Arc::clone(&made);
    let builder = builder.adapter(move |name: &str, _: Weak<dyn Host>| {
        let adapter: Arc<dyn Adapter> = Arc::new(InMemoryAdapter::new());
        adapters.lock().expect("no panic").push((name.to_owned(), Arc::downgrade(&adapter)));
        adapter
    });
    let names = move || {
        let made = made.lock().expect("no panic");
        let mut names: Vec<_> = made
            .iter()
            .filter(|(_, adapter): &&(String, Weak<dyn Adapter>)| adapter.strong_count() > 0)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    };
    (builder, names)
}

#[tokio::test]
async fn a_namespace_that_clients_have_caused_goes_with_its_last_client_and_its_handlers() {
    let (builder, mut program) = program();
    let (builder, adapters) = watch_adapters(builder);
    let io = builder.build();
    let rooms = io.of_pattern(is_room);
    rooms.on_disconnect(async |log: State<Log>, namespace: Namespace| {
        log.say(format_args!("left {} {}", namespace.name(), namespace.broadcast().socket_ids().len()));
    });
    let _ = (io.of("/room-by-hand"), io.of("/static"));
    let address = serve(&io).await;
    let (mut one, mut two) = (Client::open(address).await, Client::open(address).await);
    for client in [&mut one, &mut two] {
        for namespace in ["/room-1,", "/room-by-hand,", "/static,"] {
            client.connect(namespace).await;
        }
    }
    assert_eq!(adapters(), ["/", "/room-1", "/room-by-hand", "/static"]);
    one.send_all(["41/room-1,", "41/room-by-hand,", "41/static,"]).await;
    program.lines.expect(["left /room-1 1", "left /room-by-hand 1"]).await;
    // The namespace of the client that stays is still the same one.
    io.of("/room-1").emit("still", ());
    two.expect(r#"42/room-1,["still"]"#).await;
    drop(two);
    program.lines.expect(["left /room-1 0", "left /room-by-hand 0"]).await;
    until(|| adapters() == ["/", "/room-by-hand", "/static"]).await;
    assert_eq!(rooms.children().len(), 1);
    // The name may be used again.
    one.connect("/room-1,").await;
    assert_eq!(adapters(), ["/", "/room-1", "/room-by-hand", "/static"]);
    rooms.emit("again", ());
    one.expect(r#"42/room-1,["again"]"#).await;
}

#[tokio::test]
async fn a_namespace_whose_middleware_lets_nobody_in_does_not_stay() {
    let (builder, adapters) = watch_adapters(program().0);
    let io = builder.build();
    io.of_pattern(is_room).middleware(async || Err::<(), _>(ConnectError::new("not today")));
    let mut client = Client::open(serve(&io).await).await;
    expect_refusal(&mut client, "/room-1", "not today").await;
    until(|| adapters() == ["/"]).await;
}

#[tokio::test]
async fn empty_namespaces_stay_if_the_program_wants_it() {
    let (builder, adapters) = watch_adapters(program().0);
    let io = builder.cleanup_empty_child_namespaces(false).build();
    let rooms = io.of_pattern(is_room);
    let mut client = Client::join(serve(&io).await).await;
    client.connect("/room-1,").await;
    drop(client);
    until(|| io.connection_count() == 0).await;
    assert_eq!(adapters(), ["/", "/room-1"]);
    assert_eq!(rooms.children().len(), 1);
}

#[tokio::test]
async fn clients_cause_at_most_as_many_namespaces_as_the_limit_says() {
    for cleanup in [true, false] {
        let (builder, adapters) = watch_adapters(program().0);
        let builder = builder.cleanup_empty_child_namespaces(cleanup);
        let io = builder.limits(limits(|limits| limits.max_client_namespaces = 2)).build();
        let _ = io.of_pattern(is_room);
        // Those of the program do not count.
        let _ = (io.of("/room-by-hand"), io.of("/static"));
        let address = serve(&io).await;
        let (mut one, mut two) = (Client::open(address).await, Client::open(address).await);
        one.connect("/room-1,").await;
        one.connect("/room-2,").await;
        for client in [&mut one, &mut two] {
            expect_refusal(client, "/room-3", "Too many namespaces").await;
        }
        for namespace in ["/room-1,", "/room-by-hand,", "/static,"] {
            two.connect(namespace).await;
        }
        assert_eq!(adapters(), ["/", "/room-1", "/room-2", "/room-by-hand", "/static"]);
        drop(one);
        until(|| io.connection_count() == 1).await;
        if cleanup {
            until(|| adapters().len() == 4).await;
            two.connect("/room-3,").await;
        } else {
            expect_refusal(&mut two, "/room-3", "Too many namespaces").await;
        }
    }
}

/// An adapter that needs time to leave its cluster.
struct SlowToClose {
    local: InMemoryAdapter,
    may_leave: Arc<Semaphore>,
}

impl Adapter for SlowToClose {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn close(&self) -> Ready {
        let may_leave = Arc::clone(&self.may_leave);
        Ready::after(async move { may_leave.acquire().await.expect("it is never closed").forget() })
    }
}

#[tokio::test]
async fn a_namespace_counts_until_it_has_left_the_cluster() {
    let may_leave = Arc::new(Semaphore::new(0));
    let leaves = Arc::clone(&may_leave);
    let (builder, _program) = program();
    let builder = builder.adapter(move |_: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
        Arc::new(SlowToClose { local: InMemoryAdapter::new(), may_leave: Arc::clone(&leaves) })
    });
    let io = builder.limits(limits(|limits| limits.max_client_namespaces = 2)).build();
    let rooms = io.of_pattern(is_room);
    let mut client = Client::join(serve(&io).await).await;
    for namespace in ["/room-1,", "/room-2,"] {
        client.connect(namespace).await;
        client.send(&format!("41{namespace}")).await;
    }
    until(|| rooms.children().is_empty()).await;
    expect_refusal(&mut client, "/room-3", "Too many namespaces").await;
    may_leave.add_permits(1);
    until(|| may_leave.available_permits() == 0).await;
    client.connect("/room-3,").await;
    expect_refusal(&mut client, "/room-4", "Too many namespaces").await;
}

#[tokio::test]
async fn the_name_of_a_namespace_that_a_client_causes_has_a_limit() {
    let io = program().0.limits(limits(|limits| limits.max_namespace_name_len = 10)).build();
    let rooms = io.of_pattern(is_room);
    let _ = io.of("/static-with-a-long-name");
    let mut client = Client::open(serve(&io).await).await;
    client.connect("/room-1234,").await;
    expect_refusal(&mut client, "/room-12345", "The name of the namespace is too long").await;
    client.connect("/static-with-a-long-name,").await;
    assert_eq!(rooms.children().len(), 1);
}

#[tokio::test]
async fn a_connection_has_at_most_as_many_sockets_as_the_limit_says() {
    let io = program().0.limits(limits(|limits| limits.max_sockets = 3)).build();
    let rooms = io.of_pattern(is_room);
    rooms.on("leave", async |socket: Socket| socket.disconnect());
    let address = serve(&io).await;
    let mut client = Client::join(address).await;
    client.connect("/room-1,").await;
    client.connect("/room-2,").await;
    let message = "Too many namespaces on one connection";
    expect_refusal(&mut client, "/room-3", message).await;
    // The connection remembers a namespace that the server has closed, because packets for it may be on their way.
    client.expect_only(r#"42/room-2,["leave"]"#, "41/room-2,").await;
    expect_refusal(&mut client, "/room-3", message).await;
    client.connect("/room-2,").await;
    client.send("41/room-2,").await;
    client.connect("/room-3,").await;
    // Others are not concerned.
    Client::join(address).await.connect("/room-4,").await;
}

#[tokio::test]
async fn only_so_many_predicates_wait_at_the_same_time() {
    let (builder, mut program) = program();
    let io = builder.limits(limits(|limits| limits.max_pending_namespace_checks = 1)).build();
    let _ = io.of_pattern(is_room);
    let _ = io.of_predicate(async |request: NamespaceRequest| {
        request.state::<Log>().expect("a log").say("asked");
        request.state::<Gate>().expect("a gate").pass().await;
        true
    });
    let address = serve(&io).await;
    let (mut one, mut two) = (Client::open(address).await, Client::open(address).await);
    one.send("40/slow,").await;
    program.lines.expect(["asked"]).await;
    expect_refusal(&mut two, "/slow", "Too many namespaces are being checked").await;
    // A pattern does not wait.
    two.connect("/room-1,").await;
    program.gate.open();
    assert!(one.recv().await.expect("a reply").starts_with(r#"40/slow,{"sid":"#));
    two.send("40/other,").await;
    program.lines.expect(["asked"]).await;
}
