//! The server for programs: what a handler receives, sends and learns.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tidewire_engineio::server::{
    CloseCause, Handler, Message, SendError, Sender, Server, ServerBuilder, Socket, TrySendError,
};
use tidewire_engineio::{AddressLimits, CloseReason, MemoryBudget};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use ws_proto::{Event, FrameHeader, Opcode};

use crate::support::{
    Polling, Request, WebSocket, frame, frames, soon, until, websocket_request, with_small_buffers,
};

const LIMIT: usize = 100_000;

async fn start<H: Handler<M>, M>(builder: ServerBuilder, handler: H) -> (Server, SocketAddr) {
    let server = builder.build(handler);
    let listener = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener, pending()).await });
    (server, address)
}

/// Starts a server whose handler passes each socket to the test.
async fn start_passing(builder: ServerBuilder) -> (Server, SocketAddr, mpsc::UnboundedReceiver<Socket>) {
    let (sender, sockets) = mpsc::unbounded_channel();
    let handler = move |socket: Socket| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(socket);
        }
    };
    let (server, address) = start(builder, handler).await;
    (server, address, sockets)
}

async fn echo(mut socket: Socket) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

async fn open_websocket(address: SocketAddr) -> WebSocket {
    WebSocket::open(Box::new(TcpStream::connect(address).await.expect("it listens"))).await
}

async fn next(sockets: &mut mpsc::UnboundedReceiver<Socket>) -> Socket {
    soon(sockets.recv()).await.expect("the server is running")
}

async fn ended(socket: &mut Socket) -> CloseCause {
    assert_eq!(soon(socket.recv()).await, None);
    socket.close_cause().expect("`recv` has returned `None`")
}

#[tokio::test]
async fn text_and_binary_come_back_in_order_on_each_transport_and_across_the_upgrade() {
    let (_server, address) = start(Server::builder(), echo).await;
    let mut client = open_websocket(address).await;
    client.write(&[frame(Opcode::Text, "4ä".as_bytes()), frame(Opcode::Binary, &[1, 2])].concat()).await;
    client.expect("4ä").await;
    assert_eq!(client.recv().await, Some(Event::Binary(vec![1, 2].into())));

    let client = Polling::open(address).await;
    client.post_ok("4a\u{1e}bAQI=\u{1e}4b").await;
    assert_eq!(client.poll().await, "4a\u{1e}bAQI=\u{1e}4b");
    client.post_ok("4before").await;
    let mut websocket = client.candidate(&frames(["2probe", "5", "4after"])).await;
    websocket.expect("3probe").await;
    websocket.expect("4before").await;
    websocket.expect("4after").await;
}

#[tokio::test]
async fn messages_that_arrive_together_are_answered_together() {
    let (_server, address) = start(Server::builder(), echo).await;
    let client = Polling::open(address).await;
    let poll = client.get().await;
    client.post_ok("4a\u{1e}4b\u{1e}4c").await;
    poll.response().await.expect(200, "4a\u{1e}4b\u{1e}4c");
}

#[tokio::test]
async fn a_handler_gets_the_request_and_the_address_of_the_client() {
    let handler = async |socket: Socket, request: http::Request<()>| {
        let host = request.headers()["host"].to_str().expect("text").to_owned();
        socket.send(format!("{} {host}", request.uri())).await?;
        let client = socket.address().expect("the listener knows it");
        assert_eq!(socket.protocol(), 4);
        socket.send(format!("{client} {} {}", socket.id().len(), socket.transport().name())).await?;
        assert!(!socket.upgraded().await, "a session on WebSocket never upgrades");
        Ok::<_, SendError>(())
    };
    let (_server, address) = start(Server::builder(), handler).await;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let local = stream.local_addr().expect("connected");
    let mut client = WebSocket::open(Box::new(stream)).await;
    client.expect("4/engine.io/?EIO=4&transport=websocket h").await;
    client.expect(&format!("4{} 20 websocket", local.ip())).await;
}

#[tokio::test]
async fn the_session_closes_when_the_handler_returns_or_panics() {
    let handler = async |mut socket: Socket| {
        let message = socket.recv().await.expect("a message");
        socket.send("last").await?;
        assert_ne!(message, Message::from("panic"), "as the test asked for");
        Err::<(), SendError>(SendError)
    };
    let (server, address) = start(Server::builder(), handler).await;
    for message in ["4return", "4panic"] {
        let mut client = open_websocket(address).await;
        client.send(message).await;
        client.expect("4last").await;
        client.expect_close(None).await;
        let client = Polling::open(address).await;
        client.post_ok(message).await;
        assert_eq!(client.poll().await, "4last");
        assert_eq!(client.poll().await, "6\u{1e}1", "{message}");
    }
    until(|| server.session_count() == 0).await;
}

