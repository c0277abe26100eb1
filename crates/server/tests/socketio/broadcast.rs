//! The receivers of broadcasts.

use std::sync::Arc;
use std::time::Duration;

use tidewire_server::{Data, JoinError, Limits, Namespace, Server, Socket, State};

use crate::support::{Client, Joined, Program, program, serve};

/// Starts a server with three clients. Each client is in the room with its own name and in `all`; the first two are in
/// `pair`.
async fn three() -> (Server, [Client; 3], [Socket; 3]) {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on("ping", async || {});
    io.on("to-pair", async |socket: Socket, Data(text): Data<String>| socket.to("pair").emit("event", text));
    io.on("in-pair", async |namespace: Namespace, Data(text): Data<String>| {
        namespace.in_("pair").emit("event", text);
    });
    let address = serve(&io).await;
    let (a, ann) = join(address, &mut program).await;
    let (b, bob) = join(address, &mut program).await;
    let (c, cid) = join(address, &mut program).await;
    for (socket, name) in [(&ann, "ann"), (&bob, "bob"), (&cid, "cid")] {
        assert_eq!(socket.join(name).await, Ok(()));
        socket.join("all");
    }
    ann.join("pair");
    bob.join("pair");
    (io, [a, b, c], [ann, bob, cid])
}

#[tokio::test]
async fn a_list_of_rooms_is_taken_wherever_one_room_is() {
    let (io, mut clients, [ann, bob, cid]) = three().await;
    assert_eq!(ann.join(["x", "y"]).await, Ok(()));
    assert_eq!(bob.join(&["y".to_owned(), "z".to_owned()]).await, Ok(()));
    ann.leave(vec!["x", "y"]);
    assert_eq!(ann.rooms().len(), 4, "its own, ann, all and pair");
    io.to(["x", "z"]).emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
    io.to(&[ann.id(), cid.id()][..]).emit("event", ());
    expect_event(&mut clients, [true, false, true]).await;
    io.in_(vec![ann.id().into(), tidewire_server::Room::from("pair")])
        .except(["bob", "cid"])
        .emit("event", ());
    expect_event(&mut clients, [true, false, false]).await;
    bob.except(["ann"]).emit("event", ());
    expect_event(&mut clients, [false, false, true]).await;
    io.to("all").sockets_join(["v", "w"]);
    assert_eq!(io.to("w").socket_ids().len(), 3);
    io.to("pair").sockets_leave(["v", "w"]);
    assert_eq!(io.to(["v", "w"]).socket_ids(), [cid.id()]);
}

#[tokio::test]
async fn an_empty_list_of_rooms_selects_nobody() {
    let (io, mut clients, [ann, ..]) = three().await;
    let none: [&str; 0] = [];
    for nobody in [io.to(none), io.broadcast().to(none), ann.to(none), io.to(none).except("bob")] {
        assert_eq!(nobody.clone().try_emit("event", ()), Ok(()));
        assert!(nobody.socket_ids().is_empty() && nobody.sockets().is_empty());
        assert_eq!(nobody.clone().emit_with_ack::<u8>("event", ()).await, Ok(vec![]));
        assert!(nobody.fetch_sockets().await.expect("nobody is asked").is_empty());
        nobody.sockets_join("room");
        nobody.sockets_leave("all");
        nobody.disconnect_sockets(true);
    }
    assert!(io.to("room").socket_ids().is_empty());
    assert_eq!(io.to("all").socket_ids().len(), 3);
    io.to(none).to("bob").emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
    io.except(none).emit("event", ());
    expect_event(&mut clients, [true, true, true]).await;
}

