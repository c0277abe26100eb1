//! Clients of Socket.IO 4 and Engine.IO 3, see also `socketio-4.test.js`.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use adapter::cluster::LocalDelivery;
use serde_json::Value;
use tidewire_server::{Auth, ConnectError, Data, DisconnectReason, Limits, Server, Socket, State};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::support::{Client, Gate, Joined, Log, Stream, program, serve, soon};

/// Opens a session of Engine.IO 3.
async fn open(address: SocketAddr, query: &str) -> Client {
    let url = format!("ws://localhost/socket.io/?EIO=3&transport=websocket{query}");
    let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await.expect("it listens"));
    let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
    Client::opened(stream).await
}

/// Receives the response to what the test has sent, or to the opening of the session.
async fn reply(client: &mut Client) -> String {
    client.recv().await.expect("a reply")
}

#[tokio::test]
async fn the_middlewares_decide_before_the_client_is_connected_to_the_main_namespace() {
    let (builder, mut program) = program();
    let io = builder.allow_eio3(true).build();
    io.middleware(async |log: State<Log>, gate: State<Gate>, socket: Socket, Auth(auth): Auth<Value>| {
        log.say(format_args!("{auth} {:?} {}", socket.handshake().query("token"), socket.protocol()));
        gate.pass().await;
        log.say("passed");
    });
    io.on_connection(async |log: State<Log>| log.say("joined"));
    let mut client = open(serve(&io).await, "&token=1").await;
    program.lines.expect([r#"{} Some("1") 4"#]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["passed", "joined"]).await;
    assert_eq!(reply(&mut client).await, "40");
}

#[tokio::test]
async fn a_refusal_is_the_data_that_javascript_takes_for_true_or_else_the_message() {
    let (builder, _program) = program();
    let io = builder.allow_eio3(true).build();
    io.of("/mw").middleware(async |Auth(auth): Auth<Value>| -> Result<(), ConnectError> {
        let data = auth["data"].as_str().map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
        let error = ConnectError::new("no \"entry\"");
        Err(match data {
            Some(data) => error.data(data),
            None => error,
        })
    });
    let mut client = open(serve(&io).await, "").await;
    assert_eq!(reply(&mut client).await, "40");
    let message = r#""no \"entry\"""#;
    for (query, refusal) in [
        ("", message),
        ("?data={%22code%22:401}", r#"{"code":401}"#),
        ("?data=%22why%22", r#""why""#),
        ("?data=[]", "[]"),
        ("?data=5", "5"),
        ("?data=true", "true"),
        ("?data=0", message),
        ("?data=-0.0", message),
        ("?data=null", message),
        ("?data=false", message),
        ("?data=%22%22", message),
    ] {
        client.send(&format!("40/mw{query}")).await;
        assert_eq!(reply(&mut client).await, format!("44/mw,{refusal}"), "{query}");
    }
    client.send("40/nowhere?data=1").await;
    assert_eq!(reply(&mut client).await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    // The same if a parent has been asked.
    let _ = io.of_pattern(|name: &str| name == "/there");
    client.send("40/nowhere").await;
    assert_eq!(reply(&mut client).await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
}

#[tokio::test]
async fn a_client_that_is_refused_everywhere_is_closed_after_the_connect_timeout() {
    let limits = Limits { connect_timeout: Duration::from_millis(50), ..Limits::default() };
    let io = Server::builder().limits(limits).allow_eio3(true).build();
    io.middleware(async || Err::<(), _>(ConnectError::new("no")));
    let mut client = open(serve(&io).await, "").await;
    assert_eq!(reply(&mut client).await, r#"44"no""#);
    assert_eq!(client.recv().await, None);
}

#[tokio::test]
async fn neither_a_log_line_nor_debug_output_reveals_the_id_of_the_session() {
    let (builder, mut program) = program();
    let io = builder.allow_eio3(true).build();
    io.of("/admin").on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let mut client = open(serve(&io).await, "").await;
    client.send("40/admin").await;
    let socket = program.joined().await;
    let id = socket.id();
    let session = id.strip_prefix("/admin#").expect("the namespace is in front");
    assert_eq!(session.len(), 20);
    assert!(!format!("{socket:?}").contains(&session[..5]), "{socket:?}");
    assert!(io.of("/admin").socket(&id).is_some());
}

#[tokio::test]
async fn a_socket_of_the_past_does_not_change_the_rooms_of_the_next_socket_with_its_id() {
    let (builder, mut program) = program();
    let io = builder.allow_eio3(true).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    io.on("echo", async |Data(value): Data<Value>, socket: Socket| socket.emit("echo", value));
    let mut client = open(serve(&io).await, "").await;
    assert_eq!(reply(&mut client).await, "40");
    let past = program.joined().await;
    past.join("before").await.expect("a room");
    client.send("41").await;
    program.lines.expect(["client namespace disconnect"]).await;
    client.send("40").await;
    assert_eq!(reply(&mut client).await, "40");
    let present = program.joined().await;
    assert_eq!(past.id(), present.id());

    present.join("after").await.expect("a room");
    past.join("late").await.expect("no effect is no error");
    past.leave("after");
    past.disconnect();
    assert!(past.rooms().is_empty());
    let rooms: Vec<_> = present.rooms().iter().map(ToString::to_string).collect();
    assert_eq!(rooms, [present.id().to_string(), "after".to_owned()]);
    client.send(r#"42["echo",1]"#).await;
    assert_eq!(reply(&mut client).await, r#"42["echo",1]"#);
    assert!(present.is_connected());
}

#[tokio::test]
async fn a_socket_that_leaves_late_in_a_cluster_does_not_take_the_next_socket_with_its_id_along() {
    let mut cluster =
        Cluster::start_with(LocalDelivery::InLogOrder, |builder| builder.allow_eio3(true)).await;
    let io = cluster.servers[0].clone();
    let mut client = open(cluster.addresses[0], "").await;
    assert_eq!(reply(&mut client).await, "40");
    let past = cluster.programs[0].joined().await;
    // The message bus returns this event later, and the former socket stays in its rooms until then.
    io.emit("first", ());
    client.send_all(["41", "40"]).await;
    assert_eq!(reply(&mut client).await, "40");
    let present = cluster.programs[0].joined().await;
    assert_eq!(past.id(), present.id());
    present.join("room").await.expect("a room");
    cluster.bus.settle();
    assert_eq!(io.in_("room").socket_ids(), [present.id()]);
    io.disconnect_sockets(false);
    cluster.bus.settle();
    assert!(!present.is_connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_while_another_thread_disconnects_it_can_be_disconnected_again() {
    let (builder, mut program) = program();
    let io = builder.allow_eio3(true).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let (entered, mut disconnecting) = mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    io.on_disconnecting(move |_, _| {
        let _ = entered.send(());
        let _ = released.lock().expect("no panic").recv();
    });
    let mut client = open(serve(&io).await, "").await;
    assert_eq!(reply(&mut client).await, "40");
    let past = program.joined().await;
    let disconnects = std::thread::spawn(move || past.disconnect());
    soon(disconnecting.recv()).await.expect("the hook is called");
    client.send("40").await;
    assert_eq!(reply(&mut client).await, "40");
    let present = program.joined().await;
    drop(release);
    disconnects.join().expect("no panic");
    assert_eq!(io.sockets().len(), 1);
    io.disconnect_sockets(true);
    assert!(!present.is_connected());
}