#[tokio::test]
async fn a_handler_that_panics_before_it_returns_its_future_only_ends_its_own_session() {
    #[allow(unreachable_code, reason = "the type of the handler needs a future")]
    let handler = |_: Socket| {
        panic!("as the test asked for");
        async {}
    };
    let (server, address) = start(Server::builder(), handler).await;
    let client = Polling::open(address).await;
    assert_eq!(client.poll().await, "6\u{1e}1");
    open_websocket(address).await.expect_close(None).await;
    until(|| server.session_count() == 0).await;
}

#[tokio::test]
async fn a_socket_works_in_another_task_and_its_senders_in_any() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let mut client = open_websocket(address).await;
    let mut socket = next(&mut sockets).await;
    let sender = socket.sender();
    client.send("4one").await;
    assert_eq!(soon(socket.recv()).await, Some("one".into()));
    tokio::spawn(async move { sender.send("two").await }).await.expect("no panic").expect("open");
    client.expect("4two").await;
    let sender = socket.sender();
    drop(socket);
    client.expect_close(None).await;
    assert_eq!(soon(sender.closed()).await.reason(), CloseReason::ForcedClose);
    assert_eq!(sender.try_send("late"), Err(TrySendError::Closed));
    assert_eq!(sender.send("late").await, Err(SendError));
}

#[tokio::test]
async fn the_upgrade_is_reported_and_so_is_an_end_before_it() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let client = Polling::open(address).await;
    let socket = next(&mut sockets).await;
    assert_eq!(socket.transport().name(), "polling");
    let waiting = tokio::spawn({
        let sender = socket.sender();
        async move { sender.upgraded().await }
    });
    let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    assert!(soon(waiting).await.expect("no panic"));
    assert!(socket.upgraded().await);
    assert_eq!(socket.transport().name(), "websocket");

    let client = Polling::open(address).await;
    let socket = next(&mut sockets).await;
    client.post_ok("1").await;
    assert!(!soon(socket.upgraded()).await);
}

#[tokio::test]
async fn while_the_program_receives_nothing_posts_wait_and_no_message_is_lost() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let client = Polling::open(address).await;
    let mut socket = next(&mut sockets).await;
    let post = client.begin_post("4first\u{1e}4second\u{1e}4third").await;
    let response = tokio::spawn(post.response());
    let other = open_websocket(address).await;
    next(&mut sockets).await.close();
    other.expect_close(None).await;
    assert!(!response.is_finished());
    for expected in ["first", "second", "third"] {
        assert_eq!(soon(socket.recv()).await, Some(expected.into()));
    }
    soon(response).await.expect("no panic").expect(200, "ok");
}

#[tokio::test]
async fn while_the_program_receives_nothing_the_engine_does_not_read_a_websocket() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let mut client = WebSocket::open(with_small_buffers(address).await).await;
    let mut socket = next(&mut sockets).await;
    let message = "x".repeat(50_000);
    let wire = frames([format!("4{message}")]);
    // 40 MB are more than the kernel takes.
    let mut sent = 0;
    while sent < 800 && tokio::time::timeout(Duration::from_millis(200), client.write(&wire)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 800, "the client could send everything");
    for _ in 0..sent {
        assert_eq!(soon(socket.recv()).await.as_ref().and_then(Message::as_text), Some(&*message));
    }
}

