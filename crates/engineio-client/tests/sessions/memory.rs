//! The memory of clients that have nothing to do.

use std::sync::mpsc;
use std::task::Context;

use engineio::server::{SendError, Server, Socket};
use tidewire_engineio_client::{
    Closed, Connector, EngineHandler, Handshake, Message, Session, Time, Transport,
};

const CLIENTS: usize = 200;

/// Reports to the test what happens.
struct Counter(mpsc::Sender<Event>);

enum Event {
    Open,
    Upgrade,
}

impl EngineHandler for Counter {
    fn on_open(&mut self, _: &Handshake, _: Time, _: &mut Context<'_>) {
        let _ = self.0.send(Event::Open);
    }

    fn on_message(&mut self, _: Message<'_>, _: Time, _: &mut Context<'_>) {}

    fn on_close(&mut self, closed: Closed, _: Time, _: &mut Context<'_>) {
        panic!("{closed}");
    }

    fn on_upgrade(&mut self, _: Transport) {
        let _ = self.0.send(Event::Upgrade);
    }
}

/// Returns the URL of a server that runs on a thread of its own, so that its memory is not counted.
fn start_server() -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::new(async |mut socket: Socket| {
                while let Some(message) = socket.recv().await {
                    socket.send(message).await?;
                }
                Ok::<_, SendError>(())
            });
            let listener = server.bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            sender.send(format!("http://{address}")).expect("the test waits");
            server.serve(listener, std::future::pending()).await;
        });
    });
    receiver.recv().expect("the server starts")
}

/// Returns the bytes that each idle client holds, its task included.
fn bytes_per_client(url: &str, transports: &[Transport]) -> u64 {
    let connector = Connector::new(url).transports(transports);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connect = || -> Vec<Session> {
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel();
            let mut sessions = Vec::with_capacity(CLIENTS);
            for _ in 0..CLIENTS {
                let (session, driver) = connector.connect().expect("valid settings");
                let counter = Counter(sender.clone());
                tokio::spawn(async { driver.run(counter).await });
                sessions.push(session);
            }
            // The open packet, and the upgrade if there are two transports.
            let mut missing = transports.len() * CLIENTS;
            while missing > 0 {
                match receiver.try_recv() {
                    Ok(Event::Open | Event::Upgrade) => missing -= 1,
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                }
            }
            sessions
        })
    };
    // The first clients fill the caches of the thread.
    let warm = connect();
    let mut sessions = Vec::new();
    let memory = allocation_counter::measure(|| sessions = connect());
    drop((warm, sessions));
    u64::try_from(memory.bytes_current).expect("clients take memory") / CLIENTS as u64
}

#[test]
fn an_idle_client_holds_little_memory() {
    let url = start_server();
    for (transports, at_most) in [
        (&[Transport::WebSocket][..], 4 * 1024),
        (&[Transport::Polling, Transport::WebSocket], 4 * 1024),
        // Most of it are the buffers of hyper.
        (&[Transport::Polling], 40 * 1024),
    ] {
        let bytes = bytes_per_client(&url, transports);
        assert!(bytes <= at_most, "{transports:?}: {bytes} bytes");
    }
}
