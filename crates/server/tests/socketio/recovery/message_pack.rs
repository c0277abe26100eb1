//! The private id and the offset in the form of MessagePack.

use tidewire_server::{ConnectionStateRecovery, MessagePackParser};

use crate::support::{Client, program, serve, soon, until};

/// Packets are maps of binary messages, which the client shows as Rust shows bytes. Returns the text of `len` characters
/// behind `prefix`.
fn text_after<'p>(packet: &'p str, prefix: &str, len: usize) -> &'p str {
    let start = packet.find(prefix).unwrap_or_else(|| panic!("{packet} has no {prefix}")) + prefix.len();
    &packet[start..start + len]
}

#[tokio::test]
async fn with_message_pack_a_client_recovers_what_it_has_missed() {
    let (builder, _program) = program();
    let io = builder
        .parser(MessagePackParser)
        .connection_state_recovery(ConnectionStateRecovery::default())
        .build();
    let address = serve(&io).await;
    let connect = async |data: Option<(&str, &str)>| {
        let mut client = Client::open(address).await;
        let mut packet = b"\x82\xa4type\x00\xa3nsp\xa1/".to_vec();
        if let Some((pid, offset)) = data {
            packet[0] = 0x83;
            packet.extend_from_slice(b"\xa4data\x82\xa3pid\xb4");
            packet.extend_from_slice(pid.as_bytes());
            packet.extend_from_slice(b"\xa6offset\xae");
            packet.extend_from_slice(offset.as_bytes());
        }
        client.send_binary(&packet).await;
        client
    };
    let mut client = connect(None).await;
    let response = client.recv().await.expect("a response");
    let pid = text_after(&response, r"pid\xb4", 20).to_owned();
    io.emit("first", (1, "text"));
    let event = client.recv().await.expect("an event");
    // A list of four elements; the last one is a text of 14 bytes.
    let offset = text_after(&event, r"\x94\xa5first\x01\xa4text\xae", 14).to_owned();
    drop(client);
    until(|| io.sockets().is_empty()).await;
    io.emit("missed", bytes::Bytes::from_static(&[7]));
    let mut client = connect(Some((&pid, &offset))).await;
    let response = client.recv().await.expect("a response");
    assert_eq!(text_after(&response, r"pid\xb4", 20), pid);
    let missed = soon(client.recv()).await.expect("an event");
    assert_ne!(text_after(&missed, r"\x93\xa6missed\xc4\x01\x07\xae", 14), offset);
    io.emit("live", ());
    text_after(&client.recv().await.expect("an event"), r"\x92\xa4live\xae", 14);
}