#[tokio::test]
async fn a_namespace_acts_on_all_its_sockets() {
    let (io, mut clients, [ann, bob, cid]) = three().await;
    assert_eq!(io.sockets().len(), 3);
    io.sockets_join("new");
    assert_eq!(io.to("new").socket_ids().len(), 3);
    io.sockets_leave(["new", "all"]);
    assert!(io.to("new").to("all").socket_ids().is_empty());
    io.send(1);
    for client in &mut clients {
        client.expect(r#"42["message",1]"#).await;
    }
    ann.send("for ann");
    clients[0].expect(r#"42["message","for ann"]"#).await;
    ann.volatile().send(("for ann", 2));
    clients[0].expect(r#"42["message","for ann",2]"#).await;
    assert!(ann.same_connection(&ann.clone()) && !ann.same_connection(&bob));
    io.disconnect_sockets(false);
    for client in &mut clients {
        client.expect("41").await;
    }
    assert!(io.sockets().is_empty() && !cid.is_connected());
}

async fn join(address: std::net::SocketAddr, program: &mut Program) -> (Client, Socket) {
    (Client::join(address).await, program.joined().await)
}

/// Asserts that exactly the clients marked `true` have received `event`, once.
async fn expect_event(clients: &mut [Client; 3], receivers: [bool; 3]) {
    for (client, receives) in clients.iter_mut().zip(receivers) {
        client.send(r#"420["ping"]"#).await;
        if receives {
            client.expect(r#"42["event"]"#).await;
        }
        client.expect("430[]").await;
    }
}

#[tokio::test]
async fn the_server_reaches_everybody_rooms_and_all_but_some() {
    let (io, mut clients, [ann, bob, _]) = three().await;
    io.emit("event", ());
    expect_event(&mut clients, [true, true, true]).await;
    io.to("pair").emit("event", ());
    expect_event(&mut clients, [true, true, false]).await;
    io.in_("cid").emit("event", ());
    expect_event(&mut clients, [false, false, true]).await;
    io.except("pair").emit("event", ());
    expect_event(&mut clients, [false, false, true]).await;
    io.to("all").except("cid").except("ann").emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
    io.to(ann.id()).emit("event", ());
    expect_event(&mut clients, [true, false, false]).await;
    io.except(bob.id()).emit("event", ());
    expect_event(&mut clients, [true, false, true]).await;
    io.local().emit("event", ());
    expect_event(&mut clients, [true, true, true]).await;
    io.to("nobody").emit("event", ());
    expect_event(&mut clients, [false, false, false]).await;
}

#[tokio::test]
async fn a_socket_in_several_of_the_rooms_gets_one_copy() {
    let (io, mut clients, _) = three().await;
    assert_eq!(io.to("pair").to("ann").to("all").try_emit("event", ()), Ok(()));
    expect_event(&mut clients, [true, true, true]).await;
}

#[tokio::test]
async fn a_socket_never_reaches_itself_by_its_rooms() {
    let (_io, mut clients, [ann, bob, cid]) = three().await;
    ann.broadcast().emit("event", ());
    expect_event(&mut clients, [false, true, true]).await;
    ann.to("pair").emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
    ann.to("ann").emit("event", ());
    expect_event(&mut clients, [false, false, false]).await;
    ann.to(ann.id()).emit("event", ());
    expect_event(&mut clients, [false, false, false]).await;
    ann.to(cid.id()).emit("event", ());
    expect_event(&mut clients, [false, false, true]).await;
    bob.except("ann").emit("event", ());
    expect_event(&mut clients, [false, false, true]).await;
    bob.local().to("all").emit("event", ());
    expect_event(&mut clients, [true, false, true]).await;
    bob.emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
}

#[tokio::test]
async fn handlers_reach_rooms_in_the_order_of_their_events() {
    let (_io, [mut ann, mut bob, _], _) = three().await;
    ann.send_all((0..100).map(|number| {
        let to = ["to-pair", "in-pair"][number % 2];
        format!(r#"42["{to}","{number}"]"#)
    }))
    .await;
    for number in 0..100 {
        bob.expect(&format!(r#"42["event","{number}"]"#)).await;
        if number % 2 == 1 {
            ann.expect(&format!(r#"42["event","{number}"]"#)).await;
        }
    }
}

#[tokio::test]
async fn a_socket_that_left_a_room_does_not_hear_it() {
    let (io, mut clients, [ann, ..]) = three().await;
    ann.leave("pair");
    ann.leave("never joined");
    io.to("pair").emit("event", ());
    expect_event(&mut clients, [false, true, false]).await;
    let mut rooms: Vec<String> = ann.rooms().iter().map(ToString::to_string).collect();
    assert_eq!(rooms.remove(0), ann.id().to_string(), "its own id first");
    rooms.sort();
    assert_eq!(rooms, ["all", "ann"]);
}

#[tokio::test]
async fn sockets_of_a_room_join_leave_and_disconnect_together() {
    let (io, [mut a, mut b, mut c], [ann, bob, cid]) = three().await;
    io.to("pair").sockets_join("new");
    assert_eq!(io.to("new").socket_ids().len(), 2);
    io.to("ann").sockets_leave("new");
    assert_eq!(io.to("new").socket_ids(), [bob.id()]);
    let mut everybody: Vec<_> = io.broadcast().sockets().iter().map(Socket::id).collect();
    let mut expected = [ann.id(), bob.id(), cid.id()];
    everybody.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(everybody, expected);

    io.to("ann").disconnect_sockets(false);
    a.expect("41").await;
    a.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    bob.to("all").disconnect_sockets(true);
    c.expect("41").await;
    c.expect_end().await;
    assert_eq!(io.broadcast().socket_ids(), [bob.id()]);
    b.expect_only(r#"420["ping"]"#, "430[]").await;
}

#[tokio::test]
async fn a_room_beyond_the_limits_is_rejected_with_an_error() {
    let (builder, mut program) = program();
    let io = builder.limits(Limits { max_rooms: 2, max_room_name_len: 8, ..Limits::default() }).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room).await);
    let (mut client, socket) = join(serve(&io).await, &mut program).await;

    let too_long = JoinError::NameTooLong { len: 9, max: 8 };
    assert_eq!(socket.join("9 letters").await, Err(too_long));
    assert_eq!(socket.join("8letters").await, Ok(()));
    // The room of the socket's own id does not count, and neither does a room that the socket is already in.
    for room in ["b", "8letters", &socket.id()] {
        assert_eq!(socket.join(room).await, Ok(()), "{room}");
    }
    let too_many = JoinError::TooManyRooms { max: 2 };
    assert_eq!(socket.join("c").await, Err(too_many));
    program.lines.expect_silence();
    // If the result is not awaited, the hook is called.
    socket.join("c");
    program.lines.expect([format!("error in -: handler failed: {too_many}")]).await;
    io.to("b").sockets_join("c");
    program.lines.expect([format!("error in -: handler failed: {too_many}")]).await;
    client.expect_only(r#"420["join","c"]"#, r#"430[{"error":"handler failed"}]"#).await;
    program.lines.expect([format!("error in join: handler failed: {too_many}")]).await;
    assert_eq!(socket.rooms().len(), 3);
    assert!(socket.is_in("8letters") && socket.is_in(&*socket.id()) && !socket.is_in("c"));

    socket.leave("b");
    client.expect_only(r#"421["join","c"]"#, "431[]").await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_socket_is_found_by_its_id() {
    let (io, _clients, [ann, ..]) = three().await;
    let found = io.socket(&ann.id()).expect("it is connected");
    assert_eq!(found.id(), ann.id());
    assert!(io.of("/other").socket(&ann.id()).is_none());
}

#[tokio::test]
async fn a_broadcast_does_not_reach_a_socket_in_its_middleware() {
    let (builder, _program) = program();
    let io = builder.build();
    io.middleware(async |socket: Socket| {
        socket.emit("too early", ());
        assert!(socket.rooms().is_empty());
    });
    io.on("ping", async || {});
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["ping"]"#, "430[]").await;
}

/// What a broadcast promises: a program that sends much at once loses no client that reads.
#[tokio::test]
async fn half_a_mebibyte_in_a_tight_loop_reaches_a_thousand_clients_completely_and_in_order() {
    const CLIENTS: usize = 1_000;
    const EVENTS: usize = 500;
    // Without pings: on a busy machine the test may take longer than their interval, and they would be among the bytes.
    let io = Server::builder().ping_interval(Duration::from_secs(3_600)).build();
    let mut readers = Vec::new();
    for _ in 0..CLIENTS {
        readers.push(Client::join_in_memory(&io, 64 * 1024).await);
    }
    let data = "x".repeat(1_024);
    let frames: Vec<u8> = (0..EVENTS)
        .flat_map(|number| {
            let packet = format!(r#"42["event",{number},"{data}"]"#);
            [&[0x81, 126][..], &(packet.len() as u16).to_be_bytes(), packet.as_bytes()].concat()
        })
        .collect();
    let frames: Arc<[u8]> = frames.into();
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut client| {
            let frames = Arc::clone(&frames);
            tokio::spawn(async move {
                client.expect_bytes(&frames).await;
                client
            })
        })
        .collect();
    // The driver of no client runs meanwhile, because this test has one thread.
    for number in 0..EVENTS {
        assert_eq!(io.broadcast().try_emit("event", (number, &data)), Ok(()));
    }
    let mut clients = Vec::new();
    for reading in reading {
        clients.push(reading.await.expect("every client receives every event"));
    }
    assert_eq!(io.connection_count(), CLIENTS);
}
