//! A client that reconnects by itself, against a server that sees every byte, with a paused clock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tidewire_ws::{
    CloseCause, CloseCode, CloseFrame, ConnectError, ConnectionFailure, Connector, Message, ReconnectEvent,
    ReconnectingWebSocket, Reconnection, SendError, TrySendError, WebSocket,
};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use ws_proto::Event as Wire;

use super::{Peer, frame, value};
use crate::support::soon;

const SECOND: Duration = Duration::from_secs(1);

/// The connections that arrive at the server.
struct Arrivals(mpsc::UnboundedReceiver<(Peer, Instant)>);

impl Arrivals {
    async fn next(&mut self) -> Peer {
        self.next_at().await.0
    }

    async fn next_at(&mut self) -> (Peer, Instant) {
        soon(self.0.recv()).await.expect("a client")
    }
}

/// Connects to a server, with delays that are not random.
fn server() -> (Reconnection, Arrivals) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reconnection = Reconnection::new().randomization_factor(0.0).connect_over(move || {
        let (client, stream) = tokio::io::duplex(64 * 1024);
        let arrived = sender.send((Peer::new(stream), Instant::now()));
        async move { arrived.map(|()| client).map_err(|_| io::ErrorKind::ConnectionRefused.into()) }
    });
    (reconnection, Arrivals(receiver))
}

/// Connects to no server, and records the time of each attempt.
fn nobody() -> (Reconnection, mpsc::UnboundedReceiver<Instant>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reconnection = Reconnection::new().connect_over(move || {
        let _ = sender.send(Instant::now());
        async { Err::<tokio::io::DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()) }
    });
    (reconnection, receiver)
}

fn socket(reconnection: Reconnection) -> ReconnectingWebSocket {
    Connector::new("ws://server.example/").reconnect_with(reconnection)
}

