//! The example of two servers with a message bus of the program.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::examples::Client;

#[path = "../../../examples/two_servers.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod example;

async fn start() -> [SocketAddr; 2] {
    let broker = example::Broker::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 2];
    for address in &mut addresses {
        let io = example::server(&broker);
        let listener = io.bind(*address).await.expect("a free port");
        *address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    }
    addresses
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

#[tokio::test]
async fn what_a_client_says_reaches_the_clients_of_both_servers() {
    let [one, two] = start().await;
    let (received, mut lines) = mpsc::unbounded_channel();
    let ann = example::connect("Ann", one, received.clone());
    let bob = example::connect("Bob", two, received);
    for client in [&ann, &bob] {
        soon(client.connected()).await.expect("the server accepts it");
    }
    for (client, text) in [(&ann, "hello"), (&bob, "hi")] {
        client.emit("say", text);
        let mut heard =
            [soon(lines.recv()).await, soon(lines.recv()).await].map(|line| line.expect("a line"));
        heard.sort();
        assert_eq!(heard, [format!("Ann hears: {text}"), format!("Bob hears: {text}")]);
    }
}

#[tokio::test]
async fn a_client_recovers_on_the_other_server() {
    let [one, two] = start().await;
    let mut ann = Client::open(one, "/socket.io/").await;
    ann.send("40").await;
    let response = ann.recv().await;
    let pid = last_text(&response);
    let mut bob = Client::open(two, "/socket.io/").await;
    bob.send("40").await;
    bob.recv().await;
    bob.send(r#"42["say","received"]"#).await;
    let received = ann.recv().await;
    assert_eq!(bob.recv().await, received);
    drop(ann);
    bob.send(r#"42["say","missed"]"#).await;
    let missed = bob.recv().await;
    assert!(missed.contains(r#","missed",""#), "{missed}");
    let mut ann = Client::open(two, "/socket.io/").await;
    ann.send(&format!(r#"40{{"pid":"{pid}","offset":"{}"}}"#, last_text(&received))).await;
    assert_eq!(ann.recv().await, response, "the same ids");
    assert_eq!(ann.recv().await, missed);
}

/// Returns the last text of a packet: the private id of a response, the offset of an event.
fn last_text(packet: &str) -> &str {
    packet.rsplit('"').nth(1).expect("the packet ends with a text")
}
