//! The upgrade from polling to WebSocket.

use std::time::Duration;

use tidewire_engineio::{CloseReason, Options, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ws_proto::{Event, Opcode};

use crate::support::{Seen, Server, frame, frames, settings, soon, text, until, websocket_request};

#[tokio::test]
async fn numbered_messages_of_both_ends_survive_the_move() {
    const NUMBERS: u32 = 3_000;
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let sending = tokio::spawn({
        let session = opened.session.clone();
        async move {
            for number in 0..NUMBERS {
                session.send_text(&number.to_string());
                tokio::task::yield_now().await;
            }
        }
    });
    let mut received = Vec::new();
    let mut sent = 0;
    let mut next = || {
        sent += 1;
        format!("4{}", sent - 1)
    };

    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    // While it probes, the client keeps polling and posting, until a poll returns nothing but a noop.
    loop {
        client.post_ok(&format!("{}\x1e{}", next(), next())).await;
        let packets = client.poll().await;
        let stop = packets.split('\x1e').any(|packet| packet == "6") || received.len() > 500;
        received.extend(packets.split('\x1e').filter(|packet| *packet != "6").map(str::to_owned));
        if stop {
            break;
        }
    }
    let mut segment = frames(["5"]);
    for _ in 0..100 {
        segment.extend(frames([next()]));
    }
    websocket.write(&segment).await;
    websocket.write(&frames([next()])).await;
    while received.len() < NUMBERS as usize {
        received.push(websocket.recv_text().await.expect("the session goes on"));
    }

    let expected: Vec<_> = (0..NUMBERS).map(|number| format!("4{number}")).collect();
    assert!(received == expected, "lost, doubled or reordered: {received:?}");
    opened.expect((0..sent).map(|number| text(number.to_string()))).await;
    opened.expect_silence();
    assert_eq!(opened.session.transport(), Transport::WebSocket);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_waiting_poll_is_released_while_the_client_probes() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    poll.response().await.expect(200, "6");
}

#[tokio::test]
async fn a_poll_that_waits_at_the_move_is_told_to_stop() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    poll.response().await.expect(200, "1");
    opened.session.send_text("over there");
    websocket.expect("4over there").await;
}

#[tokio::test]
async fn a_client_that_does_not_probe_upgrades_and_its_waiting_poll_returns() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["5", "4moved"])).await;
    poll.response().await.expect(200, "1");
    opened.expect([text("moved")]).await;
    assert_eq!(opened.session.transport(), Transport::WebSocket);
    opened.session.send_text("over there");
    websocket.expect("4over there").await;
}

#[tokio::test]
async fn a_poll_that_is_given_up_at_the_move_takes_nothing_with_it() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = server.engine.handle(client.poll_request());
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    until(|| opened.session.transport() == Transport::WebSocket).await;
    drop(poll);
    websocket.send("4still here").await;
    opened.expect([text("still here")]).await;
    opened.session.send_text("so am I");
    websocket.expect("4so am I").await;
}

#[tokio::test]
async fn what_waits_for_a_poll_at_the_move_comes_on_the_websocket() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    opened.session.send_text("one");
    opened.session.send_binary(&[1]);
    let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    websocket.expect("4one").await;
    assert_eq!(websocket.recv().await, Some(Event::Binary(vec![1].into())));
    opened.session.send_text("two");
    websocket.expect("4two").await;
}

#[tokio::test]
async fn a_candidate_that_takes_no_binary_frames_gets_base64_in_text_frames() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    opened.session.send_text("one");
    opened.session.send_binary(&[1]);
    let mut websocket = client.base64_candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    websocket.expect("4one").await;
    websocket.expect("bAQ==").await;
    opened.session.send_binary(&[2]);
    websocket.expect("bAg==").await;
}

