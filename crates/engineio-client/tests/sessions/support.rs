//! A client whose handler reports to the test what happens, and our own server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use engineio::server::{CloseCause, SendError, Server, ServerBuilder, Socket};
use tidewire_engineio_client::{
    CloseReason, Closed, Connector, EngineHandler, Handshake, Message, Session, Time, Transport,
    TransportError,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Fails the test if `what` takes too long. The time is shorter than the default timers, which could wake a task that
/// should already be awake.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(8), what).await.expect("in time")
}

/// A timeout of a client that expires in a test. It is long enough for a slow machine, and less than that of [`soon`]. The
/// test pauses the clock when nothing but this timeout can happen any more.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Lets other tasks run until `condition` is true.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A call of the handler.
#[derive(Debug)]
pub(crate) enum Seen {
    Open(Handshake),
    Text(String),
    Binary(Vec<u8>),
    Upgrade(Transport),
    UpgradeError(TransportError),
    Closed(Closed),
}

/// A handler that passes everything to the test.
pub(crate) struct Reporter {
    seen: mpsc::UnboundedSender<Seen>,
    wants_input: Arc<AtomicBool>,
}

impl EngineHandler for Reporter {
    fn on_open(&mut self, handshake: &Handshake, _: Time, _: &mut Context<'_>) {
        let _ = self.seen.send(Seen::Open(handshake.clone()));
    }

    fn on_message(&mut self, message: Message<'_>, _: Time, _: &mut Context<'_>) {
        let _ = self.seen.send(match message {
            Message::Text(text) => Seen::Text(text.to_owned()),
            Message::Binary(data) => Seen::Binary(data.into_owned()),
        });
    }

    fn on_close(&mut self, closed: Closed, _: Time, _: &mut Context<'_>) {
        let _ = self.seen.send(Seen::Closed(closed));
    }

    fn on_upgrade(&mut self, transport: Transport) {
        let _ = self.seen.send(Seen::Upgrade(transport));
    }

    fn on_upgrade_error(&mut self, _: Transport, error: TransportError) {
        let _ = self.seen.send(Seen::UpgradeError(error));
    }

    fn wants_input(&self) -> bool {
        self.wants_input.load(Ordering::SeqCst)
    }
}

/// A client, whose driver runs in a task.
pub(crate) struct Client {
    pub(crate) session: Session,
    seen: mpsc::UnboundedReceiver<Seen>,
    wants_input: Arc<AtomicBool>,
    pub(crate) driver: JoinHandle<Reporter>,
}

impl Client {
    pub(crate) fn start(connector: &Connector) -> Self {
        let (session, driver) = connector.connect().expect("valid settings");
        let (sender, seen) = mpsc::unbounded_channel();
        let wants_input = Arc::new(AtomicBool::new(true));
        let reporter = Reporter { seen: sender, wants_input: Arc::clone(&wants_input) };
        Self { session, seen, wants_input, driver: tokio::spawn(driver.run(reporter)) }
    }

    /// Starts a client and waits until its session is open.
    pub(crate) async fn open(connector: &Connector) -> Self {
        let mut client = Self::start(connector);
        client.opened().await;
        client
    }

    pub(crate) fn want_input(&self, wanted: bool) {
        self.wants_input.store(wanted, Ordering::SeqCst);
        self.session.wake();
    }

    pub(crate) async fn next(&mut self) -> Seen {
        soon(self.seen.recv()).await.expect("the handler still exists")
    }

    pub(crate) fn try_next(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    pub(crate) async fn opened(&mut self) -> Handshake {
        match self.next().await {
            Seen::Open(handshake) => handshake,
            other => panic!("{other:?} before the session is open"),
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Seen::Text(text) => text,
            other => panic!("{other:?} instead of a text"),
        }
    }

    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.next().await {
            Seen::Binary(data) => data,
            other => panic!("{other:?} instead of bytes"),
        }
    }

    pub(crate) async fn upgraded(&mut self) {
        match self.next().await {
            Seen::Upgrade(transport) => assert_eq!(transport, Transport::WebSocket),
            other => panic!("{other:?} instead of the upgrade"),
        }
    }

    pub(crate) async fn upgrade_error(&mut self) -> String {
        match self.next().await {
            Seen::UpgradeError(error) => error.to_string(),
            other => panic!("{other:?} instead of a failed upgrade"),
        }
    }

    /// Returns how the session ends, and what its error says. Ignores what comes before.
    pub(crate) async fn closed(&mut self) -> (CloseReason, String) {
        loop {
            if let Seen::Closed(closed) = self.next().await {
                assert!(self.session.is_closed());
                return (closed.reason, closed.error.map(|error| error.to_string()).unwrap_or_default());
            }
        }
    }

    /// Waits until the driver is done. Nothing comes after the end of the session.
    pub(crate) async fn done(mut self) {
        let reporter = soon(self.driver).await.expect("the driver does not panic");
        drop(reporter);
        while let Some(seen) = self.seen.recv().await {
            if let Seen::Closed(_) = seen {
                assert!(self.seen.recv().await.is_none(), "the handler was called after the end");
            }
        }
    }
}

/// Our own server. Each session gets back what it sends. The text `close` closes it.
pub(crate) struct EchoServer {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    causes: mpsc::UnboundedReceiver<CloseCause>,
}

impl EchoServer {
    pub(crate) async fn start() -> Self {
        Self::with(Server::builder()).await
    }

    pub(crate) async fn with(builder: ServerBuilder) -> Self {
        let (sender, causes) = mpsc::unbounded_channel();
        let server = builder.build(move |socket: Socket| {
            let sender = sender.clone();
            async move {
                let mut socket = socket;
                let result = echo(&mut socket).await;
                let _ = sender.send(socket.closed().await);
                result
            }
        });
        let listener = server.bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        Self { address, server, causes }
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(&format!("http://{}", self.address))
    }

    /// Returns how the next session ends.
    pub(crate) async fn close_reason(&mut self) -> CloseReason {
        soon(self.causes.recv()).await.expect("the server runs").reason()
    }
}

async fn echo(socket: &mut Socket) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        if message.as_text() == Some("close") {
            socket.close();
        } else {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) const POLLING: [Transport; 1] = [Transport::Polling];
pub(crate) const WEBSOCKET: [Transport; 1] = [Transport::WebSocket];
