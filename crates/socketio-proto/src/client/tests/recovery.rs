//! The private id, the offset of the last event, and the events that the server sends again.

use super::*;

#[test]
fn a_client_reconnects_with_its_private_id_and_offset() {
    let (mut client, key) = client();
    client.handle_open();
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["connected"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), [r#"0{"pid":"p"}"#]);
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["transport close", "recovered"]);
    assert!(client[key].is_recovered());
    receive(&mut client, r#"2["x",1,"o1"]"#, &["event x, with offset"]);
    for no_offset in [
        r#"2["x",1]"#.to_owned(),
        r#"27["x","wants an acknowledgement"]"#.to_owned(),
        r#"2["x"]"#.to_owned(),
        r#"2["x",""]"#.to_owned(),
        format!(r#"2["x","{}"]"#, "long".repeat(33)),
    ] {
        client.handle_text(&no_offset).unwrap();
        assert_eq!(client[key].offset(), Some("o1"), "{no_offset}");
    }
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), [r#"0{"pid":"p","offset":"o1"}"#]);
    // The server replays missed events before its response to CONNECT.
    let replayed = ["transport close"];
    receive(&mut client, r#"2["y","o2"]"#, &replayed);
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["event y, with offset", "recovered"]);
    assert_eq!(client[key].offset(), Some("o2"));
    // A server that no longer has the session.
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), [r#"0{"pid":"p","offset":"o2"}"#]);
    receive(&mut client, r#"0{"sid":"t","pid":"q"}"#, &["transport close", "connected"]);
    assert!(!client[key].is_recovered());
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), [r#"0{"pid":"q"}"#], "the offset of another session is not sent");
    // A server without connection state recovery.
    receive(&mut client, r#"0{"sid":"t"}"#, &["transport close", "connected"]);
    receive(&mut client, r#"2["x","o3"]"#, &["event x"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), ["0"]);
}

#[test]
fn a_text_that_has_not_the_form_of_an_offset_does_not_replace_the_offset() {
    let (mut client, key) = client();
    client.handle_open();
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["connected"]);
    // Node in memory, Redis streams, MongoDB, our server.
    for offset in ["PgT0xY-_", "1692000000000-0", "64f0c2a5e13e8a0012345678", "AAAAAABBBBBB-_", "1.5"] {
        receive(&mut client, &format!(r#"2["x",{{}},"{offset}"]"#), &["event x, with offset"]);
        assert_eq!(client[key].offset(), Some(offset));
    }
    // What Node sends for `socket.volatile.emit("x", text)`.
    for text in
        ["two words", "Yes!", "größe", "a/b", "https://example.com", "a@b", "12:30", "50%", "a,b", " "]
    {
        receive(&mut client, &format!(r#"2["x",{{}},"{text}"]"#), &["event x"]);
        assert_eq!(client[key].offset(), Some("1.5"), "{text}");
    }
}

#[test]
fn missed_events_whose_connection_breaks_before_the_response_are_requested_again() {
    let (mut client, _) = client();
    client.handle_open();
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["connected"]);
    receive(&mut client, r#"2["x","o1"]"#, &["event x, with offset"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    receive(&mut client, r#"2["y","o2"]"#, &["transport close"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client).last().unwrap(), r#"0{"pid":"p","offset":"o1"}"#, "y was not delivered");
    receive(&mut client, r#"2["y","o2"]"#, &[]);
    receive(&mut client, r#"0{"sid":"s","pid":"p"}"#, &["event y, with offset", "recovered"]);
}

#[test]
fn an_optional_argument_does_not_get_the_offset_and_a_required_one_is_not_lost() {
    type Optional = (u32, Option<String>);
    for (text, optional, required) in [
        // Node sends the second form for a volatile event.
        (r#"2["x",1,"text","o1"]"#, (1, Some("text")), Some("text")),
        (r#"2["x",1,"text"]"#, (1, None), Some("text")),
        (r#"2["x",1]"#, (1, None), None),
    ] {
        let Ok(Some(Packet::Event { event, .. })) = Decoder::new(&Default::default()).decode_text(text)
        else {
            panic!("{text} is an event");
        };
        let event = event.with_offset().into_owned();
        let (number, string): Optional = event.arguments().deserialize().unwrap();
        assert_eq!((number, string.as_deref()), optional, "{text}");
        let required_found = event.arguments().deserialize::<(u32, String)>().map(|(_, text)| text);
        assert_eq!(required_found.ok().as_deref(), required, "{text}");
        let all: Vec<Value> = event.arguments().deserialize_all().unwrap();
        assert_eq!(all.len(), event.arguments().len(), "{text}");
    }
    let Ok(Some(Packet::Event { event, .. })) =
        Decoder::new(&Default::default()).decode_text(r#"2["x","o"]"#)
    else {
        panic!("an event");
    };
    assert_eq!(event.with_offset().arguments().deserialize::<Option<String>>(), Ok(None));
}
