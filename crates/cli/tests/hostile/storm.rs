//! Clients that all return at once, after all of them were cut at once.

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
