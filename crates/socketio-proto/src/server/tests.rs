use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::arguments::RawJson;

#[derive(Debug)]
struct Member {
    namespace: &'static str,
    kicked: Rc<Cell<bool>>,
}

impl Socket for Member {
    fn namespace(&self) -> &str {
        self.namespace
    }

    fn is_disconnected(&self) -> bool {
        self.kicked.get()
    }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn connection() -> Connection<Member> {
    Connection::new(Protocol::V5, &Limits::default(), &crate::DecoderLimits::default(), at(0))
}

/// Requests a namespace and does not decide on the request.
fn ask(connection: &mut Connection<Member>, namespace: &'static str) -> Rc<Cell<bool>> {
    let kicked = Rc::new(Cell::new(false));
    match connection.handle_text(&format!("0{namespace}"), at(0)) {
        Ok(Some(Received::Connect(request))) => {
            assert_eq!(request.namespace(), namespace);
            let entry = request.insert(Member { namespace, kicked: Rc::clone(&kicked) });
            assert_eq!(entry.state(), SocketState::Connecting);
        }
        other => panic!("expected a connect request, not {other:?}"),
    }
    kicked
}

fn join(connection: &mut Connection<Member>, namespace: &'static str) -> Rc<Cell<bool>> {
    let kicked = ask(connection, namespace);
    accept_all(connection);
    kicked
}

fn accept_all(connection: &mut Connection<Member>) {
    connection.for_each(|mut entry| {
        if entry.state() == SocketState::Connecting {
            assert!(entry.accept());
        }
    });
}

fn remove_disconnected(connection: &mut Connection<Member>) {
    connection.for_each(|entry| {
        if matches!(entry.state(), SocketState::Disconnected { .. }) {
            entry.remove();
        }
    });
}

/// Processes a message and describes the result in words.
fn receive(connection: &mut Connection<Member>, text: &str) -> String {
    match connection.handle_text(text, at(0)) {
        Ok(None) => "ignored".to_owned(),
        Ok(Some(Received::Event { socket, event, ack })) => {
            format!("event {} {} {ack:?}", socket.socket().namespace(), event.name())
        }
        Ok(Some(Received::Ack { socket, id, .. })) => format!("ack {} {id}", socket.socket().namespace()),
        Ok(Some(Received::Disconnect(socket))) => format!("disconnect {}", socket.socket().namespace()),
        Ok(Some(Received::Connect(request))) => format!("connect {}", request.namespace()),
        Err(violation) => format!("{violation}: {}", violation.disconnect_reason()),
    }
}

#[test]
fn packets_are_routed_to_the_socket_of_their_namespace() {
    let mut connection = connection();
    join(&mut connection, "/");
    join(&mut connection, "/a");
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "event / x None");
    assert_eq!(receive(&mut connection, r#"2/a,7["y"]"#), "event /a y Some(7)");
    assert_eq!(receive(&mut connection, "3/a,3[]"), "ack /a 3");
    assert_eq!(receive(&mut connection, "1/a,"), "disconnect /a");
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "event / x None");
}

#[test]
fn a_violation_is_described_and_closes_the_connection() {
    for (text, what) in [
        (
            r#"2/b,["x"]"#,
            "the client sent an event to a namespace that it is not connected to: forced server close",
        ),
        (
            r#"2/asked,["x"]"#,
            "the client sent an event to a namespace that it is not connected to: forced server close",
        ),
        (
            "3/b,0[]",
            "the client sent an acknowledgement to a namespace that it is not connected to: forced server close",
        ),
        (
            "3/asked,0[]",
            "the client sent an acknowledgement to a namespace that it is not connected to: forced server close",
        ),
        ("1/b,", "the client disconnected from a namespace that it is not connected to: forced server close"),
        ("0", "the client connected to a namespace twice: forced server close"),
        ("0/asked,", "the client connected to a namespace twice: forced server close"),
        (
            r#"4{"message":"x"}"#,
            "the client sent CONNECT_ERROR, which only servers may send: forced server close",
        ),
        ("", "the packet is empty: forced close"),
        ("2[", "the payload is not valid JSON at byte 1: forced close"),
        (r#"2["connect"]"#, "the event name \"connect\" is reserved: forced close"),
    ] {
        let mut connection = connection();
        join(&mut connection, "/");
        ask(&mut connection, "/asked");
        assert_eq!(receive(&mut connection, text), what, "{text}");
        assert!(connection.is_closed());
        assert_eq!(receive(&mut connection, r#"2["x"]"#), "ignored", "a closed connection ignores messages");
        assert_eq!(connection.poll_timeout(), None);
        connection.for_each(|mut entry| {
            let was_connected = entry.socket().namespace == "/";
            assert_eq!(entry.state(), SocketState::Disconnected { was_connected });
            assert!(!entry.accept());
            entry.remove();
        });
        assert!(connection.is_empty());
    }
}

#[test]
fn packets_for_a_socket_that_was_disconnected_right_after_the_response_are_ignored() {
    let mut connection = connection();
    let kicked = ask(&mut connection, "/");
    kicked.set(true);
    connection.for_each(|mut entry| {
        assert!(!entry.accept(), "the program has disconnected it");
        entry.set_connected();
        assert_eq!(entry.state(), SocketState::Disconnected { was_connected: true });
    });
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "ignored", "the client has got the response");
}

#[test]
fn late_packets_for_a_socket_that_the_server_disconnected_are_ignored() {
    let mut connection = connection();
    let kicked = join(&mut connection, "/");
    kicked.set(true);
    for _ in 0..2 {
        // First while its last handler is running, then after the socket was removed.
        for late in [r#"2["x"]"#, r#"21["x"]"#, "30[]", "1"] {
            assert_eq!(receive(&mut connection, late), "ignored", "{late}");
        }
        remove_disconnected(&mut connection);
        assert!(connection.is_empty());
    }
    join(&mut connection, "/");
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "event / x None");
    assert_eq!(connection.slots.len(), 1, "no slot of the former socket is left");
}

#[test]
fn late_packets_of_a_client_that_disconnected_are_a_violation_after_removal() {
    let mut connection = connection();
    join(&mut connection, "/");
    assert_eq!(receive(&mut connection, "1"), "disconnect /");
    assert_eq!(receive(&mut connection, "1"), "ignored", "the socket is disconnected but not removed");
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "ignored");
    remove_disconnected(&mut connection);
    assert_eq!(
        receive(&mut connection, r#"2["x"]"#),
        "the client sent an event to a namespace that it is not connected to: forced server close"
    );
}

#[test]
fn a_client_that_disconnects_before_it_is_accepted_is_not_accepted() {
    let mut connection = connection();
    ask(&mut connection, "/");
    assert_eq!(receive(&mut connection, "1"), "disconnect /");
    connection.for_each(|mut entry| {
        assert_eq!(entry.state(), SocketState::Disconnected { was_connected: false });
        assert!(!entry.accept());
        entry.remove();
    });
    assert!(connection.is_empty());
    assert_eq!(connection.poll_timeout(), Some(at(45)), "the client is not connected to any namespace");
}

#[test]
fn a_socket_that_the_program_disconnects_before_it_is_accepted_does_not_stop_the_connect_timeout() {
    let mut connection = connection();
    ask(&mut connection, "/").set(true);
    connection.for_each(|mut entry| {
        assert!(!entry.accept());
        entry.remove();
    });
    assert_eq!(connection.poll_timeout(), Some(at(45)));
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "ignored", "the server has sent DISCONNECT");
}

#[test]
fn a_rejected_client_may_try_again_and_does_not_stop_the_connect_timeout() {
    let mut connection = connection();
    for _ in 0..100 {
        ask(&mut connection, "/");
        connection.for_each(|entry| {
            entry.remove();
        });
        assert_eq!(connection.poll_timeout(), Some(at(45)));
    }
    assert_eq!(connection.handle_timeout(at(44)), None);
    assert_eq!(connection.handle_timeout(at(45)), Some(Violation::ConnectTimeout));
    assert_eq!(connection.handle_timeout(at(46)), None, "a closed connection has no deadlines");
}

#[test]
fn a_process_that_was_stopped_gives_the_client_the_time_to_connect_again() {
    let mut connection = connection();
    assert_eq!(connection.handle_timeout(at(100)), None, "the request may not be read yet");
    assert_eq!(connection.poll_timeout(), Some(at(145)));
    assert_eq!(connection.handle_timeout(at(145)), Some(Violation::ConnectTimeout));
}

#[test]
fn a_process_that_was_stopped_gives_the_client_the_time_for_its_attachment_again() {
    let mut connection = connection();
    join(&mut connection, "/");
    assert!(matches!(connection.handle_text(r#"51-["x",{"_placeholder":true,"num":0}]"#, at(0)), Ok(None)));
    assert_eq!(connection.handle_timeout(at(100)), None, "the attachment may not be read yet");
    assert_eq!(connection.poll_timeout(), Some(at(145)));
    assert!(matches!(connection.handle_binary(&[1][..], at(144)), Ok(Some(Received::Event { .. }))));
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn a_client_that_does_nothing_between_two_stops_of_the_process_is_closed() {
    let mut connecting = connection();
    assert_eq!(connecting.handle_timeout(at(100)), None);
    assert_eq!(connecting.handle_timeout(at(200)), Some(Violation::ConnectTimeout));

    let mut connection = connection();
    join(&mut connection, "/");
    let two = r#"52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert!(matches!(connection.handle_text(two, at(0)), Ok(None)));
    assert_eq!(connection.handle_timeout(at(100)), None);
    assert!(matches!(connection.handle_binary(&[1][..], at(101)), Ok(None)));
    assert_eq!(connection.handle_timeout(at(200)), None, "an attachment has arrived");
    assert_eq!(connection.handle_timeout(at(300)), Some(Violation::AttachmentTimeout));
}

#[test]
fn a_request_that_the_driver_drops_leaves_no_socket() {
    let mut connection = connection();
    assert_eq!(receive(&mut connection, "0/nope,"), "connect /nope");
    assert_eq!(receive(&mut connection, "0/nope,"), "connect /nope");
    assert!(connection.is_empty());
    assert_eq!(connection.poll_timeout(), Some(at(45)));
}

#[test]
fn the_first_connected_namespace_stops_the_connect_timeout() {
    let mut connection = connection();
    ask(&mut connection, "/slow");
    assert_eq!(connection.poll_timeout(), Some(at(45)), "the middleware has not decided yet");
    accept_all(&mut connection);
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(connection.handle_timeout(at(1_000)), None);
}

#[test]
fn connecting_again_does_not_wait_for_handlers_of_former_sockets_up_to_a_limit() {
    let mut connection = connection();
    for round in 0..16 {
        let kicked = join(&mut connection, "/");
        // Both the program and the client may disconnect the socket.
        if round % 2 == 0 {
            kicked.set(true);
        } else {
            assert_eq!(receive(&mut connection, "1"), "disconnect /");
        }
    }
    join(&mut connection, "/a");
    assert_eq!(
        receive(&mut connection, "0"),
        "the client has more than 16 sockets of one namespace that are still disconnecting: forced server close"
    );
}

#[test]
fn removing_a_former_socket_does_not_affect_the_next_one() {
    let mut connection = connection();
    join(&mut connection, "/").set(true);
    ask(&mut connection, "/");
    remove_disconnected(&mut connection);
    assert_eq!(connection.sockets().count(), 1);
    assert_eq!(
        receive(&mut connection, r#"2["x"]"#),
        "the client sent an event to a namespace that it is not connected to: forced server close"
    );
}

#[test]
fn attachments_must_arrive_in_time() {
    let mut connection = connection();
    join(&mut connection, "/");
    let text = r#"52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    for begin in [0, 1_000] {
        assert!(matches!(connection.handle_text(text, at(begin)), Ok(None)));
        assert_eq!(connection.poll_timeout(), Some(at(begin + 45)));
        assert_eq!(connection.handle_timeout(at(begin + 44)), None);
        assert!(matches!(connection.handle_binary(&[1][..], at(begin + 44)), Ok(None)));
        assert_eq!(connection.poll_timeout(), Some(at(begin + 89)));
        let Ok(Some(Received::Event { event, .. })) = connection.handle_binary(vec![2], at(begin + 88))
        else {
            panic!("the event is complete");
        };
        assert_eq!(event.arguments().attachments().len(), 2);
        assert_eq!(connection.poll_timeout(), None);
    }
    assert!(matches!(connection.handle_text(text, at(2_000)), Ok(None)));
    assert_eq!(connection.handle_timeout(at(2_045)), Some(Violation::AttachmentTimeout));
    assert!(matches!(connection.handle_binary(&[1][..], at(2_046)), Ok(None)), "ignored");
}

#[test]
fn a_closed_connection_keeps_no_incomplete_packet() {
    let mut connection = connection();
    join(&mut connection, "/");
    let text = r#"52-["event",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert!(matches!(connection.handle_text(text, at(0)), Ok(None)));
    assert!(matches!(connection.handle_binary(&[7; 1_000][..], at(0)), Ok(None)));
    assert!(connection.attachment_bytes() > 1_000);
    connection.close();
    assert_eq!(connection.attachment_bytes(), 0);
    assert!(matches!(connection.handle_binary(&[7; 1_000][..], at(0)), Ok(None)), "ignored");
}

#[test]
fn the_attachment_timeout_does_not_run_while_reading_is_paused() {
    let mut connection = connection();
    join(&mut connection, "/");
    connection.set_read_paused(true, at(0));
    connection.set_read_paused(false, at(0));
    assert_eq!(connection.poll_timeout(), None, "no attachment is expected");
    assert!(matches!(connection.handle_text(r#"51-["x",{"_placeholder":true,"num":0}]"#, at(0)), Ok(None)));
    connection.set_read_paused(true, at(1));
    assert_eq!((connection.poll_timeout(), connection.handle_timeout(at(900))), (None, None));
    connection.set_read_paused(false, at(1_000));
    assert_eq!(connection.poll_timeout(), Some(at(1_045)));
    assert_eq!(connection.handle_timeout(at(1_045)), Some(Violation::AttachmentTimeout));
}

#[test]
fn a_connect_request_returns_the_auth_payload_and_the_recovery_fields() {
    for (text, auth, pid, offset) in [
        ("0", "{}", None, None),
        (r#"0{"token":1}"#, r#"{"token":1}"#, None, None),
        (
            r#"0{"pid":"p","offset":"o","token":1}"#,
            r#"{"pid":"p","offset":"o","token":1}"#,
            Some("p"),
            Some("o"),
        ),
        (r#"0{"pid":7,"offset":{"a":["o"]}}"#, r#"{"pid":7,"offset":{"a":["o"]}}"#, None, None),
        (r#"0{"pid":"\u0070","offset":null}"#, r#"{"pid":"\u0070","offset":null}"#, Some("p"), None),
    ] {
        let mut connection = connection();
        let Ok(Some(Received::Connect(request))) = connection.handle_text(text, at(0)) else {
            panic!("{text} is a connect request");
        };
        assert_eq!(request.auth(), &RawJson::new(auth), "{text}");
        let request = RecoveryRequest::from_auth(request.auth());
        let fields = request.as_ref().map(|request| (request.pid.as_str(), request.offset.as_deref()));
        assert_eq!(fields, pid.map(|pid| (pid, offset)), "{text}");
    }
}

fn connection_of_protocol4() -> Connection<Member> {
    Connection::new(Protocol::V4, &Limits::default(), &crate::DecoderLimits::default(), at(0))
}

/// Connects a client of Socket.IO 4 to `/`, without a decision of the middleware.
fn open(connection: &mut Connection<Member>) {
    let request = connection.connect_main().expect("opening the session is a request");
    assert_eq!((request.namespace(), request.auth().as_str()), ("/", "{}"));
    request.insert(Member { namespace: "/", kicked: Rc::default() });
}

#[test]
fn a_client_of_protocol_4_connects_to_the_main_namespace_without_a_request() {
    let mut connection = connection_of_protocol4();
    open(&mut connection);
    assert!(connection.connect_main().is_none(), "once");
    assert_eq!(connection.poll_timeout(), Some(at(45)), "the middleware may refuse the client");
    accept_all(&mut connection);
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(receive(&mut connection, r#"2["x"]"#), "event / x None");
    assert_eq!(receive(&mut connection, "1"), "disconnect /");
    remove_disconnected(&mut connection);
    assert_eq!(receive(&mut connection, "0"), "connect /", "a client that has disconnected requests it");

    assert!(self::connection().connect_main().is_none(), "a client of Socket.IO 5 requests it");
}

#[test]
fn a_client_of_protocol_4_that_requests_the_main_namespace_or_sends_too_early_is_closed_as_in_node() {
    for (text, what) in [
        ("0", "the client connected to a namespace twice: forced server close"),
        (
            r#"2["x"]"#,
            "the client sent an event to a namespace that it is not connected to: forced server close",
        ),
    ] {
        let mut connection = connection_of_protocol4();
        open(&mut connection);
        assert_eq!(receive(&mut connection, text), what, "{text}");
    }
}

#[test]
fn a_client_of_protocol_4_sends_its_credentials_in_the_query_of_the_namespace() {
    let mut connection = connection_of_protocol4();
    open(&mut connection);
    accept_all(&mut connection);
    let Ok(Some(Received::Connect(request))) = connection.handle_text("0/admin?token=1", at(0)) else {
        panic!("it is a request");
    };
    assert_eq!((request.namespace(), request.auth().as_str()), ("/admin", r#"{"token":"1"}"#));
    request.insert(Member { namespace: "/admin", kicked: Rc::default() });
    accept_all(&mut connection);
    assert_eq!(receive(&mut connection, r#"2/admin?token=1,["x"]"#), "event /admin x None");
    assert_eq!(receive(&mut connection, r#"2/admin,["x"]"#), "event /admin x None");
}

#[test]
fn a_closed_connection_of_protocol_4_makes_no_request() {
    let mut connection = connection_of_protocol4();
    connection.close();
    assert!(connection.connect_main().is_none());
}
