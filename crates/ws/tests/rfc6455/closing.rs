//! Sections 5.5.1 and 7: the end of the WebSocket, and of its TCP connection.

use tidewire_ws::{CloseCode, CloseFrame, WebSocket};
use ws_proto::Opcode;

use super::{Client, closed, serve};
use crate::support::{echo, frame, text};

#[tokio::test]
async fn section_5_5_1_must_4_5_6_a_close_is_answered_and_the_server_closes_the_tcp_connection() {
    let server = serve(echo).await;
    for (payload, response) in [
        (&b""[..], b"\x88\x00".to_vec()),
        (b"\x03\xe8", closed(1000)),
        (b"\x03\xe9going away", closed(1001)),
        (b"\x13\x87", closed(4999)),
    ] {
        let mut client = Client::open(server).await;
        client.write(&frame(Opcode::Close, payload)).await;
        assert_eq!(client.rest().await, response, "{payload:02x?}");
    }
}

#[tokio::test]
async fn section_5_5_1_must_3_answers_leave_before_the_close_and_nothing_behind_it() {
    let server = serve(echo).await;
    let mut client = Client::open(server).await;
    let ping = frame(Opcode::Ping, b"?");
    let close = frame(Opcode::Close, &1000_u16.to_be_bytes());
    client.write(&[text("before"), ping.clone(), close.clone(), text("after"), ping, close].concat()).await;
    assert_eq!(client.rest().await, [&b"\x81\x06before\x8a\x01?"[..], &closed(1000)].concat());
}

#[tokio::test]
async fn section_7_1_2_must_1_a_program_closes_with_code_and_reason_and_what_it_says_after_that_is_not_sent()
{
    let server = serve(async |mut socket: WebSocket| {
        socket.send("last words").await.expect("an open connection");
        socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "restart")).await;
        assert!(socket.send("too late").await.is_err());
    })
    .await;
    let mut client = Client::open(server).await;
    client.expect(b"\x81\x0alast words\x88\x09\x03\xe9restart").await;
    // Until it has sent its Close, the peer may finish its messages.
    client.write(&[text("a long"), text(" goodbye"), frame(Opcode::Close, b"\x03\xe9")].concat()).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn section_5_5_1_must_5_when_both_close_at_the_same_time_that_is_all() {
    let server = serve(async |_: WebSocket| {}).await;
    let mut client = Client::connect(server).await;
    let close = frame(Opcode::Close, &1001_u16.to_be_bytes());
    client.write(&[crate::support::REQUEST, &close].concat()).await;
    client.head().await;
    assert_eq!(client.rest().await, closed(1000));
}
