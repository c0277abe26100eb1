//! Visitors of the page `/playground/` who want more than their share.

use crate::raw_client::WebSocket;
use crate::support::Server;

#[test]
fn a_visitor_of_the_playground_has_few_rooms_with_short_names_and_speaks_only_in_them() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::session(server.address);
    socket.text("40/playground,");
    assert!(socket.receive_text().starts_with("40/playground,"));
    for room in 0..20 {
        let ack = acknowledgement(&mut socket, &format!(r#"["join-room","room {room}"]"#));
        assert!(!ack.contains("rooms"), "room {room}: {ack}");
    }
    let ack = acknowledgement(&mut socket, r#"["join-room","one more"]"#);
    assert!(ack.contains("you are in 20 rooms already"), "{ack}");
    acknowledgement(&mut socket, r#"["leave-room","room 0"]"#);
    for name in [String::new(), "x".repeat(65)] {
        let ack = acknowledgement(&mut socket, &format!(r#"["join-room","{name}"]"#));
        assert!(ack.contains("1 to 64 bytes"), "{ack}");
    }
    let ack = acknowledgement(&mut socket, r#"["say","room 0","hello"]"#);
    assert!(ack.contains("you are not in the room"), "{ack}");
    let ack = acknowledgement(&mut socket, r#"["join-room",7]"#);
    assert!(ack.contains("string"), "{ack}");
    canary.noticed_nothing();
}

/// Emits an event and returns its acknowledgement. Ignores the events before it.
fn acknowledgement(socket: &mut WebSocket, event: &str) -> String {
    socket.text(&format!("42/playground,5{event}"));
    loop {
        let text = socket.receive_text();
        if text.starts_with("43/playground,5") {
            return text;
        }
    }
}