#[tokio::test]
async fn a_send_waits_for_a_slow_client_and_a_try_send_is_refused() {
    let (_server, address, mut sockets) = start_passing(Server::builder().max_write_buffer_size(LIMIT)).await;
    let mut client = WebSocket::open(with_small_buffers(address).await).await;
    let socket = next(&mut sockets).await;
    let text = |number: usize| format!("{number:08}{:2000}", "");
    let mut sent = 0;
    soon(async {
        while socket.try_send(text(sent)) != Err(TrySendError::Full) {
            sent += 1;
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(socket.buffered_amount() <= LIMIT);
    let waiting = tokio::spawn({
        let sender = socket.sender();
        async move { sender.send(text(sent)).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    for number in 0..=sent {
        client.expect(&format!("4{}", text(number))).await;
    }
    soon(waiting).await.expect("no panic").expect("open");
}

/// A client that posts and never polls must not keep its session, although the server does not read from it any more.
#[tokio::test]
async fn a_client_that_polls_no_more_cannot_make_a_handler_wait_for_ever() {
    let builder = Server::builder()
        .max_write_buffer_size(LIMIT)
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(300));
    let (results, mut seen) = mpsc::unbounded_channel();
    let handler = move |mut socket: Socket| {
        let results = results.clone();
        async move {
            let _ = socket.recv().await;
            let sent = loop {
                if let Err(error) = socket.send("x".repeat(10_000)).await {
                    break error;
                }
            };
            let _ = results.send((sent, socket.close_cause()));
        }
    };
    let (server, address) = start(builder, handler).await;
    let client = Polling::open(address).await;
    client.post_ok("4begin").await;
    let _unread = client.begin_post("4unread\u{1e}4unread").await;
    let (_, cause) = soon(seen.recv()).await.expect("the handler goes on");
    assert_eq!(cause.expect("it is over").reason(), CloseReason::PingTimeout);
    until(|| server.session_count() == 0).await;
}

#[tokio::test]
async fn close_delivers_what_was_sent_and_close_discarding_drops_it() {
    let (server, address, mut sockets) = start_passing(Server::builder()).await;
    let client = Polling::open(address).await;
    let mut socket = next(&mut sockets).await;
    socket.try_send("last").expect("capacity");
    socket.close();
    let cause = ended(&mut socket).await;
    assert_eq!((cause.reason(), cause.description()), (CloseReason::ForcedClose, None));
    assert_eq!(client.poll().await, "4last");
    assert_eq!(client.poll().await, "6\u{1e}1");

    let client = Polling::open(address).await;
    let mut socket = next(&mut sockets).await;
    socket.try_send("dropped").expect("capacity");
    socket.close_discarding();
    assert_eq!(ended(&mut socket).await.reason(), CloseReason::ForcedClose);
    until(|| server.session_count() == 0).await;
    client.expect_unknown().await;

    let mut client = WebSocket::open(with_small_buffers(address).await).await;
    let mut socket = next(&mut sockets).await;
    // More than the kernel takes, so a part of it is dropped.
    for _ in 0..200 {
        socket.try_send("x".repeat(50_000)).expect("capacity");
    }
    assert!(client.recv().await.is_some(), "it has begun to leave");
    socket.try_send("dropped").expect("capacity");
    socket.close_discarding();
    ended(&mut socket).await;
    // The connection ends in the middle of a message, without a close frame.
    loop {
        match client.recv().await {
            Some(Event::Text(text)) => assert_ne!(text, "4dropped"),
            other => break assert_eq!(other, None),
        }
    }
}

#[tokio::test]
async fn close_discarding_drops_what_the_handler_has_sent_just_before() {
    let (_server, address) = start(Server::builder(), async |mut socket: Socket| {
        socket.send("has left").await.expect("open");
        socket.recv().await;
        for _ in 0..3 {
            socket.send("dropped").await.expect("open");
        }
        socket.close_discarding();
    })
    .await;
    let mut client = open_websocket(address).await;
    client.expect("4has left").await;
    client.send("4go").await;
    client.expect_close(None).await;
}

#[tokio::test]
async fn messages_that_the_program_does_not_receive_count_in_the_memory_budget() {
    const LENGTH: usize = 120_000;
    let budget = MemoryBudget::new(3 * LENGTH);
    let builder = Server::builder().memory_budget(&budget);
    let (_server, address, mut sockets) = start_passing(builder).await;
    let message = "x".repeat(LENGTH);
    let mut clients = Vec::new();
    for number in 1..=2 {
        let mut client = open_websocket(address).await;
        client.send(&format!("4{message}")).await;
        clients.push((client, next(&mut sockets).await));
        until(|| budget.used() >= number * LENGTH).await;
    }
    let (_client, mut socket) = clients.remove(0);
    assert_eq!(soon(socket.recv()).await, Some((&message).into()));
    until(|| budget.used() < 2 * LENGTH).await;

    // A session that ends because it holds the most drops what it holds.
    let mut large = open_websocket(address).await;
    let mut socket = next(&mut sockets).await;
    large.send(&format!("4{message}{message}")).await;
    until(|| socket.is_closed()).await;
    until(|| budget.used() < 2 * LENGTH).await;
    assert_eq!(ended(&mut socket).await.reason(), CloseReason::TransportError);
    let Some(Event::Close(Some(frame))) = large.recv().await else { panic!("a close frame") };
    assert_eq!(&*frame.reason, "memory budget exceeded");
    let (_client, mut socket) = clients.remove(0);
    assert_eq!(soon(socket.recv()).await, Some((&message).into()));
}

#[tokio::test]
async fn a_request_counts_in_the_memory_budget_with_its_table_of_headers_if_the_handler_takes_it() {
    /// Opens a session whose request has 50 short headers, and returns the memory that counts.
    async fn counted<H: Handler<M>, M>(handler: H) -> usize {
        let budget = MemoryBudget::new(1_000_000);
        let (server, address) = start(Server::builder().memory_budget(&budget), handler).await;
        let headers: String = (0..50).map(|number| format!("x-{number}: 1\r\n")).collect();
        let head = format!("GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(head.as_bytes()).await.expect("sent");
        until(|| server.session_count() == 1).await;
        budget.used()
    }

    let with_request = async |mut socket: Socket, request: http::Request<()>| {
        assert_eq!(soon(socket.recv()).await, None);
        drop(request);
    };
    assert_eq!(counted(echo).await, 0);
    let counted = counted(with_request).await;
    assert!((50 * 104..50 * 300).contains(&counted), "{counted}");
}

#[tokio::test]
async fn sessions_are_limited_until_the_program_has_authenticated_them() {
    let limits = AddressLimits { max_unauthenticated: 1, include_private: true, ..AddressLimits::default() };
    let builder = Server::builder().address_limits(limits).authenticates(true);
    let (server, address, mut sockets) = start_passing(builder).await;
    let _first = open_websocket(address).await;
    let socket = next(&mut sockets).await;
    let handshake = websocket_request("EIO=4&transport=websocket");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(handshake.as_bytes()).await.expect("sent");
    let head = Request(Box::new(stream)).response_head().await;
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    socket.set_authenticated();
    let _second = open_websocket(address).await;
    assert_eq!(server.session_count(), 2);
}

#[tokio::test]
async fn an_unfinished_post_waits_for_the_program_after_the_upgrade_too() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let client = Polling::open(address).await;
    let mut socket = next(&mut sockets).await;
    let packets: Vec<_> = (0..1_000).map(|number| format!("4{number}")).collect();
    let post = client.begin_post(packets.join("\u{1e}")).await;
    let response = tokio::spawn(post.response());
    let mut websocket = client.candidate(&frames(["2probe", "5", "4behind"])).await;
    websocket.expect("3probe").await;
    assert!(soon(socket.upgraded()).await);
    for number in 0..1_000 {
        assert!(!response.is_finished() || number > 900, "the rest is kept: {number}");
        assert_eq!(soon(socket.recv()).await, Some(number.to_string().into()));
    }
    assert_eq!(soon(socket.recv()).await, Some("behind".into()));
    soon(response).await.expect("no panic").expect(200, "ok");
}

#[tokio::test]
async fn close_discarding_tells_a_client_whose_poll_waits() {
    let (_server, address, mut sockets) = start_passing(Server::builder()).await;
    let client = Polling::open(address).await;
    let mut socket = next(&mut sockets).await;
    let poll = client.get().await;
    // The queued message is taken by the poll, so the client has got it once the next poll waits.
    socket.try_send("noticed").expect("capacity");
    poll.response().await.expect(200, "4noticed");
    let poll = client.get().await;
    let request = client.begin_post("4polling").await;
    assert_eq!(soon(socket.recv()).await, Some("polling".into()));
    request.response().await.expect(200, "ok");
    socket.close_discarding();
    poll.response().await.expect(200, "1");
}

#[tokio::test]
async fn the_close_cause_has_the_reason_of_node_and_says_what_went_wrong() {
    let builder = Server::builder().max_http_buffer_size(1_000);
    let (_server, address, mut sockets) = start_passing(builder).await;
    let causes = async |sockets: &mut mpsc::UnboundedReceiver<Socket>| {
        let cause = ended(&mut next(sockets).await).await;
        (cause.reason().to_string(), cause.description().map(str::to_owned), cause.to_string())
    };
    let expected = |reason: &str, description: &str| {
        (reason.to_owned(), Some(description.to_owned()), format!("{reason}: {description}"))
    };

    drop(open_websocket(address).await);
    assert_eq!(causes(&mut sockets).await, ("transport close".into(), None, "transport close".into()));

    open_websocket(address).await.send("nonsense").await;
    let invalid = "the client sent an invalid packet";
    assert_eq!(causes(&mut sockets).await, expected("parse error", invalid));

    let mut client = open_websocket(address).await;
    client.send(&format!("4{:2000}", "")).await;
    let (reason, description, _) = causes(&mut sockets).await;
    assert_eq!(reason, "transport error");
    assert!(description.is_some_and(|text| text.contains("1000")), "it names the limit");

    let client = Polling::open(address).await;
    client.post_ok("1").await;
    assert_eq!(causes(&mut sockets).await, ("transport close".into(), None, "transport close".into()));

    let client = Polling::open(address).await;
    assert_eq!(client.post(format!("4{:2000}", "")).await.status, 413);
    let long = "the body of a POST is too long";
    assert_eq!(causes(&mut sockets).await, expected("transport error", long));

    let client = Polling::open(address).await;
    let first = client.get().await;
    client.get().await.response().await.expect(400, "");
    let overlap = "the client sent a poll while another one was waiting";
    assert_eq!(causes(&mut sockets).await, expected("transport error", overlap));
    drop(first);
}

#[tokio::test]
async fn the_close_cause_names_the_memory_budget() {
    let builder = Server::builder().memory_budget(&MemoryBudget::new(100_000));
    let (_server, address, mut sockets) = start_passing(builder).await;

    let mut client = open_websocket(address).await;
    let mut of_websocket = next(&mut sockets).await;
    let header = FrameHeader::unfragmented(Opcode::Text, 500_000);
    let header = FrameHeader { masking_key: Some([0; 4]), ..header };
    client.write(&[header.encode().as_ref(), &[b'4'; 200_000]].concat()).await;

    let client = Polling::open(address).await;
    let mut of_polling = next(&mut sockets).await;
    assert_eq!(client.post("4".repeat(200_000)).await.status, 503);

    for socket in [&mut of_websocket, &mut of_polling] {
        assert_eq!(ended(socket).await.to_string(), "transport error: memory budget exceeded");
    }
}

#[tokio::test]
async fn close_ends_every_session_and_waits_for_the_handlers() {
    let (reasons, mut seen) = mpsc::unbounded_channel();
    let handler = move |mut socket: Socket| {
        let reasons = reasons.clone();
        async move {
            while socket.recv().await.is_some() {}
            tokio::task::yield_now().await;
            let _ = reasons.send(socket.close_cause().expect("it is over").to_string());
        }
    };
    let (server, address) = start(Server::builder(), handler).await;
    let client = open_websocket(address).await;
    let polling = Polling::open(address).await;
    // The server waits until the client has replied to its close frame.
    let closing = tokio::spawn(async move {
        server.close().await;
        server.session_count()
    });
    client.expect_close(None).await;
    assert_eq!(soon(closing).await.expect("no panic"), 0);
    for _ in 0..2 {
        assert_eq!(seen.try_recv().as_deref(), Ok("server shutting down"));
    }
    polling.expect_unknown().await;
}

/// Futures that a program may hold across an `.await` are `Send`.
#[test]
fn what_a_program_awaits_is_send() {
    fn is_send<T: Send>(_: &T) {}
    let _ = |server: Server, mut socket: Socket| {
        is_send(&server.close());
        is_send(&server.listen("127.0.0.1:0"));
        is_send(&socket.recv());
        is_send(&socket.send("text"));
        is_send(&socket.send(vec![1]));
        is_send(&socket.closed());
        is_send(&socket.upgraded());
        is_send(&(server.clone(), socket.sender(), socket));
    };
}

#[tokio::test]
async fn many_messages_from_a_sender_while_the_handler_receives_do_not_block_each_other() {
    let handler = async |mut socket: Socket| {
        let sender: Sender = socket.sender();
        tokio::spawn(async move {
            for number in 0..1_000 {
                sender.send(format!("n{number}")).await?;
            }
            Ok::<_, SendError>(())
        });
        while let Some(message) = socket.recv().await {
            socket.send(message).await?;
        }
        Ok::<_, SendError>(())
    };
    let (_server, address) = start(Server::builder().max_write_buffer_size(2_000), handler).await;
    let mut client = open_websocket(address).await;
    client.write(&frames((0..100).map(|number| format!("4e{number}")))).await;
    let (mut numbers, mut echoes) = (0, 0);
    while numbers < 1_000 || echoes < 100 {
        let text = client.recv_text().await.expect("open");
        if text == format!("4n{numbers}") {
            numbers += 1;
        } else {
            assert_eq!(text, format!("4e{echoes}"));
            echoes += 1;
        }
    }
}