/// Drives a client in a task, and forwards its events, except `Connecting`.
fn events(mut socket: ReconnectingWebSocket) -> mpsc::UnboundedReceiver<ReconnectEvent> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = socket.next_event().await {
            if !matches!(event, ReconnectEvent::Connecting { .. }) && sender.send(event).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Asserts the next event.
macro_rules! expect {
    ($event:expr, $pattern:pat $(if $condition:expr)?) => {
        let event = soon($event).await;
        assert!(matches!(&event, Some($pattern) $(if $condition)?), "{event:?}");
    };
}

#[tokio::test(start_paused = true)]
async fn all_changes_are_events_in_order() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    let server = tokio::spawn(async move {
        let mut peer = arrivals.next().await;
        peer.accept("X-Server: a\r\n").await;
        peer.write(&frame(1, b"one")).await;
        drop(peer);
        drop(arrivals.next().await);
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        peer.write(&frame(1, b"two")).await;
        peer
    });
    expect!(socket.next_event(), ReconnectEvent::Connecting { attempt: 0 });
    expect!(
        socket.next_event(),
        ReconnectEvent::Connected { response, protocol: None } if response.headers()["x-server"] == "a"
    );
    expect!(socket.next_event(), ReconnectEvent::Message(message) if message.as_text() == Some("one"));
    expect!(socket.next_event(), ReconnectEvent::Disconnected { cause: CloseCause::Eof });
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { attempt: 1, delay: SECOND });
    expect!(socket.next_event(), ReconnectEvent::Connecting { attempt: 1 });
    expect!(socket.next_event(), ReconnectEvent::ConnectFailed { error } if matches!(**error, ConnectError::NoResponse(_)));
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { attempt: 2, delay } if *delay == 2 * SECOND);
    expect!(socket.next_event(), ReconnectEvent::Connecting { attempt: 2 });
    expect!(socket.next_event(), ReconnectEvent::Connected { .. });
    expect!(socket.next_event(), ReconnectEvent::Message(message) if message.as_text() == Some("two"));
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn recv_returns_only_messages() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    tokio::spawn(async move {
        for text in [b"one", b"two", b"six"] {
            let mut peer = arrivals.next().await;
            peer.accept("").await;
            peer.write(&frame(1, text)).await;
        }
    });
    for text in ["one", "two", "six"] {
        assert_eq!(soon(socket.recv()).await, Some(text.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_events_are_a_stream() {
    let (reconnection, _attempts) = nobody();
    let events: Vec<_> = soon(socket(reconnection.attempts(1)).collect()).await;
    assert!(
        matches!(
            events[..],
            [
                ReconnectEvent::Connecting { .. },
                ReconnectEvent::ConnectFailed { .. },
                ReconnectEvent::Reconnecting { .. },
                ReconnectEvent::Connecting { .. },
                ReconnectEvent::ConnectFailed { .. },
                ReconnectEvent::ReconnectFailed { .. }
            ]
        ),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn delays_double_up_to_the_maximum() {
    let (reconnection, mut attempts) = nobody();
    let mut socket = socket(reconnection.delay_max(10 * SECOND));
    tokio::spawn(async move { while socket.next_event().await.is_some() {} });
    let mut last = attempts.recv().await.unwrap();
    assert_eq!(last, Instant::now(), "the first attempt starts at once");
    for (shortest, longest) in
        [(500, 1_500), (1_000, 3_000), (2_000, 6_000), (4_000, 10_000), (5_000, 10_000), (5_000, 10_000)]
    {
        let next = attempts.recv().await.unwrap();
        let delay = (next - last).as_millis();
        // The clock has a resolution of a millisecond.
        assert!((shortest..=longest + 1).contains(&delay), "{delay}, not {shortest} to {longest}");
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_disconnect_together_do_not_reconnect_together() {
    const MINUTE: Duration = Duration::from_secs(60);
    let begin = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (reconnection, mut arrivals) = server();
        let client = events(socket(reconnection.delay(MINUTE).delay_max(MINUTE).randomization_factor(0.5)));
        clients.spawn(async move {
            arrivals.next().await.accept("").await;
            let (_, at) = tokio::time::timeout(2 * MINUTE, arrivals.0.recv()).await.unwrap().unwrap();
            drop(client);
            (at - begin).as_secs()
        });
    }
    let seconds = clients.join_all().await;
    for from in 0..60 {
        let together = seconds.iter().filter(|&&second| (from..from + 3).contains(&second)).count();
        // The delays spread over 30 seconds, so about ten clients per three seconds are expected.
        assert!(together < 35, "{together} reconnect within three seconds: {seconds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_disconnects_gets_no_more_attempts_than_one_that_refuses() {
    let (reconnection, mut arrivals) = server();
    let _events = events(socket(reconnection));
    let mut last = Instant::now();
    for seconds in [0, 1, 2, 4, 5, 5] {
        let (mut peer, at) = arrivals.next_at().await;
        assert_eq!((at - last).as_secs(), seconds);
        peer.accept("").await;
        peer.write(&frame(1, b"go away")).await;
        last = at;
    }
    // A connection that lasts as long as the longest delay restarts the delays.
    let mut peer = arrivals.next().await;
    peer.accept("").await;
    sleep(5 * SECOND).await;
    let lost = Instant::now();
    drop(peer);
    let (_, at) = arrivals.next_at().await;
    assert_eq!((at - lost).as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_client_stops() {
    let (reconnection, mut attempts) = nobody();
    let mut socket = socket(reconnection.attempts(3));
    assert_eq!(soon(socket.recv()).await, None);
    for _ in 0..4 {
        attempts.try_recv().expect("the first attempt and three more");
    }
    assert!(attempts.try_recv().is_err());
    let failure = socket.final_failure();
    assert!(
        matches!(failure, Some(ConnectionFailure::ConnectFailed(error)) if matches!(**error, ConnectError::Hook(_))),
        "{failure:?}"
    );
    assert_eq!(soon(socket.send("late")).await, Err(SendError("late".into())));
    assert_eq!(socket.try_send("late"), Err(TrySendError::Closed("late".into())));
    assert_eq!(soon(socket.close(None)).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_last_counts_as_an_attempt() {
    let (reconnection, mut arrivals) = server();
    let mut events = events(socket(reconnection.attempts(1)));
    arrivals.next().await.accept("").await;
    expect!(events.recv(), ReconnectEvent::Connected { .. });
    expect!(events.recv(), ReconnectEvent::Disconnected { .. });
    expect!(events.recv(), ReconnectEvent::Reconnecting { attempt: 1, .. });
    let mut peer = arrivals.next().await;
    peer.accept("").await;
    expect!(events.recv(), ReconnectEvent::Connected { .. });
    peer.write(&frame(8, &1013_u16.to_be_bytes())).await;
    drop(peer);
    expect!(events.recv(), ReconnectEvent::Disconnected { cause: CloseCause::ClosingHandshake(Some(frame)) } if frame.code.as_u16() == 1013);
    expect!(
        events.recv(),
        ReconnectEvent::ReconnectFailed {
            failure: ConnectionFailure::Disconnected(CloseCause::ClosingHandshake(_))
        }
    );
    assert!(soon(events.recv()).await.is_none());
}

/// Rejects the handshake with this status and these header lines.
async fn refuse(peer: &mut Peer, status: u16, lines: &str) {
    peer.head().await;
    peer.write(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n{lines}\r\n").as_bytes()).await;
}

#[tokio::test(start_paused = true)]
async fn the_client_retries_unless_the_request_is_wrong() {
    for (status, goes_on) in [
        (200, true),
        (302, true),
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (408, true),
        (410, false),
        (421, true),
        (425, true),
        (426, false),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
    ] {
        let (reconnection, mut arrivals) = server();
        let mut events = events(socket(reconnection));
        refuse(&mut arrivals.next().await, status, "").await;
        expect!(events.recv(), ReconnectEvent::ConnectFailed { error } if error.status().unwrap() == status);
        if goes_on {
            expect!(events.recv(), ReconnectEvent::Reconnecting { attempt: 1, .. });
        } else {
            expect!(events.recv(), ReconnectEvent::ReconnectFailed { failure } if failure.status().unwrap() == status);
        }
    }
    for connect in [
        Connector::new("ftp://a/"),
        Connector::new("ws://a/").header("a b", "c"),
        Connector::new("ws://a/").protocol(""),
    ] {
        let (reconnection, _arrivals) = server();
        let mut socket = connect.reconnect_with(reconnection);
        assert_eq!(soon(socket.recv()).await, None);
        assert!(socket.final_failure().is_some_and(|lost| !lost.is_transient()), "{socket:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn should_reconnect_decides_about_further_attempts() {
    let (reconnection, mut arrivals) = server();
    let mut events = events(socket(reconnection.should_reconnect(|lost| match lost {
        ConnectionFailure::Disconnected(CloseCause::ClosingHandshake(Some(frame))) => {
            frame.code.as_u16() != 4402
        }
        lost => lost.is_transient() || lost.status().is_some_and(|status| status == 404),
    })));
    refuse(&mut arrivals.next().await, 404, "").await;
    expect!(events.recv(), ReconnectEvent::ConnectFailed { .. });
    expect!(events.recv(), ReconnectEvent::Reconnecting { .. });
    for (code, goes_on) in [(1000_u16, true), (4402, false)] {
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        expect!(events.recv(), ReconnectEvent::Connected { .. });
        peer.write(&frame(8, &code.to_be_bytes())).await;
        drop(peer);
        expect!(events.recv(), ReconnectEvent::Disconnected { cause } if cause.is_clean());
        let event = soon(events.recv()).await.unwrap();
        assert_eq!(matches!(event, ReconnectEvent::Reconnecting { .. }), goes_on, "{code}: {event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_delays_the_next_attempt() {
    for (lines, seconds) in [
        ("", 1),
        ("Retry-After: 30\r\n", 31),
        ("Retry-After: 86400\r\n", 301),
        ("Retry-After: 18446744073709551615\r\n", 301),
        ("Retry-After: 99999999999999999999\r\n", 301),
        ("Retry-After: 000000000000000000000030\r\n", 31),
        ("Retry-After: Wed, 21 Oct 2065 07:28:00 GMT\r\n", 1),
        ("Retry-After: -1\r\n", 1),
        ("Retry-After: +30\r\n", 1),
        ("Retry-After:\r\n", 1),
    ] {
        let (reconnection, mut arrivals) = server();
        let mut events = events(socket(reconnection));
        refuse(&mut arrivals.next().await, 503, lines).await;
        expect!(events.recv(), ReconnectEvent::ConnectFailed { .. });
        expect!(events.recv(), ReconnectEvent::Reconnecting { delay, .. } if delay.as_secs() == seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_request() {
    let (reconnection, mut arrivals) = server();
    let tokens = Arc::new(AtomicU32::new(0));
    let reconnection = reconnection.before_connect(move |connect| {
        let token = tokens.fetch_add(1, Ordering::SeqCst);
        async move {
            match token {
                1 => Err("no token today"),
                _ => Ok(connect
                    .url(format!("ws://server.example/?since={token}"))
                    .header("authorization", format!("Bearer {token}"))),
            }
        }
    });
    let mut events =
        events(Connector::new("ws://server.example/").header("x-app", "1").reconnect_with(reconnection));
    for (target, token) in [("/?since=0", "Bearer 0"), ("/?since=2", "Bearer 2")] {
        let mut peer = arrivals.next().await;
        let head = peer.accept("").await;
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
        assert_eq!((value(&head, "authorization"), value(&head, "x-app")), (Some(token), Some("1")));
    }
    expect!(events.recv(), ReconnectEvent::Connected { .. });
    expect!(events.recv(), ReconnectEvent::Disconnected { .. });
    expect!(events.recv(), ReconnectEvent::Reconnecting { .. });
    expect!(events.recv(), ReconnectEvent::ConnectFailed { error } if error.to_string() == "no token today");
    expect!(events.recv(), ReconnectEvent::Reconnecting { attempt: 2, .. });
    expect!(events.recv(), ReconnectEvent::Connected { .. });
}

#[tokio::test(start_paused = true)]
async fn on_connect_runs_first_on_each_connection() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection.on_connect(async |mut socket: WebSocket| {
        socket.send("let me in").await?;
        match socket.recv().await {
            Some(reply) if reply.as_text() == Some("come in") => {
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(socket)
            }
            reply => Err(format!("no: {reply:?}").into()),
        }
    }));
    let server = tokio::spawn(async move {
        for reply in [b"come in", b"not now", b"come in"] {
            let mut peer = arrivals.next().await;
            peer.accept("").await;
            peer.expect_text("let me in").await;
            peer.write(&[frame(1, reply), frame(1, b"news")].concat()).await;
            match reply {
                b"come in" => peer.expect_text("hello").await,
                _ => assert_eq!(peer.recv().await, Some(Wire::Close(Some(CloseCode::NORMAL.into())))),
            }
        }
        // If the server sends nothing, the attempt times out.
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        peer.expect_text("let me in").await;
        assert_eq!(peer.recv().await, Some(Wire::Close(Some(CloseCode::NORMAL.into()))));
    });
    soon(socket.send("hello")).await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some("news".into()));
    expect!(socket.next_event(), ReconnectEvent::Disconnected { .. });
    soon(socket.send("hello")).await.unwrap();
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { attempt: 1, .. });
    expect!(socket.next_event(), ReconnectEvent::Connecting { .. });
    expect!(socket.next_event(), ReconnectEvent::ConnectFailed { error } if error.to_string() == r#"no: Some(Text("not now"))"#);
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { attempt: 2, .. });
    expect!(socket.next_event(), ReconnectEvent::Connecting { .. });
    expect!(socket.next_event(), ReconnectEvent::Connected { .. });
    assert_eq!(soon(socket.recv()).await, Some("news".into()));
    expect!(socket.next_event(), ReconnectEvent::Disconnected { .. });
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { .. });
    expect!(socket.next_event(), ReconnectEvent::Connecting { .. });
    let begin = Instant::now();
    expect!(socket.next_event(), ReconnectEvent::ConnectFailed { error } if matches!(**error, ConnectError::TimedOut));
    assert_eq!(begin.elapsed().as_secs(), 20);
    soon(server).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sending_without_a_connection_waits_or_fails() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    assert_eq!(socket.try_send("now"), Err(TrySendError::Disconnected("now".into())));
    assert!(socket.socket_mut().is_none());
    let server = tokio::spawn(async move {
        drop(arrivals.next().await);
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        peer.expect_text("when there is somebody").await;
        peer.expect_text("now").await;
        peer
    });
    let limit = tokio::time::timeout(SECOND / 2, socket.send("never")).await;
    assert!(limit.is_err(), "there is no connection yet");
    soon(socket.send("when there is somebody")).await.unwrap();
    socket.try_send("now").unwrap();
    assert!(socket.socket_mut().is_some());
    drop(soon(server).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn messages_before_a_disconnect_are_received_although_the_program_was_sending() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    let server = tokio::spawn(async move {
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        peer.write(&[frame(1, b"last"), frame(1, b"words")].concat()).await;
        drop(peer);
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        peer.expect_text("again").await;
        peer
    });
    expect!(socket.next_event(), ReconnectEvent::Connecting { .. });
    expect!(socket.next_event(), ReconnectEvent::Connected { .. });
    // The client has not detected the end of the connection yet.
    socket.send("lost").await.unwrap();
    sleep(SECOND).await;
    soon(socket.send("again")).await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some("last".into()));
    expect!(socket.next_event(), ReconnectEvent::Message(message) if message.as_text() == Some("words"));
    expect!(socket.next_event(), ReconnectEvent::Disconnected { .. });
    expect!(socket.next_event(), ReconnectEvent::Reconnecting { .. });
    expect!(socket.next_event(), ReconnectEvent::Connecting { .. });
    expect!(socket.next_event(), ReconnectEvent::Connected { .. });
    drop(soon(server).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn pending_events_are_bounded() {
    let (reconnection, _attempts) = nobody();
    let mut socket = socket(reconnection.attempts(1_000));
    assert!(socket.send("for nobody").await.is_err());
    let mut events = Vec::new();
    while let Some(event) = socket.next_event().await {
        events.push(event);
    }
    assert_eq!(events.len(), 32);
    assert!(
        matches!(
            &events[29..],
            [
                ReconnectEvent::Connecting { attempt: 1_000 },
                ReconnectEvent::ConnectFailed { .. },
                ReconnectEvent::ReconnectFailed { .. }
            ]
        ),
        "{:?}",
        &events[29..]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_does_not_restart_an_attempt_or_a_delay() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    let server = tokio::spawn(async move {
        drop(arrivals.next().await);
        let (mut peer, at) = arrivals.next_at().await;
        sleep(SECOND).await;
        peer.accept("").await;
        sleep(SECOND).await;
        peer.write(&frame(1, b"hello")).await;
        (peer, arrivals, at)
    });
    let begin = Instant::now();
    let mut changes = 0;
    let receiving = async {
        loop {
            tokio::select! {
                biased;
                () = sleep(SECOND / 100) => {}
                event = socket.next_event() => match event.unwrap() {
                    ReconnectEvent::Message(message) => break message,
                    _ => changes += 1,
                },
            }
        }
    };
    let message = soon(receiving).await;
    assert_eq!(message, Message::from("hello"));
    assert_eq!(changes, 5, "Connecting, Failed, Reconnecting, Connecting, Connected");
    let (_peer, mut arrivals, at) = soon(server).await.unwrap();
    assert!(arrivals.0.try_recv().is_err(), "there were two attempts");
    assert_eq!((at - begin).as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_close_cancels_an_attempt_or_a_delay_and_stops_reconnecting() {
    // During a delay.
    let (reconnection, _attempts) = nobody();
    let mut waiting = socket(reconnection);
    while !matches!(waiting.next_event().await, Some(ReconnectEvent::Reconnecting { .. })) {}
    let begin = Instant::now();
    assert_eq!(waiting.close(CloseFrame::from(CloseCode::NORMAL)).await, None);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(waiting.next_event().await.is_none() && waiting.final_failure().is_none());

    // During an attempt.
    let (reconnection, mut arrivals) = server();
    let mut connecting = socket(reconnection);
    expect!(connecting.next_event(), ReconnectEvent::Connecting { .. });
    tokio::select! {
        _ = connecting.next_event() => panic!("the server does not respond"),
        () = sleep(SECOND) => {}
    }
    let mut peer = arrivals.next().await;
    peer.head().await;
    assert_eq!(connecting.close(None).await, None);
    assert!(soon(peer.stream.read_u8()).await.is_err(), "the stream has ended");
    assert!(connecting.next_event().await.is_none());

    // On a connection: the call is dropped, and the close continues.
    let (reconnection, mut arrivals) = server();
    let mut open = socket(reconnection);
    let server = tokio::spawn(async move {
        let mut peer = arrivals.next().await;
        peer.accept("").await;
        assert_eq!(peer.recv().await, Some(Wire::Close(Some(CloseCode::GOING_AWAY.into()))));
        sleep(SECOND).await;
        peer.write(&frame(8, &1001_u16.to_be_bytes())).await;
        drop(peer);
        arrivals
    });
    expect!(open.next_event(), ReconnectEvent::Connecting { .. });
    expect!(open.next_event(), ReconnectEvent::Connected { .. });
    let close = CloseFrame::from(CloseCode::GOING_AWAY);
    assert!(tokio::time::timeout(SECOND / 2, open.close(close.clone())).await.is_err());
    assert!(open.next_event().await.is_none());
    assert_eq!(open.send("late").await, Err(SendError("late".into())));
    assert_eq!(soon(open.close(None)).await, Some(CloseCause::ClosingHandshake(Some(close))));
    sleep(60 * SECOND).await;
    assert!(soon(server).await.unwrap().0.try_recv().is_err(), "it does not reconnect");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_reconnecting_client_ends_everything() {
    let (reconnection, mut arrivals) = server();
    let mut socket = socket(reconnection);
    let driven = tokio::time::timeout(SECOND, socket.recv()).await;
    assert!(driven.is_err());
    let mut peer = arrivals.next().await;
    peer.head().await;
    drop(socket);
    assert!(soon(peer.stream.read_u8()).await.is_err(), "the stream has ended");
    assert!(soon(arrivals.0.recv()).await.is_none(), "there are no further attempts");
}

/// A pseudorandom number below `end`; the sequence is the same in each run.
fn below(end: u64, seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % end
}

/// Randomly accepts, rejects, disconnects, or sends something and closes.
async fn moody_server(mut arrivals: Arrivals, mut seed: u64) {
    while let Some((mut peer, _)) = arrivals.0.recv().await {
        match below(4, &mut seed) {
            0 => continue,
            1 => {
                refuse(&mut peer, 503, "").await;
                continue;
            }
            _ => drop(peer.accept("").await),
        }
        for n in 0..below(5, &mut seed) {
            peer.write(&frame(1, n.to_string().as_bytes())).await;
            sleep(Duration::from_millis(below(2_000, &mut seed))).await;
        }
        if below(2, &mut seed) == 0 {
            peer.write(&frame(8, &1001_u16.to_be_bytes())).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_consistent_for_random_servers_and_cancelled_calls() {
    for seed in 0..50_u64 {
        let (reconnection, arrivals) = server();
        let server = tokio::spawn(moody_server(arrivals, seed));
        let mut socket = socket(reconnection.randomization_factor(1.0));
        let (mut last, mut received, mut seed) = ("Reconnecting", 0, seed);
        for _ in 0..200 {
            let limit = Duration::from_millis(below(100, &mut seed));
            if below(4, &mut seed) == 0 {
                let _ = tokio::time::timeout(limit, socket.send("hello")).await;
            }
            let Ok(event) = tokio::time::timeout(limit, socket.next_event()).await else { continue };
            last = match (last, event.expect("attempts are unlimited")) {
                ("Reconnecting", ReconnectEvent::Connecting { .. }) => "Connecting",
                ("Connecting", ReconnectEvent::ConnectFailed { .. }) => "lost",
                ("Connecting", ReconnectEvent::Connected { .. }) => {
                    received = 0;
                    "Connected"
                }
                ("Connected", ReconnectEvent::Message(message)) => {
                    assert_eq!(message.as_text().unwrap(), received.to_string());
                    received += 1;
                    "Connected"
                }
                ("Connected", ReconnectEvent::Disconnected { .. }) => "lost",
                ("lost", ReconnectEvent::Reconnecting { .. }) => "Reconnecting",
                (last, event) => panic!("{event:?} after {last}"),
            };
        }
        server.abort();
    }
}
