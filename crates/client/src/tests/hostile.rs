//! Servers that break the rules, or send more than the client can take. Each limit is named, and the client connects
//! again. `engineio-client/tests/sessions/limits.rs` has the limits of the transports, and the fuzz target `client`
//! sends everything else.

use super::*;
use crate::{DisconnectReason, Limits};

enum Send {
    Text(String),
    Binary(usize),
}

fn text(text: &str) -> Send {
    Send::Text(text.to_owned())
}

/// Connects a client, lets the server send this, and returns what the client reports and why it has disconnected. It must
/// be connected again afterwards.
async fn reported(
    sends: impl IntoIterator<Item = Send>,
    before_connect: bool,
    limits: Limits,
) -> [String; 2] {
    let (network, builder) = client();
    let (errors, reasons) = (Log::default(), Log::default());
    let socket = builder
        .limits(limits)
        .on_error({
            let errors = errors.clone();
            move |error, _, _| errors.say(error)
        })
        .on_disconnect({
            let reasons = reasons.clone();
            move |reason: DisconnectReason| {
                reasons.say(reason);
                std::future::ready(())
            }
        })
        .connect();
    network.state().accepts = !before_connect;
    if before_connect {
        settle().await;
    } else {
        within(socket.connected()).await.unwrap();
    }
    for send in sends {
        match send {
            Send::Text(text) => network.send(&text),
            Send::Binary(len) => network.send_binary(&vec![0; len]),
        }
    }
    let [error] = <[String; 1]>::try_from(errors.wait(1).await).unwrap();
    network.state().accepts = true;
    within(socket.connected()).await.unwrap();
    network.send(r#"2["x"]"#);
    settle().await;
    assert!(socket.is_connected() && errors.lines().is_empty());
    assert_eq!(network.state().attempt_times.len(), 2, "the client has connected again, once");
    [error, reasons.lines().join(", ")]
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_is_not_valid_is_described_and_the_client_connects_again() {
    for (sends, error) in [
        (vec![text("9")], "'9' is not a packet type"),
        (vec![text(r#"2["a""#)], "the payload is not valid JSON at byte 4"),
        (vec![text(r#"2["disconnect"]"#)], "the event name \"disconnect\" is reserved"),
        (vec![text("511-[\"a\"]")], "the packet announces more than 10 attachments"),
        (vec![text("599999999999999999999-[\"a\"]")], "the packet announces more than 10 attachments"),
        (vec![Send::Binary(1)], "a binary message arrived, but no packet has announced an attachment"),
        (
            vec![text("52-[\"a\"]"), Send::Binary(1), text("2[\"b\"]")],
            "a text message arrived, but 1 attachments must come first",
        ),
        (
            vec![text("52-[\"a\"]"), Send::Binary(5_000_001), Send::Binary(5_000_000)],
            "the attachments of one packet exceed 10000000 bytes",
        ),
    ] {
        let expected = [format!("the server violated the protocol: {error}"), "parse error".to_owned()];
        assert_eq!(reported(sends, false, Limits::default()).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn events_before_the_socket_is_connected_are_limited_in_number_and_in_bytes() {
    let limits = Limits { max_receive_buffer_events: 5, ..Limits::default() };
    let many = (0..6).map(|_| text(r#"2["x"]"#));
    let [error, reasons] = reported(many, true, limits).await;
    assert!(error.contains("`max_receive_buffer_events`"), "{error}");
    assert_eq!(reasons, "", "it was not connected");

    let limits = Limits { max_receive_buffer_bytes: 10_000, ..Limits::default() };
    let long = Send::Text(format!(r#"2["x","{}"]"#, "y".repeat(10_000)));
    let [error, _] = reported([long], true, limits).await;
    assert!(error.contains("`max_receive_buffer_bytes`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn events_that_no_handler_takes_are_limited_even_while_the_program_awaits_an_acknowledgement() {
    for (limits, limit, event) in [
        (
            Limits { max_queued_events: 5, max_queued_events_hard: 20, ..Limits::default() },
            "`max_queued_events_hard`",
            r#"2["wait"]"#.to_owned(),
        ),
        (
            Limits { max_queued_bytes: 1_000, max_queued_bytes_hard: 10_000, ..Limits::default() },
            "`max_queued_bytes_hard`",
            format!(r#"2["wait","{}"]"#, "y".repeat(1_000)),
        ),
    ] {
        let (network, builder) = client();
        let errors = Log::default();
        let may_go_on = Arc::new(tokio::sync::Semaphore::new(0));
        let socket = builder
            .limits(limits)
            .on_error({
                let errors = errors.clone();
                move |error, _, _| errors.say(error)
            })
            .on("wait", {
                let may_go_on = Arc::clone(&may_go_on);
                move || {
                    let may_go_on = Arc::clone(&may_go_on);
                    async move { drop(may_go_on.acquire().await) }
                }
            })
            .connect();
        within(socket.connected()).await.unwrap();
        network.state().acknowledges = false;
        let asked = socket.emit_with_ack::<()>("ask", ());
        for _ in 0..100 {
            network.send(&event);
        }
        let error = errors.wait(1).await.join(", ");
        assert!(error.contains(limit), "{error}");
        assert_eq!(within(asked).await, Err(crate::AckError::Disconnected));
        may_go_on.close();
        within(socket.connected()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_too_long_is_refused() {
    let (network, builder) = client();
    network.state().accepts = false;
    let limits = Limits { max_id_len: 4, ..Limits::default() };
    let socket = builder.limits(limits).connect();
    settle().await;
    network.send(r#"0{"sid":"12345"}"#);
    let error = within(socket.connected()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server sent a socket id of more than 4 bytes");
    socket.connect();
    settle().await;
    network.send(r#"0{"sid":"1234"}"#);
    within(socket.connected()).await.unwrap();
}
