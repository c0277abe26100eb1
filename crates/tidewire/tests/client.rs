//! Our client and our server, over TCP.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidewire::client::{AckError, Client, ConnectError, DisconnectReason, Transport};
use tidewire::server::{self, Auth, Server};
use tidewire::{Ack, Data, Reply};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::chat;
use crate::relay::Relay;

#[path = "../../../examples/guide_client.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod guide_client;

#[path = "../../../examples/device.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod device;

#[path = "../../../examples/terminal_chat.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod terminal_chat;

const TRANSPORTS: [&[Transport]; 3] =
    [&[Transport::Polling], &[Transport::WebSocket], &[Transport::Polling, Transport::WebSocket]];

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Serves on a free port, or on this one.
async fn listen(io: &Server, address: Option<SocketAddr>) -> (SocketAddr, JoinHandle<()>) {
    let listener = io.bind(address.unwrap_or(([127, 0, 0, 1], 0).into())).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = io.clone();
    let serving = tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    (address, serving)
}

fn application() -> Server {
    let io = Server::new();
    io.on("add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    io.on("bytes", async |socket: server::Socket, Data(bytes): Data<Bytes>| socket.emit("bytes-back", bytes));
    io.on("ask me", async |socket: server::Socket| {
        let answer = socket.emit_with_ack::<String>("question", "how?").await;
        socket.emit("answered", answer.unwrap_or_else(|error| error.to_string()));
    });
    io.on("close", async |socket: server::Socket| socket.close_connection());
    let admin = io.of("/admin");
    admin.middleware(async |Auth(token): Auth<serde_json::Value>| {
        if token["token"] == "secret" { Ok(()) } else { Err(server::ConnectError::new("not authorized")) }
    });
    io
}

#[tokio::test]
async fn events_and_acknowledgements_pass_in_both_directions() {
    let (address, _) = listen(&application(), None).await;
    for transports in TRANSPORTS {
        let (sender, mut received) = mpsc::unbounded_channel();
        let socket = Client::builder(format!("http://{address}"))
            .transports(transports)
            .on("question", async |Data(text): Data<String>| Reply(format!("{text} so!")))
            .on_fallback({
                let sender = sender.clone();
                move |event: tidewire::EventName, arguments: tidewire::RawArguments| {
                    let _ = sender.send((event.0, arguments.0));
                    std::future::ready(())
                }
            })
            .connect();
        assert_eq!(soon(socket.emit_with_ack::<i32>("add", (1, 2))).await, Ok(3));
        socket.emit("bytes", Bytes::from_static(&[0, 255]));
        let (name, arguments) = soon(received.recv()).await.unwrap();
        assert_eq!(
            (&*name, arguments.deserialize::<Bytes>()),
            ("bytes-back", Ok(Bytes::from_static(&[0, 255])))
        );
        socket.emit("ask me", ());
        let (_, answer) = soon(received.recv()).await.unwrap();
        assert_eq!(answer.deserialize::<String>().as_deref(), Ok("how? so!"));
        soon(socket.client().close()).await;
    }
}

#[tokio::test]
async fn the_program_is_told_of_pings_and_of_the_upgrade() {
    let io = Server::builder().ping_interval(Duration::from_millis(20)).build();
    let (address, _) = listen(&io, None).await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let upgrades = sender.clone();
    let socket = Client::builder(format!("http://{address}"))
        .on_ping(move || drop(sender.send("ping".to_owned())))
        .on_upgrade(move |transport| drop(upgrades.send(transport.name().to_owned())))
        .connect();
    let mut missing = vec!["ping".to_owned(), "websocket".to_owned()];
    while !missing.is_empty() {
        let line = soon(told.recv()).await.unwrap();
        missing.retain(|other| *other != line);
    }
    assert_eq!(socket.client().transport(), Some(Transport::WebSocket));
}

#[tokio::test]
async fn a_namespace_needs_its_credentials() {
    let (address, _) = listen(&application(), None).await;
    let socket = Client::builder(format!("http://{address}/admin")).connect();
    let rejected = soon(socket.connected()).await;
    assert!(matches!(rejected, Err(ConnectError::Rejected { message, .. }) if message == "not authorized"));
    let socket = Client::builder(format!("http://{address}/admin"))
        .auth(serde_json::json!({"token": "secret"}))
        .connect();
    soon(socket.connected()).await.unwrap();
}

#[tokio::test]
async fn it_reconnects_when_the_server_comes_back() {
    let io = application();
    let (address, serving) = listen(&io, None).await;
    let (sender, mut disconnects) = mpsc::unbounded_channel();
    let socket = Client::builder(format!("http://{address}"))
        .reconnection_delay(Duration::from_millis(20))
        .on_disconnect(move |reason: DisconnectReason| {
            let _ = sender.send(reason);
            std::future::ready(())
        })
        .connect();
    soon(socket.connected()).await.unwrap();
    serving.abort();
    io.close().await;
    soon(disconnects.recv()).await.unwrap();
    let asked = socket.emit_with_ack::<i32>("add", (2, 3));
    let _serving = listen(&application(), Some(address)).await;
    // Either it was buffered and is answered now, or the connection was not known to be lost yet.
    assert!(matches!(soon(asked).await, Ok(5) | Err(AckError::Disconnected)));
    assert_eq!(soon(socket.emit_with_ack::<i32>("add", (3, 4))).await, Ok(7));
}

#[tokio::test]
async fn the_client_of_the_guides_works() {
    let (address, _) = listen(&chat::chat(), None).await;
    let socket = guide_client::connect(&format!("http://{address}"));
    soon(socket.connected()).await.unwrap();
    soon(socket.client().close()).await;
}

#[tokio::test]
async fn the_device_example_reports_each_reading_until_it_is_acknowledged_and_obeys_commands() {
    let io = Server::new();
    let (sender, mut readings) = mpsc::unbounded_channel();
    let is_first = AtomicBool::new(true);
    let on_reading = move |socket: server::Socket, Data(reading): Data<serde_json::Value>, ack: Ack<()>| {
        if is_first.swap(false, Ordering::Relaxed) {
            // The acknowledgement is lost with the connection.
            drop(ack);
        } else {
            ack.send(());
        }
        let _ = sender.send((socket, reading));
        std::future::ready(())
    };
    io.on("reading", on_reading);
    let (address, _) = listen(&io, None).await;
    let relay = Relay::new(address).await;
    let socket = device::connect(&format!("http://{}", relay.address));
    for number in 0..3 {
        device::report(&socket, number).await;
    }
    for (index, number) in [0, 0, 1, 2].into_iter().enumerate() {
        let (device, reading) = soon(readings.recv()).await.unwrap();
        assert!(reading["number"] == number && reading["celsius"].is_number(), "{reading}");
        if index == 0 {
            relay.cut(true);
        }
        if number == 2 {
            assert_eq!(soon(device.emit_with_ack::<String>("heat", true)).await.unwrap(), "done");
        }
    }
    soon(socket.client().close()).await;
}

#[tokio::test]
async fn the_terminal_chat_example_passes_lines_between_two_people_also_after_a_reconnection() {
    // What the binary does with rooms.
    let io = Server::new();
    io.on("join-room", async |socket: server::Socket, Data(room): Data<String>| {
        socket.join(&room);
        socket.emit("notification", format!("welcome to {room}"));
    });
    io.on("message", async |socket: server::Socket, Data(message): Data<serde_json::Value>| {
        let room = message["room"].as_str().expect("a room").to_owned();
        socket.to(&room).emit("receive-message", &message["message"]);
    });
    let (address, _) = listen(&io, None).await;
    let relay = Relay::new(address).await;
    let url = format!("http://{}", relay.address);
    let person = || {
        let (sender, lines) = mpsc::unbounded_channel();
        (terminal_chat::join(&url, "lobby", move |line| drop(sender.send(line))), lines)
    };
    let ((ann, mut seen_by_ann), (bob, mut seen_by_bob)) = (person(), person());
    for lines in [&mut seen_by_ann, &mut seen_by_bob] {
        assert_eq!(soon(lines.recv()).await.unwrap(), "* welcome to lobby");
    }
    terminal_chat::say(&ann, "lobby", "Ann", "hello".to_owned());
    assert_eq!(soon(seen_by_bob.recv()).await.unwrap(), "Ann: hello");
    relay.cut(true);
    for lines in [&mut seen_by_ann, &mut seen_by_bob] {
        assert!(soon(lines.recv()).await.unwrap().starts_with("* disconnected: transport"));
        assert_eq!(soon(lines.recv()).await.unwrap(), "* welcome to lobby");
    }
    terminal_chat::say(&bob, "lobby", "Bob", "back again".to_owned());
    assert_eq!(soon(seen_by_ann.recv()).await.unwrap(), "Bob: back again");
    assert!(seen_by_bob.try_recv().is_err(), "a line does not return to the person who wrote it");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn over_tls_it_connects_only_to_a_server_whose_certificate_it_trusts_and_names_the_cause() {
    use tidewire::client::{ClientTls, ClientTlsBuilder};
    use tidewire::server::ServerTls;

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).expect("they belong together");
    let io = Server::builder().tls(tls).build();
    io.on("add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    let (address, _) = listen(&io, None).await;
    let url = format!("https://localhost:{}", address.port());
    for transports in TRANSPORTS {
        let trusting = ClientTls::builder().without_system_roots().root_certificates(certificate.as_bytes());
        let trusting = trusting.and_then(ClientTlsBuilder::build).expect("a configuration");
        let socket = Client::builder(&url).transports(transports).tls(trusting).connect();
        assert_eq!(soon(socket.emit_with_ack::<i32>("add", (1, 2))).await, Ok(3));

        let (sender, mut errors) = mpsc::unbounded_channel();
        let _refusing = Client::builder(&url)
            .transports(transports)
            .on_connect_error(move |error: ConnectError| {
                let _ = sender.send(error.to_string());
                std::future::ready(())
            })
            .connect();
        let error = soon(errors.recv()).await.expect("an error");
        assert!(error.contains("certificate"), "{error}");
    }
}
