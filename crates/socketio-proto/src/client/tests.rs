mod recovery;

use std::time::Duration;

use bytes::Bytes;
use engineio_proto::MessageEncoder;
use serde_json::{Value, json};

use super::message_parts::parts;
use super::*;
use crate::arguments::RawJson;
use crate::encode;

/// In these tests, waiters are numbers.
type Client = super::Client<u32>;

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn client_with(limits: Limits) -> (Client, SocketKey) {
    let mut client = Client::new(&limits, &crate::DecoderLimits::default());
    let key = client.socket("/", Auth::Static(None));
    client[key].connect();
    (client, key)
}

fn client() -> (Client, SocketKey) {
    client_with(Limits::default())
}

/// Creates a client whose socket is connected.
fn connected() -> (Client, SocketKey) {
    let (mut client, key) = client();
    client.handle_open();
    assert_eq!(sent(&mut client), ["0"]);
    receive(&mut client, r#"0{"sid":"x"}"#, &["connected"]);
    (client, key)
}

fn emit(client: &mut Client, key: SocketKey, name: &str) -> Result<EmitAction, EmitError> {
    let mut encoder = MessageEncoder::new();
    let message = encode::event(&mut encoder, client[key].namespace(), None, name, &()).unwrap();
    client[key].emit(&message)
}

/// Emits an event that requests an acknowledgement. Its name and its waiter are the id of the acknowledgement.
fn ask(client: &mut Client, key: SocketKey, deadline: Option<Time>) -> Result<EmitAction, (EmitError, u32)> {
    let id = client[key].next_ack_id();
    let mut encoder = MessageEncoder::new();
    let message =
        encode::event(&mut encoder, client[key].namespace(), Some(id), &id.to_string(), &()).unwrap();
    let timeout = deadline.map(|deadline| deadline.saturating_since(Time::ZERO));
    client[key].emit_with_ack(id, &message, timeout, id as u32, Time::ZERO)
}

fn sent(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.poll_transmit()).map(|message| parts(&message).0).collect()
}

/// Describes an output in words.
fn word(output: &Output<'_, u32>) -> String {
    match output {
        Output::AuthNeeded => "auth needed".to_owned(),
        Output::Connected { recovered } => {
            if *recovered {
                "recovered".to_owned()
            } else {
                "connected".to_owned()
            }
        }
        Output::ConnectError(error) => format!("connect error: {error}"),
        Output::Event { event, ack, has_offset } => {
            let mut word = format!("event {}", event.name());
            if ack.is_some() {
                word.push_str(", ack wanted");
            }
            if *has_offset {
                word.push_str(", with offset");
            }
            word
        }
        Output::Ack { waiter, arguments } => format!("ack {waiter}: {}", arguments.json_elements()),
        Output::AckFailed { waiter, error } => format!("ack {waiter} failed: {error}"),
        Output::Disconnected { reason } => reason.to_string(),
    }
}

fn outputs(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.poll_output()).map(|(_, output)| word(&output)).collect()
}

fn receive(client: &mut Client, text: &str, expected: &[&str]) {
    let direct = client.handle_text(text).expect("the server is correct").map(|(_, output)| word(&output));
    let outputs: Vec<String> = direct.into_iter().chain(outputs(client)).collect();
    assert_eq!(outputs, expected, "{text}");
}