#[tokio::test]
async fn after_the_move_polls_and_posts_are_refused_and_a_second_websocket_is_closed() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
    opened.expect([text("moved")]).await;
    client.get().await.response().await.expect(400, r#"{"code":3,"message":"Bad request"}"#);
    client.post("4x").await.expect(400, r#"{"code":3,"message":"Bad request"}"#);
    client.candidate(&frames(["2probe"])).await.expect_close(None).await;
    websocket.expect("3probe").await;
    websocket.send("4still here").await;
    opened.expect([text("still here")]).await;
    drop(websocket);
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_candidate_that_says_something_else_is_closed_and_polling_goes_on() {
    let mut server = Server::start(Options::default()).await;
    for wrong in ["4hello", "2", "x"] {
        let (client, mut opened) = server.open_polling().await;
        client.candidate(&frames([wrong])).await.expect_close(None).await;
        client.post_ok("4still here").await;
        opened.expect([text("still here")]).await;
        opened.session.send_text("so am I");
        assert_eq!(client.poll().await, "4so am I");
        // The next candidate can succeed.
        let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
        websocket.expect("3probe").await;
        opened.expect([text("moved")]).await;
    }
}

#[tokio::test]
async fn a_candidate_that_vanishes_leaves_polling_alive() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    for behind in [frames(["2probe"]), vec![], frame(Opcode::Text, b"2probe")[..3].to_vec()] {
        let candidate = client.candidate(&behind).await;
        drop(candidate);
        client.post_ok("4still here").await;
        opened.expect([text("still here")]).await;
    }
    // The server may not have noticed the end of the last candidate yet. It then rejects the next one.
    soon(async {
        loop {
            let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
            if websocket.recv_text().await.as_deref() == Some("3probe") {
                opened.session.send_text("moved");
                return websocket.expect("4moved").await;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_candidate_is_given_up_and_polling_goes_on() {
    let options = settings(|settings| settings.upgrade_timeout = Duration::from_millis(50));
    let mut server = Server::start_in_memory(options).await;
    let (client, mut opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    websocket.expect_close(None).await;
    client.post_ok("4still here").await;
    opened.expect([text("still here")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_goes_on_probing_and_reads_no_answer_is_given_up() {
    let mut server = Server::start_in_memory(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let (mut stream, end) = tokio::io::duplex(1_024);
    server.serve(end);
    let query = client.query().replace("transport=polling", "transport=websocket");
    stream.write_all(websocket_request(&query).as_bytes()).await.unwrap();
    // In separate writes, so that each probe gets a pong.
    let probe = frames(["2probe"]);
    let mut probes = 0;
    while stream.write_all(&probe).await.is_ok() {
        probes += 1;
        assert!(probes < 50_000, "the pongs to all probes are kept in memory");
        tokio::task::yield_now().await;
    }
    client.post_ok("4still here").await;
    opened.expect([text("still here")]).await;
    let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
    websocket.expect("3probe").await;
    opened.expect([text("moved")]).await;
}

#[tokio::test]
async fn a_second_candidate_is_closed_and_the_first_one_moves() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut first = client.candidate(&frames(["2probe"])).await;
    first.expect("3probe").await;
    client.candidate(&frames(["2probe", "5"])).await.expect_close(None).await;
    first.write(&frames(["5", "4first"])).await;
    opened.expect([text("first")]).await;
}

#[tokio::test]
async fn a_candidate_that_is_closed_ends_although_its_client_does_not_respond() {
    let mut server = Server::start(Options::default()).await;
    let (client, _opened) = server.open_polling().await;
    let mut first = client.candidate(&frames(["2probe"])).await;
    first.expect("3probe").await;
    let mut second = client.candidate(b"").await;
    assert_eq!(second.recv().await, Some(Event::Close(None)));
    assert_eq!(second.recv().await, None, "it counts nowhere, so it does not stay open");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_does_not_read_ends_at_once_with_its_session() {
    let mut server = Server::start_in_memory(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let (mut stream, end) = tokio::io::duplex(1_024);
    server.serve(end);
    let query = client.query().replace("transport=polling", "transport=websocket");
    stream.write_all(websocket_request(&query).as_bytes()).await.unwrap();
    // In separate writes, so that each probe gets a pong. They are more than the stream takes.
    for _ in 0..1_000 {
        stream.write_all(&frames(["2probe"])).await.unwrap();
        tokio::task::yield_now().await;
    }
    let begun = tokio::time::Instant::now();
    client.post_ok("1").await;
    opened.expect_end(CloseReason::TransportClose).await;
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "what it has sent stayed in memory");
}

#[tokio::test]
async fn a_session_that_ends_takes_its_candidate_with_it() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    client.post_ok("1").await;
    websocket.expect_close(None).await;
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_upgrades_while_the_program_closes_gets_everything_that_was_sent() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    opened.session.send_text("one");
    opened.session.send_binary(&[2]);
    opened.session.close();
    opened.expect([Seen::Closed(CloseReason::ForcedClose)]).await;
    websocket.write(&frames(["5", "4too late"])).await;
    websocket.expect("4one").await;
    assert_eq!(websocket.recv().await, Some(Event::Binary(vec![2].into())));
    websocket.expect_close(None).await;
    assert_eq!(opened.next().await, None, "the session's task has ended");
    client.expect_unknown().await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_begins_to_upgrade_after_the_program_has_closed_gets_everything_too() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    opened.session.send_text("one");
    opened.session.close();
    opened.expect([Seen::Closed(CloseReason::ForcedClose)]).await;
    // This client does not probe.
    let mut websocket = client.candidate(&frames(["5"])).await;
    websocket.expect("4one").await;
    websocket.expect_close(None).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_goes_on_polling_while_the_program_closes_ends_its_candidate_with_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    opened.session.send_text("last words");
    opened.session.close();
    assert_eq!(client.poll().await, "4last words");
    assert_eq!(client.poll().await, "6\x1e1");
    websocket.expect_close(None).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_candidate_does_not_outlive_the_close_of_a_session_that_nobody_polls() {
    for goes_on in [true, false] {
        let close_timeout = Duration::from_millis(if goes_on { 50 } else { 30_000 });
        let mut server = Server::start(Options { close_timeout, ..Options::default() }).await;
        let (client, opened) = server.open_polling().await;
        let mut websocket = client.candidate(&frames(["2probe"])).await;
        websocket.expect("3probe").await;
        opened.session.send_text("to nobody");
        opened.session.close();
        if !goes_on {
            until(|| opened.session.is_closed()).await;
            server.engine.close();
        }
        websocket.expect_close(None).await;
        server.expect_no_sessions().await;
    }
}

#[tokio::test]
async fn an_emit_from_another_task_leaves_at_once_after_the_move() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
    websocket.expect("3probe").await;
    opened.expect([text("moved")]).await;
    until(|| opened.session.is_writable()).await;
    opened.session.send_text("now");
    websocket.expect("4now").await;
}

#[tokio::test]
async fn where_upgrades_are_not_allowed_none_is_offered_and_a_candidate_is_closed() {
    let mut server = Server::start(settings(|settings| settings.allow_upgrades = false)).await;
    let response = server.get("EIO=4&transport=polling").await.response().await;
    assert!(response.body.contains(r#""upgrades":[]"#), "{}", response.body);
    let (client, _opened) = server.open_polling().await;
    client.candidate(&frames(["2probe"])).await.expect_close(None).await;
}
