//! A custom adapter that uses only what this crate exports.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tidewire::server::Server;
use tidewire::server::adapter::{Adapter, BroadcastOptions, EncodedEvent, Host, InMemoryAdapter};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// The JSON and the attachments of each broadcast.
type Broadcasts = Arc<Mutex<Vec<(String, Vec<Bytes>)>>>;

/// Records each broadcast, at the point where an adapter for several processes would send it to the others.
#[derive(Default)]
struct Recording {
    local: InMemoryAdapter,
    broadcasts: Broadcasts,
}

impl Adapter for Recording {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> Option<usize> {
        let broadcast = (event.json().to_owned(), event.attachments().to_vec());
        self.broadcasts.lock().expect("no panic").push(broadcast);
        Some(self.local.broadcast(event, options))
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

#[tokio::test]
async fn a_broadcast_passes_through_the_adapter_of_the_program_with_its_json_and_attachments() {
    let broadcasts = Broadcasts::default();
    let recorded = Arc::clone(&broadcasts);
    let adapter = move |_: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
        Arc::new(Recording { local: InMemoryAdapter::new(), broadcasts: Arc::clone(&recorded) })
    };
    let io = Server::builder().adapter(adapter).build();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = io.clone();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });

    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (mut client, _) = soon(connect_async(url)).await.expect("the server listens");
    soon(client.next()).await.expect("the open packet").expect("a message");
    client.send(Message::text("40")).await.expect("it is open");
    let joined = soon(client.next()).await.expect("the response to CONNECT").expect("a message");
    assert!(joined.to_text().expect("a text").starts_with("40{"), "{joined}");

    let image = Bytes::from_static(&[1, 2, 3]);
    io.emit("image", (&image, "a cat"));
    io.to("nobody").emit("news", 7);

    let text = soon(client.next()).await.expect("the event").expect("a message");
    let json = r#"["image",{"_placeholder":true,"num":0},"a cat"]"#;
    assert_eq!(text, Message::text(format!("451-{json}")));
    let attachment = soon(client.next()).await.expect("its attachment").expect("a message");
    assert_eq!(attachment, Message::binary(image.clone()));
    let expected = [(json.to_owned(), vec![image]), (r#"["news",7]"#.to_owned(), Vec::new())];
    assert_eq!(*broadcasts.lock().expect("no panic"), expected);
}
