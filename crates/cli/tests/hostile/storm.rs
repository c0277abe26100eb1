//! Clients that all return at once, after all of them were cut at once.

use serde_json::{Value, json};

use crate::raw_client::{ENGINE, UPGRADE, WebSocket, request};
use crate::support::Server;

/// Each one needs a descriptor, here and in the server. Many systems allow 1,024.
const CLIENTS: usize = 500;

#[test]
fn all_clients_that_were_cut_at_once_and_return_at_once_are_served() {
    let server = Server::start();
    let canary = server.canary();
    let cut: Vec<_> = (0..CLIENTS).map(|_| WebSocket::joined(server.address)).collect();
    drop(cut);
    // No client waits for the response to another one.
    let handshake = || request(server.address, "GET", ENGINE, format!("{UPGRADE}\r\n"));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| WebSocket { connection: handshake() }).collect();
    for client in &mut clients {
        assert_eq!(client.connection.response().expect("a response").status, 101);
        client.text("40");
    }
    for client in &mut clients {
        assert!(client.receive_text().starts_with("0{"));
        assert!(client.receive_text().starts_with(r#"40{"sid":""#));
        client.text(r#"42["message","news"]"#);
    }
    for client in &mut clients {
        client.expect(r#"42["message","Echo: news"]"#);
    }
    canary.noticed_nothing();
}

#[test]
fn all_clients_that_were_cut_at_once_and_return_at_once_recover_their_sessions() {
    let server = Server::start();
    let canary = server.canary();
    let sessions: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let auth = json!({ "name": format!("visitor {number}"), "client": format!("{number:032}") });
            let mut client = WebSocket::session(server.address);
            client.text(&format!("40/chat,{auth}"));
            let session = ChatSession::receive(&mut client);
            (client, auth, session)
        })
        .collect();
    // All clients are cut when the vector of their connections is dropped.
    let (cut, sessions): (Vec<_>, Vec<_>) =
        sessions.into_iter().map(|(client, auth, session)| (client, (auth, session))).unzip();
    drop(cut);
    // No client waits for the response to another one.
    let handshake = || request(server.address, "GET", ENGINE, format!("{UPGRADE}\r\n"));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| WebSocket { connection: handshake() }).collect();
    for (client, (auth, session)) in clients.iter_mut().zip(&sessions) {
        assert_eq!(client.connection.response().expect("a response").status, 101);
        let mut auth = auth.clone();
        auth["pid"] = session.pid.clone();
        auth["offset"] = session.offset.clone();
        client.text(&format!("40/chat,{auth}"));
    }
    for (client, (_, session)) in clients.iter_mut().zip(&sessions) {
        assert!(client.receive_text().starts_with("0{"));
        let recovered = ChatSession::receive(client);
        assert_eq!((&recovered.id, &recovered.pid), (&session.id, &session.pid));
    }
    canary.noticed_nothing();
}

/// What a client of the chat keeps to recover its session.
struct ChatSession {
    id: Value,
    pid: Value,
    /// The offset of the welcome, the first event.
    offset: Value,
}

impl ChatSession {
    /// Reads the response to the CONNECT packet, and the welcome.
    fn receive(client: &mut WebSocket) -> Self {
        let (mut ids, mut offset) = (None, Value::Null);
        while ids.is_none() || offset.is_null() {
            let packet = client.receive_text();
            if let Some(connected) = packet.strip_prefix("40/chat,") {
                let connected: Value = serde_json::from_str(connected).expect("a session");
                ids = Some((connected["sid"].clone(), connected["pid"].clone()));
            } else if let Some(event) = packet.strip_prefix("42/chat,") {
                let event: Value = serde_json::from_str(event).expect("an event");
                offset = event.as_array().and_then(|arguments| arguments.last()).expect("an offset").clone();
            } else {
                panic!("{packet} is no packet of the chat");
            }
        }
        let (id, pid) = ids.expect("a session");
        Self { id, pid, offset }
    }
}
