//! Values of the program whose destructor calls the server.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapter::{BroadcastOptions, EncodedEvent, JoinError, LocalSocket};
use tidewire_server::{Adapter, InMemoryAdapter, Room, Server, Socket, SocketId, State};

use crate::support::{Client, Joined, program, serve};

/// Calls a function of the program when it is dropped.
struct Last<F: Fn()>(F);

impl<F: Fn()> Drop for Last<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A handler that only holds a value.
fn holding<T: Send + Sync + 'static>(value: T) -> impl Fn() -> Ready<()> + Send + Sync + 'static {
    move || {
        let _ = &value;
        ready(())
    }
}

/// Fails the test instead of deadlocking.
fn without_a_lock(what: impl FnOnce() + Send + 'static) {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        what();
        sender.send(()).expect("the test waits");
    });
    done.recv_timeout(Duration::from_secs(10)).expect("it ends");
}

#[test]
fn handlers_that_are_replaced_may_register_others() {
    let io = Server::new();
    without_a_lock(move || {
        let last = {
            let io = io.clone();
            move || {
                let io = io.clone();
                Last(move || _ = io.on("other", async || {}))
            }
        };
        for _ in 0..2 {
            io.on("event", holding(last()));
            io.on_connection(holding(last()));
            io.on_disconnect(holding(last()));
            io.on_fallback(holding(last()));
        }
    });
}

#[tokio::test]
async fn what_a_socket_keeps_may_use_the_socket_when_it_is_replaced() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let _client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    without_a_lock(move || {
        for _ in 0..2 {
            let (one, other) = (socket.clone(), socket.clone());
            socket.on("event", holding(Last(move || other.set_extension(7_u32))));
            socket.set_extension(Last(move || one.set_extension(7_u32)));
        }
    });
}

#[test]
fn an_adapter_of_a_namespace_that_exists_already_may_look_for_namespaces_when_it_is_dropped() {
    static IO: OnceLock<Server> = OnceLock::new();
    static FIRST: AtomicBool = AtomicBool::new(true);
    let io = Server::builder().adapter(|name| {
        if name == "/chat" && FIRST.swap(false, Ordering::SeqCst) {
            // The constructor of this adapter creates the namespace itself.
            let _ = IO.get().expect("it is there").of(name);
        }
        Arc::new(Dropped(InMemoryAdapter::new()))
    });
    let io = IO.get_or_init(|| io.build());
    without_a_lock(|| assert_eq!(io.of("/chat").name(), "/chat"));

    struct Dropped(InMemoryAdapter);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = IO.get().expect("it is there").of("/chat");
        }
    }

    impl Adapter for Dropped {
        fn insert(&self, member: Arc<dyn LocalSocket>) {
            self.0.insert(member);
        }
        fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<(), JoinError> {
            self.0.add_all(id, rooms)
        }
        fn del(&self, id: &SocketId, room: &str) {
            self.0.del(id, room);
        }
        fn del_all(&self, id: &SocketId) {
            self.0.del_all(id);
        }
        fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize {
            self.0.broadcast(event, options)
        }
        fn local_socket(&self, id: &SocketId) -> Option<Arc<dyn LocalSocket>> {
            self.0.local_socket(id)
        }
        fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>> {
            self.0.local_sockets(options)
        }
        fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId> {
            self.0.sockets(options)
        }
        fn socket_rooms(&self, id: &SocketId) -> Vec<Room> {
            self.0.socket_rooms(id)
        }
        fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
            self.0.add_sockets(options, rooms);
        }
        fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
            self.0.del_sockets(options, rooms);
        }
        fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
            self.0.disconnect_sockets(options, close_connection);
        }
        fn server_count(&self) -> usize {
            self.0.server_count()
        }
    }
}
