//! Events of which a client that reads slowly gets only the latest.

use std::time::Duration;

use bytes::Bytes;
use tidewire_server::{DisconnectReason, EmitError, Server, Socket, State};

use crate::support::{Client, Joined, Log, Program, program};

const LIMIT: usize = 100_000;

/// A client whose stream buffers little, and its socket.
async fn connected() -> (Server, Program, Client, Socket) {
    let (builder, mut program) = program();
    let io = builder.max_write_buffer_size(LIMIT).build();
    for name in ["/", "/game"] {
        io.of(name)
            .on_connection(async |socket: Socket, joined: State<Joined>| drop(joined.0.0.send(socket)));
        io.of(name).on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    }
    let client = Client::join_in_memory(&io, 1_024).await;
    let socket = program.joined().await;
    (io, program, client, socket)
}

/// Sends an event that the client does not read.
async fn fall_behind(socket: &Socket) {
    socket.emit("large", format!("{:4000}", ""));
    settle().await;
}

/// When the paused clock advances, every task has done all that it can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn expect_large(client: &mut Client) {
    client.expect(&format!(r#"42["large","{:4000}"]"#, "")).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_behind_gets_the_last_event_of_each_key_after_what_is_queued() {
    let (io, mut program, mut client, socket) = connected().await;
    fall_behind(&socket).await;
    for tick in 0..10_000 {
        socket.keep_latest("score").emit("score", tick);
        io.keep_latest("price").emit("price", tick);
        if tick == 5_000 {
            io.emit("chat", "hello");
        }
    }
    // A broadcast replaces an event of the socket, whatever its name.
    io.to(socket.id()).keep_latest("score").emit("final score", 42);
    expect_large(&mut client).await;
    client.expect(r#"42["chat","hello"]"#).await;
    client.expect(r#"42["price",9999]"#).await;
    client.expect(r#"42["final score",42]"#).await;
    assert_eq!(io.delivery_counts().replaced, 2 * 9_999 + 1);
    program.lines.expect_silence();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_gets_every_event() {
    let (io, _program, mut client, socket) = connected().await;
    for tick in 0..100 {
        socket.keep_latest("score").emit("score", tick);
        io.keep_latest("score").emit("score", tick);
        for _ in 0..2 {
            client.expect(&format!(r#"42["score",{tick}]"#)).await;
        }
        settle().await;
    }
    assert_eq!(io.delivery_counts().replaced, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_now_and_then_sees_states_in_order_and_the_last_one() {
    let (io, _program, mut client, socket) = connected().await;
    let ticking = tokio::spawn(async move {
        for tick in 0..5_000 {
            socket.keep_latest("score").emit("score", (tick, format!("{:300}", "")));
            if tick % 10 == 0 {
                socket.emit("tick", tick);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (mut score, mut tick, mut scores) = (-1, -10, 0);
    while (score, tick) != (4_999, 4_990) {
        tokio::time::sleep(Duration::from_millis(7)).await;
        let packet = client.recv().await.expect("the client stays");
        let number: i64 = packet.split(['"', ',', ']']).find_map(|part| part.parse().ok()).expect(&packet);
        if packet.contains("tick") {
            assert_eq!(number, tick + 10, "no other event is lost");
            tick = number;
        } else {
            assert!(number > score, "{number} after {score}");
            score = number;
            scores += 1;
        }
    }
    assert!((100..2_000).contains(&scores), "{scores} states");
    ticking.await.expect("no panic");
    assert_eq!(io.delivery_counts().replaced + scores, 5_000);
}

#[tokio::test(start_paused = true)]
async fn attachments_are_kept_and_replaced_with_their_event() {
    let (io, _program, mut client, socket) = connected().await;
    fall_behind(&socket).await;
    for tick in 0..100_u8 {
        socket.keep_latest("frame").emit("frame", Bytes::from(vec![tick; 3]));
        io.keep_latest("shared frame").emit("frame", Bytes::from(vec![tick; 4]));
    }
    expect_large(&mut client).await;
    for data in [r#"b"ccc""#, r#"b"cccc""#] {
        client.expect(r#"451-["frame",{"_placeholder":true,"num":0}]"#).await;
        client.expect(data).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_belongs_to_a_namespace() {
    let (io, mut program, mut client, socket) = connected().await;
    client.connect("/game,").await;
    program.joined().await;
    fall_behind(&socket).await;
    io.keep_latest("key").emit("event", 1);
    io.of("/game").keep_latest("key").emit("event", 2);
    expect_large(&mut client).await;
    client.expect(r#"42["event",1]"#).await;
    client.expect(r#"42/game,["event",2]"#).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_the_server_disconnects_gets_its_last_state_before_the_disconnect() {
    let (io, mut program, mut client, socket) = connected().await;
    client.connect("/game,").await;
    let game = program.joined().await;
    fall_behind(&socket).await;
    game.keep_latest("score").emit("score", 1);
    socket.keep_latest("score").emit("score", 2);
    game.disconnect();
    assert_eq!(game.keep_latest("score").try_emit("score", 3), Err(EmitError::Disconnected));
    io.of("/game").keep_latest("score").emit("score", 4);
    expect_large(&mut client).await;
    client.expect(r#"42/game,["score",1]"#).await;
    client.expect("41/game,").await;
    client.expect(r#"42["score",2]"#).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_its_client_disconnects_leaves_nothing_for_the_next_one() {
    let (_io, mut program, mut client, socket) = connected().await;
    client.connect("/game,").await;
    let game = program.joined().await;
    fall_behind(&socket).await;
    game.keep_latest("score").emit("score", 1);
    client.send("41/game,").await;
    client.send("40/game,").await;
    let next = program.joined().await;
    expect_large(&mut client).await;
    client.expect(&format!(r#"40/game,{{"sid":"{}"}}"#, next.id())).await;
    next.emit("hello", ());
    client.expect(r#"42/game,["hello"]"#).await;
}

#[tokio::test(start_paused = true)]
async fn many_keys_of_a_client_that_never_reads_end_it_at_the_limit() {
    let (io, mut program, _client, socket) = connected().await;
    fall_behind(&socket).await;
    for key in 0..LIMIT {
        let sent = socket.keep_latest(&key.to_string()).try_emit("event", format!("{:100}", ""));
        if sent == Err(EmitError::Full) {
            socket.keep_latest("one more").emit("event", format!("{:100}", ""));
            break;
        }
        sent.expect("there is capacity");
    }
    program.lines.expect(["transport error"]).await;
    assert_eq!(io.delivery_counts().overflowed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_of_two_policies_counts() {
    let (io, _program, mut client, socket) = connected().await;
    fall_behind(&socket).await;
    socket.keep_latest("key").volatile().emit("lost", ());
    socket.volatile().keep_latest("key").emit("kept", ());
    io.keep_latest("key").volatile().emit("lost", ());
    assert_eq!(io.delivery_counts().dropped, 2);
    expect_large(&mut client).await;
    client.expect(r#"42["kept"]"#).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_broadcast_that_requests_acknowledgements_is_queued_for_a_client_that_is_behind() {
    let (io, _program, mut client, socket) = connected().await;
    fall_behind(&socket).await;
    let volatile = io.volatile().emit_with_ack::<u8>("volatile", ());
    let latest = [1, 2].map(|number| io.keep_latest("key").emit_with_ack::<u8>("latest", number));
    assert_eq!(io.delivery_counts().dropped, 0);
    expect_large(&mut client).await;
    client.expect(r#"420["volatile"]"#).await;
    client.expect(r#"421["latest",1]"#).await;
    client.expect(r#"422["latest",2]"#).await;
    client.send_all(["430[0]", "431[1]", "432[2]"]).await;
    assert_eq!(volatile.await, Ok(vec![0]));
    for (acks, number) in latest.into_iter().zip([1, 2]) {
        assert_eq!(acks.await, Ok(vec![number]));
    }
}
