//! Broadcasts that request acknowledgements, and questions to other servers, on one server.

use std::time::Duration;

use futures_util::FutureExt;
use tidewire_server::{
    AckFailure, EmitError, EncodeError, Limits, Missing, MissingReason, Reply, Server, Socket, State,
};
use tokio::time::Instant;

use crate::support::{Client, Joined, program, soon};

/// Starts a server with two clients in the room `pair`, and one that is in no room.
async fn three(limits: Limits) -> (Server, Vec<(Client, Socket)>) {
    let (builder, mut program) = program();
    let io = builder.limits(limits).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let mut clients = Vec::new();
    for index in 0..3 {
        let (client, socket) = (Client::join_in_memory(&io, 64 * 1024).await, program.joined().await);
        if index < 2 {
            socket.join("pair");
        }
        clients.push((client, socket));
    }
    (io, clients)
}

fn missing(socket: &Socket, reason: MissingReason) -> AckFailure {
    AckFailure::Missing(Missing::Client { id: socket.id().as_str().into(), reason })
}

#[tokio::test]
async fn the_acknowledgements_of_all_receivers_are_one_result() {
    let (io, mut clients) = three(Limits::default()).await;
    let acks = io.to("pair").emit_with_ack::<String>("question", 1);
    for ((client, _), answer) in clients.iter_mut().zip(["a", "b"]) {
        client.expect(r#"420["question",1]"#).await;
        client.send(&format!(r#"430["{answer}","ignored"]"#)).await;
    }
    let mut answers = soon(acks.into_future()).await.expect("both have answered");
    answers.sort();
    assert_eq!(answers, ["a", "b"]);
    // The ids continue, and the third client has received nothing before this event.
    let acks = io.emit_with_ack::<(u8, u8)>("pair?", ());
    for (client, _) in &mut clients {
        client.expect(r#"421["pair?"]"#).await;
        client.send("431[[1,2]]").await;
    }
    assert_eq!(soon(acks.into_future()).await, Ok(vec![(1, 2); 3]), "a tuple is one argument");
}

#[tokio::test]
async fn a_broadcast_with_ack_to_nobody_is_complete_at_once() {
    let (io, _clients) = three(Limits::default()).await;
    assert_eq!(soon(io.to("nobody").emit_with_ack::<u8>("question", ()).into_future()).await, Ok(vec![]));
}

#[tokio::test]
async fn acknowledgements_are_a_stream_in_the_order_in_which_they_arrive() {
    let (io, mut clients) = three(Limits::default()).await;
    let mut acks = io.to("pair").emit_with_ack::<Option<u8>>("question", ());
    clients[1].0.send("430[1]").await;
    assert_eq!(soon(acks.next()).await, Some(Ok(Some(1))));
    clients[0].0.send("430[]").await;
    assert_eq!(soon(acks.next()).await, Some(Ok(None)));
    assert_eq!(soon(acks.next()).await, None);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_named_after_the_timeout_and_the_others_are_not_lost() {
    let (io, mut clients) = three(Limits::default()).await;
    let mut acks = io.timeout(Duration::from_millis(50)).emit_with_ack::<u8>("question", ());
    clients[1].0.send("430[7]").await;
    assert_eq!(soon(acks.next()).await, Some(Ok(7)));
    let incomplete = soon(acks.into_future()).await.expect_err("two are silent");
    assert!(incomplete.responses.is_empty());
    assert_eq!(incomplete.failures.len(), 2);
    for index in [0, 2] {
        assert!(incomplete.failures.contains(&missing(&clients[index].1, MissingReason::TimedOut)));
    }
    let text = incomplete.to_string();
    assert!(text.starts_with("0 acknowledgements were received; client "), "{text}");
    // A late acknowledgement is ignored, and the connection goes on.
    clients[0].0.send("430[1]").await;
    let acks = io.to("pair").except(clients[1].1.id()).emit_with_ack::<u8>("again", ());
    clients[0].0.send("431[2]").await;
    assert_eq!(soon(acks.into_future()).await, Ok(vec![2]));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_without_a_timeout_waits_for_ten_seconds() {
    let (io, mut clients) = three(Limits::default()).await;
    let began = Instant::now();
    let acks = io.emit_with_ack::<u8>("question", ());
    clients[1].0.send("430[7]").await;
    let incomplete = acks.await.expect_err("two are silent");
    assert_eq!((&*incomplete.responses, incomplete.failures.len()), (&[7][..], 2));
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs(10) && elapsed < Duration::from_secs(11), "{elapsed:?}");
}

#[tokio::test]
async fn a_question_to_the_other_servers_is_complete_at_once_if_there_are_none() {
    let (io, _clients) = three(Limits::default()).await;
    io.on_server_side_emit("question", async |_: ()| -> Reply<u8> { panic!("the server asks others only") });
    let asked = io.server_side_emit_with_ack::<u8>("question", ());
    assert_eq!(asked.into_future().now_or_never(), Some(Ok(vec![])));
    io.server_side_emit("question", ());
}

#[tokio::test]
async fn a_client_that_disconnects_is_missing_at_once() {
    let (io, mut clients) = three(Limits::default()).await;
    let mut acks = io.timeout(Duration::from_secs(3600)).emit_with_ack::<u8>("question", ());
    clients[0].0.send("41").await;
    assert_eq!(soon(acks.next()).await, Some(Err(missing(&clients[0].1, MissingReason::Disconnected))));
    let (_, gone) = clients.remove(1);
    assert_eq!(soon(acks.next()).await, Some(Err(missing(&gone, MissingReason::Disconnected))));
    clients[1].1.disconnect();
    assert_eq!(soon(acks.next()).await, Some(Err(missing(&clients[1].1, MissingReason::Disconnected))));
    assert_eq!(soon(acks.next()).await, None);
}

#[tokio::test]
async fn an_acknowledgement_of_another_type_and_an_invalid_event_are_failures() {
    let (io, mut clients) = three(Limits::default()).await;
    let mut acks = io.to("pair").except(clients[1].1.id()).emit_with_ack::<u8>("question", ());
    clients[0].0.send(r#"430["seven"]"#).await;
    let Some(Err(AckFailure::Invalid { socket, .. })) = soon(acks.next()).await else { panic!("a failure") };
    assert_eq!(socket, Some(clients[0].1.id()));
    let incomplete =
        soon(io.emit_with_ack::<u8>("disconnect", ()).into_future()).await.expect_err("reserved");
    let reserved = EmitError::Encode(EncodeError::ReservedEvent("disconnect".into()));
    assert_eq!(incomplete.failures, [AckFailure::NotSent(reserved)]);
}

#[tokio::test]
async fn a_client_that_never_acknowledges_is_asked_only_up_to_the_limit() {
    let limits = Limits { max_pending_broadcast_acks: 2, ..Limits::default() };
    let (io, mut clients) = three(limits).await;
    let one = io.to(clients[2].1.id());
    let mut acks: Vec<_> = (0..3).map(|number| one.clone().emit_with_ack::<u8>("question", number)).collect();
    let limit = missing(&clients[2].1, MissingReason::Limit);
    assert_eq!(soon(acks.remove(2).next()).await, Some(Err(limit)));
    clients[2].0.expect(r#"420["question",0]"#).await;
    clients[2].0.expect(r#"421["question",1]"#).await;
    clients[2].0.send("430[1]").await;
    assert_eq!(soon(acks.remove(0).into_future()).await, Ok(vec![1]));
    let again = one.emit_with_ack::<u8>("question", 3);
    clients[2].0.expect(r#"423["question",3]"#).await;
    clients[2].0.send("433[3]").await;
    assert_eq!(soon(again.into_future()).await, Ok(vec![3]));
}

#[tokio::test]
async fn acknowledgements_that_the_program_does_not_take_are_kept_only_up_to_the_limit() {
    // Two answers of 8 bytes fit, and the next one does not.
    let limits = Limits { max_broadcast_ack_bytes: 16, ..Limits::default() };
    let (io, mut clients) = three(limits).await;
    io.on("ping", async || {});
    let mut acks = io.emit_with_ack::<String>("question", ());
    for (client, _) in &mut clients {
        client.expect(r#"420["question"]"#).await;
        client.send(r#"430["four"]"#).await;
        // The acknowledgement was handled when the server refuses this request.
        client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    }
    assert_eq!(soon(acks.next()).await, Some(Ok("four".into())));
    assert_eq!(soon(acks.next()).await, Some(Ok("four".into())));
    assert_eq!(soon(acks.next()).await, Some(Err(missing(&clients[2].1, MissingReason::Limit))));
    assert_eq!(soon(acks.next()).await, None);
}

#[tokio::test]
async fn observers_of_outgoing_events_see_a_broadcast_with_ack() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    io.on_any_outgoing(move |socket, event| {
        sender.send((socket.id(), event.name().to_owned())).expect("a test");
    });
    let mut client = Client::join_in_memory(&io, 64 * 1024).await;
    let socket = program.joined().await;
    let acks = io.emit_with_ack::<u8>("question", ());
    assert_eq!(soon(seen.recv()).await, Some((socket.id(), "question".to_owned())));
    client.expect(r#"420["question"]"#).await;
    client.send("430[1]").await;
    assert_eq!(soon(acks.into_future()).await, Ok(vec![1]));
}
