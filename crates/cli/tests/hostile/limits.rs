//! Limits of the program's handlers, and limits of the operating system.

use std::sync::Arc;
use std::time::Duration;

use tidewire::server::{Server as Library, Socket, State};
use tokio::sync::Notify;

use crate::raw_client::{Connection, TEXT, WebSocket, frame, request};
use crate::support::{Server, serve};

/// Writes until the server stops reading. Returns the number of bytes written.
fn press(socket: &mut WebSocket, bytes: &[u8], at_most: usize) -> usize {
    socket.connection.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("an option");
    let mut written = 0;
    while written < at_most && socket.connection.try_write(bytes) {
        written += bytes.len();
    }
    written
}

#[test]
fn queued_events_count_with_their_memory() {
    let io = Library::builder().state(Notify::new()).build();
    io.on("wait", async |State(release): State<Notify>| release.notified().await);
    let address = serve(io);
    for event in [
        format!(r#"42["{}"]"#, "name".repeat(200_000)),
        format!(r#"42["x"{}]"#, " ".repeat(800_000)),
        format!(r#"42["x","{}"]"#, "argument".repeat(100_000)),
    ] {
        let mut socket = WebSocket::joined(address);
        socket.text(r#"42["wait"]"#);
        // The limit is one megabyte, and the kernel buffers some more.
        let written = press(&mut socket, &frame(TEXT, &event), 100 << 20);
        assert!(written < 40 << 20, "{written} bytes of {:?}… wait", &event[..8]);
    }
}

#[test]
fn events_that_wait_are_handled_in_order_once_the_handler_is_done() {
    let release = Arc::new(Notify::new());
    let io = Library::new();
    let waits = Arc::clone(&release);
    io.on("wait", move || {
        let waits = Arc::clone(&waits);
        async move { waits.notified().await }
    });
    io.on("count", async |socket: Socket, tidewire::server::Data(number): tidewire::server::Data<u32>| {
        socket.emit("counted", number);
    });
    let address = serve(io);
    let mut socket = WebSocket::joined(address);
    socket.text(r#"42["wait"]"#);
    let events: Vec<_> = (0..5_000).map(|number| frame(TEXT, format!(r#"42["count",{number}]"#))).collect();
    socket.write(events.concat());
    release.notify_one();
    for number in 0..5_000 {
        socket.expect(&format!(r#"42["counted",{number}]"#));
    }
}

#[test]
fn without_descriptors_existing_clients_continue_and_new_ones_wait() {
    let server = Server::with_descriptors(40);
    let canary = server.canary();
    let crowd: Vec<_> = (0..60).map(|_| Connection::open(server.address)).collect();
    // The last connection is in the kernel's accept queue, not in the server.
    let mut late = request(server.address, "GET", "/", "\r\n");
    late.stream.set_read_timeout(Some(Duration::from_millis(500))).expect("an option");
    let mut byte = [0];
    assert!(std::io::Read::read(&mut late.stream, &mut byte).is_err(), "there was a descriptor left");
    drop(crowd);
    late.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    assert_eq!(late.response().expect("a response").status, 200);
    canary.noticed_nothing();
}
