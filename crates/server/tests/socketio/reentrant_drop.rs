//! Values of the program whose destructor calls the server.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tidewire_server::adapter::Host;
use tidewire_server::{Adapter, InMemoryAdapter, Server, Socket, State};

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
    let io = Server::builder().adapter(|name: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
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
        fn local(&self) -> &InMemoryAdapter {
            &self.0
        }
    }
}
