//! Namespaces whose handlers take events from a stream (`/stream`), overlap (`/concurrent`, `/limited`), fail when a client
//! connects (`/failing`), or send more than a client reads (`/slow`).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;
use tidewire_server::{Auth, Data, HandlerError, Namespace, Reply, Server, Socket, Value};
use tokio::sync::Semaphore;

pub(crate) fn register(io: &Server) {
    register_stream(&io.of("/stream"));
    let limited = io.of("/limited");
    limited.set_concurrency_limit(2);
    register_waiting(&limited, false);
    register_waiting(&io.of("/concurrent"), true);
    register_failing(&io.of("/failing"));
    register_slow(&io.of("/slow"));
}

/// Acknowledges each event with its number, its name and a list of its arguments. A socket whose stream has ended is
/// announced.
fn register_stream(namespace: &Namespace) {
    namespace.on_connection(async |socket: Socket, namespace: Namespace| {
        let mut events = socket.events();
        let mut number = 0;
        while let Some(event) = events.next().await {
            let name = event.name().to_owned();
            let values: Vec<Value> = event.arguments().deserialize_all()?;
            if event.is_ack_requested() {
                event.ack((number, name, values));
            }
            number += 1;
        }
        namespace.emit("ended", socket.id().to_string());
        Ok::<_, HandlerError>(())
    });
}

/// Handlers that wait until a client releases them. `is_concurrent` says that later events do not wait behind them.
fn register_waiting(namespace: &Namespace, is_concurrent: bool) {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let registration = namespace.on("wait", move |socket: Socket, Data(number): Data<u32>| {
        let gate = Arc::clone(&waiting);
        async move {
            socket.emit("begun", number);
            gate.acquire().await.expect("it is never closed").forget();
            socket.emit("finished", number);
            Reply(number)
        }
    });
    if is_concurrent {
        registration.concurrent();
    }
    namespace.on("release", move |Data(count): Data<usize>| {
        gate.add_permits(count);
        async {}
    });
}

/// Fails with `auth.fail`: an `Err` or a panic.
fn register_failing(namespace: &Namespace) {
    namespace.on_connection(async |Auth(auth): Auth<Json>| match auth["fail"].as_str() {
        Some("panic") => panic!("as the client wants it"),
        Some(_) => Err(HandlerError::new("as the client wants it")),
        None => Ok(()),
    });
    namespace.on("echo", async |Data(value): Data<Value>| Reply((value,)));
}

/// Sends many long events to clients that may not read them.
fn register_slow(namespace: &Namespace) {
    // The others learn when the socket has fallen behind.
    namespace.on("wait for capacity", async |socket: Socket, Data((count, bytes)): Data<(u32, Bytes)>| {
        let mut is_behind = false;
        for number in 0..count {
            socket
                .emit_wait("part", (number, &bytes))
                .await
                .map_err(|error| HandlerError::new(error.to_string()))?;
            if !is_behind && socket.buffered_amount() > 8 * 1024 * 1024 {
                is_behind = true;
                socket.broadcast().emit("behind", ());
            }
            tokio::task::yield_now().await;
        }
        Ok::<_, HandlerError>(())
    });
    namespace.on("fleeting", async |namespace: Namespace, Data((count, bytes)): Data<(u32, Bytes)>| {
        for number in 0..count {
            namespace.volatile().emit("fleeting", (number, &bytes));
            tokio::task::yield_now().await;
        }
        namespace.emit("ended", ());
    });
    namespace.on("ping", async || {});
}
