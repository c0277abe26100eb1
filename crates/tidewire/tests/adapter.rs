//! A custom adapter that uses only what this crate exports.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tidewire::server::Server;
use tidewire::server::adapter::{
    Adapter, BroadcastOptions, EncodedEvent, InMemoryAdapter, JoinError, LocalSocket, Room, SocketId,
};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// The JSON and the attachments of each broadcast.
type Broadcasts = Arc<Mutex<Vec<(String, Vec<Bytes>)>>>;

/// Records each broadcast, at the point where an adapter for several processes would send it to the others. Forwards
/// everything to the in-memory adapter.
#[derive(Default)]
struct Recording {
    local: InMemoryAdapter,
    broadcasts: Broadcasts,
}

impl Adapter for Recording {
    fn insert(&self, member: Arc<dyn LocalSocket>) {
        self.local.insert(member);
    }

    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<(), JoinError> {
        self.local.add_all(id, rooms)
    }

    fn del(&self, id: &SocketId, room: &str) {
        self.local.del(id, room);
    }

    fn del_all(&self, id: &SocketId) {
        self.local.del_all(id);
    }

    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize {
        let broadcast = (event.json().to_owned(), event.attachments().to_vec());
        self.broadcasts.lock().expect("no panic").push(broadcast);
        self.local.broadcast(event, options)
    }

    fn local_socket(&self, id: &SocketId) -> Option<Arc<dyn LocalSocket>> {
        self.local.local_socket(id)
    }

    fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>> {
        self.local.local_sockets(options)
    }

    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId> {
        self.local.sockets(options)
    }

    fn socket_rooms(&self, id: &SocketId) -> Vec<Room> {
        self.local.socket_rooms(id)
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.local.add_sockets(options, rooms);
    }

    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.local.del_sockets(options, rooms);
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        self.local.disconnect_sockets(options, close_connection);
    }

    fn server_count(&self) -> usize {
        self.local.server_count()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

#[tokio::test]
async fn a_broadcast_passes_through_the_adapter_of_the_program_with_its_json_and_attachments() {
    let broadcasts = Broadcasts::default();
    let recorded = Arc::clone(&broadcasts);
    let adapter = move |_: &str| -> Arc<dyn Adapter> {
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