#[test]
fn every_active_socket_requests_its_namespace_when_the_engine_opens() {
    let (mut client, _) = client();
    let auth = RawJson::object(&json!({"token": "1"})).unwrap();
    let admin = client.socket("/admin", Auth::Static(Some(auth)));
    client.socket("/idle", Auth::Static(None));
    client[admin].connect();
    client.handle_open();
    assert_eq!(sent(&mut client), ["0", r#"0/admin,{"token":"1"}"#]);
    receive(&mut client, r#"0/admin,{"sid":"any text, however long"}"#, &["connected"]);
    assert_eq!(client[admin].id(), Some("any text, however long"));
    assert_eq!(client.socket("/admin", Auth::Static(None)), admin, "a namespace has only one socket");
    let late = client.socket("/late", Auth::Static(None));
    client[late].connect();
    assert_eq!(sent(&mut client), ["0/late,"]);
}

#[test]
fn the_driver_can_supply_credentials_for_each_connection() {
    let (mut client, key) = client();
    client[key].set_auth(Auth::PerConnect);
    for round in 0..2 {
        client.handle_open();
        assert_eq!(outputs(&mut client), ["auth needed"]);
        assert_eq!(sent(&mut client), [""; 0]);
        client[key].authenticate(Some(&RawJson::object(&json!({"round": round})).unwrap()));
        client[key].authenticate(None);
        assert_eq!(sent(&mut client), [format!(r#"0{{"round":{round}}}"#)]);
        client.handle_close(CloseReason::TransportClose);
    }
    client[key].authenticate(None);
    assert_eq!(sent(&mut client), [""; 0], "the connection has ended, so the credentials are ignored");
}

#[test]
fn events_emitted_before_the_response_are_sent_in_order_after_it() {
    let (mut client, key) = client();
    assert_eq!(emit(&mut client, key, "a"), Ok(EmitAction::Buffered { dropped: 0 }));
    assert_eq!(client[key].emit_volatile(true), EmitAction::Dropped);
    client.handle_open();
    assert_eq!(ask(&mut client, key, None), Ok(EmitAction::Buffered { dropped: 0 }));
    assert_eq!(sent(&mut client), ["0"]);
    client.handle_text(r#"0{"sid":"x"}"#).unwrap();
    assert_eq!(
        emit(&mut client, key, "b"),
        Ok(EmitAction::Buffered { dropped: 0 }),
        "the event is queued after the buffered ones"
    );
    assert_eq!(client[key].emit_volatile(true), EmitAction::Dropped);
    assert_eq!(sent(&mut client), [r#"2["a"]"#, r#"20["0"]"#, r#"2["b"]"#]);
    assert_eq!(emit(&mut client, key, "c"), Ok(EmitAction::Transmit));
    assert_eq!(client[key].emit_volatile(true), EmitAction::Transmit);
    assert_eq!(client[key].emit_volatile(false), EmitAction::Dropped);
}

#[test]
fn attachments_wait_with_their_event() {
    let (mut client, key) = client();
    let mut encoder = MessageEncoder::new();
    let message = encode::event(&mut encoder, "/", None, "x", &Bytes::from("data")).unwrap();
    assert_eq!(client[key].emit(&message), Ok(EmitAction::Buffered { dropped: 0 }));
    client.handle_open();
    client.handle_text(r#"0{"sid":"x"}"#).unwrap();
    let _connect = client.poll_transmit();
    let message = client.poll_transmit().unwrap();
    let text = r#"51-["x",{"_placeholder":true,"num":0}]"#.to_owned();
    assert_eq!(parts(&message), (text, vec![b"data".to_vec()]));
}

#[test]
fn a_send_buffer_has_a_limit_in_messages_and_in_bytes() {
    let one = {
        let (mut client, key) = client();
        let _ = emit(&mut client, key, "a").unwrap();
        client[key].buffered().1
    };
    for limits in [
        Limits { max_send_buffer_messages: 2, ..Limits::default() },
        Limits { max_send_buffer_bytes: 2 * one, ..Limits::default() },
    ] {
        let (mut client, key) = client_with(limits);
        let _ = emit(&mut client, key, "a").unwrap();
        let _ = emit(&mut client, key, "b").unwrap();
        assert_eq!(emit(&mut client, key, "c"), Err(EmitError::BufferFull));
        assert_eq!(ask(&mut client, key, None), Err((EmitError::BufferFull, 0)));
        assert_eq!((client[key].buffered(), client[key].pending_acks()), ((2, 2 * one), 0));

        let (mut client, key) = client_with(Limits { overflow: Overflow::DropOldest, ..limits });
        let too_long = emit(&mut client, key, &"x".repeat(limits.max_send_buffer_bytes));
        assert_eq!(too_long, Err(EmitError::BufferFull), "the message would not fit into an empty buffer");
        let _ = ask(&mut client, key, None).unwrap();
        let dropped = ["b", "c"].map(|name| match emit(&mut client, key, name) {
            Ok(EmitAction::Buffered { dropped }) => dropped,
            other => panic!("{other:?}"),
        });
        assert_eq!(dropped.iter().sum::<usize>(), 1);
        assert_eq!(outputs(&mut client), ["ack 0 failed: the event was dropped from the full send buffer"]);
        assert_eq!(client[key].buffered(), (2, 2 * one));
        client.handle_open();
        client.handle_text(r#"0{"sid":"x"}"#).unwrap();
        assert_eq!(sent(&mut client).len(), 3, "CONNECT and what was buffered");
        assert_eq!(client[key].buffered(), (0, 0));
    }
}

#[test]
fn an_ack_returns_its_waiter_once() {
    let (mut client, key) = connected();
    assert_eq!(ask(&mut client, key, Some(at(10))), Ok(EmitAction::Transmit));
    assert_eq!(ask(&mut client, key, Some(at(5))), Ok(EmitAction::Transmit));
    assert_eq!(client.poll_timeout(), Some(at(5)));
    receive(&mut client, "31[1,2]", &["ack 1: 1,2"]);
    receive(&mut client, "31[1,2]", &[]);
    receive(&mut client, "37[]", &[]);
    assert_eq!(client.handle_timeout(at(9)), None);
    let failed = client.handle_timeout(at(10)).map(|(_, output)| word(&output));
    assert_eq!(failed.as_deref(), Some("ack 0 failed: operation has timed out"));
    receive(&mut client, "30[]", &[]);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn an_ack_that_is_not_read_yet_because_the_process_was_stopped_is_awaited_again() {
    let (mut client, key) = connected();
    assert_eq!(ask(&mut client, key, Some(at(10))), Ok(EmitAction::Transmit));
    assert_eq!(client.handle_timeout(at(70)), None);
    assert_eq!(client.poll_timeout(), Some(at(80)));
    receive(&mut client, "30[1]", &["ack 0: 1"]);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn an_ack_id_that_is_in_use_is_rejected() {
    let (mut client, key) = connected();
    let _ = ask(&mut client, key, None).unwrap();
    let mut encoder = MessageEncoder::new();
    let message = encode::event(&mut encoder, "/", Some(0), "x", &()).unwrap();
    assert_eq!(client[key].emit_with_ack(0, &message, None, 7, Time::ZERO), Err((EmitError::AckIdInUse, 7)));
}

#[test]
fn a_buffered_event_whose_ack_timed_out_is_not_sent() {
    let (mut client, key) = client();
    let _ = ask(&mut client, key, Some(at(5))).unwrap();
    let _ = ask(&mut client, key, Some(at(50))).unwrap();
    let _ = ask(&mut client, key, Some(at(50))).unwrap();
    assert!(client.handle_timeout(at(5)).is_some());
    assert_eq!(client[key].cancel_ack(2), Some(2), "the event is sent without its waiter");
    client.handle_open();
    client.handle_text(r#"0{"sid":"x"}"#).unwrap();
    assert_eq!(sent(&mut client), ["0", r#"21["1"]"#, r#"22["2"]"#]);
    receive(&mut client, "32[]", &["connected"]);
}

#[test]
fn when_a_connection_breaks_sent_events_fail_and_buffered_events_survive() {
    let (mut client, key) = connected();
    let _ = ask(&mut client, key, None).unwrap();
    client.handle_close(CloseReason::PingTimeout);
    client.handle_close(CloseReason::TransportClose);
    assert_eq!(outputs(&mut client), ["ping timeout", "ack 0 failed: socket has been disconnected"]);
    assert!(client.is_active());
    let _ = ask(&mut client, key, None).unwrap();
    client.handle_open();
    client.handle_close(CloseReason::TransportClose);
    assert_eq!(outputs(&mut client), [""; 0], "the socket was not connected");
    client.handle_open();
    receive(&mut client, r#"0{"sid":"y"}"#, &["connected"]);
    // The response to CONNECT arrived, but the connection ended before the driver could send the buffered event. The
    // event must not be lost.
    client.handle_close(CloseReason::TransportError);
    assert_eq!(outputs(&mut client), ["transport error"]);
    client.handle_open();
    receive(&mut client, r#"0{"sid":"z"}"#, &["connected"]);
    assert_eq!(sent(&mut client), ["0", r#"21["1"]"#]);
    receive(&mut client, "30[]", &[]);
    receive(&mut client, "31[]", &["ack 1: "]);
}

#[test]
fn events_that_the_engine_does_not_accept_are_buffered_and_survive_the_connection() {
    let (mut client, key) = connected();
    client[key].set_writable(false);
    assert_eq!(emit(&mut client, key, "first"), Ok(EmitAction::Buffered { dropped: 0 }));
    let _ = ask(&mut client, key, None).unwrap();
    assert_eq!(client[key].emit_volatile(true), EmitAction::Dropped);
    assert_eq!(sent(&mut client), [""; 0]);
    client.handle_close(CloseReason::TransportClose);
    assert_eq!(outputs(&mut client), ["transport close"], "the acknowledgement is still awaited");
    client.handle_open();
    receive(&mut client, r#"0{"sid":"y"}"#, &["connected"]);
    assert_eq!(sent(&mut client), ["0", r#"2["first"]"#, r#"20["0"]"#]);
    client[key].set_writable(false);
    assert_eq!(emit(&mut client, key, "second"), Ok(EmitAction::Buffered { dropped: 0 }));
    client[key].set_writable(true);
    assert_eq!(emit(&mut client, key, "third"), Ok(EmitAction::Buffered { dropped: 0 }), "none overtakes");
    assert_eq!(sent(&mut client), [r#"2["second"]"#, r#"2["third"]"#]);
}

#[test]
fn disconnecting_and_giving_up_fail_all_waiters() {
    let (mut client, key) = client();
    let _ = emit(&mut client, key, "kept").unwrap();
    let _ = ask(&mut client, key, Some(at(5))).unwrap();
    client.handle_reconnect_failed();
    assert_eq!(outputs(&mut client), ["ack 0 failed: socket has been disconnected"]);
    let _ = ask(&mut client, key, None).unwrap();
    client[key].disconnect();
    assert_eq!(outputs(&mut client), ["ack 1 failed: socket has been disconnected"]);
    assert_eq!(client.poll_timeout(), None);
    client[key].connect();
    client.handle_open();
    receive(&mut client, r#"0{"sid":"x"}"#, &["connected"]);
    assert_eq!(
        sent(&mut client),
        ["0", r#"2["kept"]"#],
        "this event has no waiter that failed, so it is kept"
    );
}

#[test]
fn events_before_the_response_are_buffered() {
    let (mut client, key) = client();
    client.handle_open();
    receive(&mut client, r#"2["a"]"#, &[]);
    receive(&mut client, r#"27["b"]"#, &[]);
    receive(&mut client, r#"2/other,["nobody's"]"#, &[]);
    receive(&mut client, r#"0{"sid":"x"}"#, &["event a", "event b, ack wanted", "connected"]);
    receive(&mut client, r#"2["c"]"#, &["event c"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    receive(&mut client, r#"2["lost with its connection"]"#, &["transport close"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    receive(&mut client, r#"0{"sid":"x"}"#, &["connected"]);
    assert!(client[key].is_connected());
}

#[test]
fn a_driver_that_polls_late_sees_the_same_order() {
    let (mut client, _) = client();
    client.handle_open();
    for text in [r#"2["a"]"#, r#"0{"sid":"x"}"#, r#"2["b"]"#, "1"] {
        assert_eq!(client.handle_text(text), Ok(None), "{text}");
    }
    assert_eq!(outputs(&mut client), ["event a", "connected", "event b", "io server disconnect"]);
}

#[test]
fn events_before_the_response_are_limited() {
    for limits in [
        Limits { max_receive_buffer_events: 2, ..Limits::default() },
        Limits { max_receive_buffer_bytes: 400, ..Limits::default() },
    ] {
        let (mut client, _) = client_with(limits);
        client.handle_open();
        receive(&mut client, r#"2["a"]"#, &[]);
        let violation = (0..400).find_map(|_| client.handle_text(r#"2["a"]"#).err());
        assert_eq!(violation, Some(Violation::ReceiveBufferFull));
        assert_eq!(client.handle_text(r#"0{"sid":"x"}"#), Ok(None), "the client treats the engine as closed");
        client.handle_open();
        receive(&mut client, r#"0{"sid":"x"}"#, &["connected"]);
    }
}

#[test]
fn an_invalid_packet_closes_the_connection_but_the_socket_stays_active() {
    let (mut client, _) = connected();
    let violation = client.handle_text("2[").unwrap_err();
    assert_eq!(violation.to_string(), "the payload is not valid JSON at byte 1");
    client.handle_close(CloseReason::ForcedClose);
    assert_eq!(outputs(&mut client), ["parse error"]);
    assert!(client.is_active());
    client.handle_open();
    assert_eq!(sent(&mut client), ["0"]);
}

#[test]
fn an_incomplete_packet_is_discarded_with_its_connection() {
    let (mut client, _) = connected();
    receive(&mut client, r#"51-["x",{"_placeholder":true,"num":0}]"#, &[]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    receive(&mut client, r#"0{"sid":"x"}"#, &["transport close", "connected"]);
    receive(&mut client, r#"51-["x",{"_placeholder":true,"num":0}]"#, &[]);
    let output = client.handle_binary(vec![1]).unwrap().map(|(_, output)| word(&output));
    assert_eq!(output.as_deref(), Some("event x"));
}

#[test]
fn a_rejected_socket_does_not_retry_automatically() {
    for (refusal, message, data) in [
        (r#"4{"message":"no"}"#, "no", None),
        (r#"4{"message":"no","data":{"code":[1]}}"#, "no", Some(json!({"code": [1]}))),
        (r#"4"Invalid namespace""#, "Invalid namespace", None),
        (r#"4{"reason":"no"}"#, "", Some(json!({"reason": "no"}))),
        (r#"4{"message":7}"#, "", Some(json!({"message": 7}))),
    ] {
        let (mut client, key) = client();
        client.handle_open();
        assert_eq!(client.handle_text(refusal), Ok(None));
        let Some((_, Output::ConnectError(ConnectError::Rejected { message: found, data: details }))) =
            client.poll_output()
        else {
            panic!("{refusal} is a rejection");
        };
        let details: Option<Value> = details.map(|details| details.deserialize().unwrap());
        assert_eq!((&*found, details), (message, data), "{refusal}");
        assert!(!client.is_active());
        assert_eq!(sent(&mut client), ["0"]);
        client.handle_close(CloseReason::TransportClose);
        client.handle_open();
        assert_eq!((sent(&mut client), outputs(&mut client)), (vec![], vec![]));
        client[key].connect();
        assert_eq!(sent(&mut client), ["0"]);
    }
}

#[test]
fn a_server_of_the_older_protocol_is_reported() {
    for response in ["0", "0{}", r#"0{"sid":7}"#] {
        let (mut client, _) = client();
        client.handle_open();
        let error = "connect error: the server sent no socket id: it is a Socket.IO v2 server, but this client requires v3 or newer";
        receive(&mut client, response, &[error]);
        receive(&mut client, response, &[]);
    }
}

#[test]
fn ids_are_opaque_up_to_a_length() {
    let (mut client, key) = client();
    client.handle_open();
    let long = "i".repeat(257);
    let error = "connect error: the server sent a socket id of more than 256 bytes";
    receive(&mut client, &format!(r#"0{{"sid":"{long}"}}"#), &[error]);
    assert_eq!(sent(&mut client), ["0", "1"]);
    client[key].connect();
    receive(&mut client, &format!(r#"0{{"sid":"{}","pid":"{long}"}}"#, &long[1..]), &["connected"]);
    receive(&mut client, r#"2["x","o"]"#, &["event x"]);
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!(sent(&mut client), ["0"], "a private id that is too long is not stored");
}

#[test]
fn a_socket_that_the_server_disconnects_does_not_reconnect_automatically() {
    let (mut client, key) = connected();
    let _ = ask(&mut client, key, None).unwrap();
    receive(&mut client, "1", &["io server disconnect", "ack 0 failed: socket has been disconnected"]);
    receive(&mut client, r#"2["late"]"#, &[]);
    assert!(!client.is_active());
    client.handle_close(CloseReason::TransportClose);
    client.handle_open();
    assert_eq!((sent(&mut client), outputs(&mut client)), (vec![], vec![]));
    client[key].connect();
    assert_eq!(sent(&mut client), ["0"]);
}

#[test]
fn a_socket_that_the_program_disconnects_tells_the_server() {
    let (mut client, key) = connected();
    let _ = ask(&mut client, key, None).unwrap();
    client[key].disconnect();
    client[key].disconnect();
    assert_eq!(outputs(&mut client), ["io client disconnect", "ack 0 failed: socket has been disconnected"]);
    assert_eq!(sent(&mut client), ["1"]);
    receive(&mut client, r#"2["late"]"#, &[]);
    client[key].connect();
    assert_eq!(sent(&mut client), ["0"]);
}

#[test]
fn a_disconnect_before_the_response_is_sent_after_it() {
    for (response, reconnects, transmitted) in [
        (r#"0{"sid":"x"}"#, false, &["1"][..]),
        (r#"0{"sid":"x"}"#, true, &["1", "0"]),
        (r#"4{"message":"no"}"#, false, &[]),
        (r#"4{"message":"no"}"#, true, &["0"]),
        // The program of the server disconnects the socket before the response to CONNECT.
        ("1", false, &[]),
        ("1", true, &["0"]),
    ] {
        let (mut client, key) = client();
        client.handle_open();
        assert_eq!(sent(&mut client), ["0"]);
        client[key].disconnect();
        assert!(!client.is_active());
        if reconnects {
            client[key].connect();
            assert!(client.is_active());
        }
        assert_eq!(sent(&mut client), [""; 0]);
        receive(&mut client, response, &[]);
        assert_eq!(sent(&mut client), transmitted, "{response}");
        if reconnects {
            receive(&mut client, r#"0{"sid":"y"}"#, &["connected"]);
        }
    }
}

#[test]
fn a_server_may_disconnect_a_socket_instead_of_accepting_it() {
    let (mut client, key) = client();
    client.handle_open();
    receive(&mut client, "1", &["io server disconnect"]);
    assert!(!client.is_active());
    client[key].connect();
    assert_eq!(sent(&mut client), ["0", "0"]);
    receive(&mut client, r#"0{"sid":"y"}"#, &["connected"]);
}

#[test]
fn after_crossing_disconnects_both_sides_agree() {
    let (mut client, key) = connected();
    client[key].disconnect();
    client[key].connect();
    assert_eq!(sent(&mut client), ["1", "0"]);
    // The DISCONNECT was meant for the previous socket. The server will still accept the new CONNECT and consider the
    // socket connected.
    receive(&mut client, "1", &["io client disconnect", "io server disconnect"]);
    assert!(!client.is_active());
    receive(&mut client, r#"0{"sid":"y"}"#, &[]);
    assert_eq!(sent(&mut client), ["1"]);
    client[key].connect();
    assert_eq!(sent(&mut client), ["0"]);
    receive(&mut client, r#"0{"sid":"z"}"#, &["connected"]);
}

#[test]
fn an_unrequested_response_is_ignored() {
    let (mut client, key) = connected();
    receive(&mut client, r#"0{"sid":"other"}"#, &[]);
    receive(&mut client, r#"4{"message":"no"}"#, &[]);
    assert_eq!(client[key].id(), Some("x"));
    client[key].disconnect();
    for text in [r#"0{"sid":"other"}"#, r#"4{"message":"no"}"#, "1", "30[]"] {
        assert_eq!(client.handle_text(text), Ok(None), "{text}");
    }
    assert_eq!(outputs(&mut client), ["io client disconnect"]);
    assert_eq!(sent(&mut client), ["1"]);
}

#[test]
fn an_event_is_acknowledged_on_its_own_connection_or_not_at_all() {
    let (mut client, key) = connected();
    let Ok(Some((_, Output::Event { ack: Some(ack), .. }))) = client.handle_text(r#"27["x"]"#) else {
        panic!("the event requests an acknowledgement");
    };
    assert_eq!((ack.id(), client[key].acknowledge(ack)), (7, EmitAction::Transmit));
    client.handle_close(CloseReason::TransportClose);
    assert_eq!(client[key].acknowledge(ack), EmitAction::Dropped);
    client.handle_open();
    assert_eq!(client[key].acknowledge(ack), EmitAction::Dropped);
    client.handle_text(r#"0{"sid":"x"}"#).unwrap();
    assert_eq!(client[key].acknowledge(ack), EmitAction::Dropped);
}

#[test]
fn every_reason_has_the_text_of_the_javascript_client() {
    for reason in [
        CloseReason::PingTimeout,
        CloseReason::TransportError,
        CloseReason::TransportClose,
        CloseReason::ParseError,
        CloseReason::ForcedClose,
    ] {
        assert_eq!(DisconnectReason::from(reason).as_str(), reason.as_str());
    }
}
