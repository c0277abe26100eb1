//! The settings of a client.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use client::{Client as RealClient, Limits, Transport};
use serde::Serialize;
use serde_json::Value;
use server::{HttpService, Server};
use tokio::sync::watch;

use super::Client;
use crate::error::ConnectError;
use crate::link::Link;
use crate::serve::{Serve, serve};

/// The default of [`Builder::timeout`].
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

type Configure = Box<dyn FnOnce(client::Builder) -> client::Builder + Send>;

/// Configures a [`Client`], see [`Client::builder`].
#[must_use = "the client does not exist until you call `connect`"]
pub struct Builder {
    server: Server,
    serve: Serve,
    namespace: String,
    auth: Option<Value>,
    reconnection: bool,
    timeout: Duration,
    configure: Configure,
}

impl Builder {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            server: server.clone(),
            serve: serve(server.service()),
            namespace: "/".to_owned(),
            auth: None,
            reconnection: false,
            timeout: TIMEOUT,
            configure: Box::new(|builder| builder),
        }
    }

    /// Sets the namespace. Default: `/`.
    pub fn namespace(mut self, namespace: impl AsRef<str>) -> Self {
        self.namespace = format!("/{}", namespace.as_ref().trim_start_matches('/'));
        self
    }

    /// Sets the credentials, which must serialize as an object. The extractor `Auth` of the server reads them. Default:
    /// none.
    ///
    /// # Panics
    /// Panics if the credentials cannot be serialized.
    pub fn auth(mut self, auth: impl Serialize) -> Self {
        self.auth = Some(serde_json::to_value(auth).expect("the credentials serialize as JSON"));
        self
    }

    /// Sends the requests to this service, which contains [`Server::service`] or [`Server::layer`]: an axum router, or
    /// tower layers around the server. Default: [`Server::service`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::Server;
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// let app = axum::Router::new().layer(io.layer());
    /// let alice = testing::Client::builder(&io).service(app).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn service(mut self, service: impl HttpService) -> Self {
        self.serve = serve(service);
        self
    }

    /// Sets whether the client reconnects by itself when its connection is lost, with the delays of a real client. Default:
    /// `false`; [`Client::reconnect`] connects again when the test says so.
    pub fn reconnection(mut self, reconnection: bool) -> Self {
        self.reconnection = reconnection;
        self
    }

    /// Sets how long each method of the client waits. After that, it returns an error. Default: 5 seconds.
    ///
    /// The time follows the clock of Tokio. On a paused clock, the client waits only as long as tasks have something to do,
    /// and then the clock jumps to the next timer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Changes other settings of the [real client](client::Builder): headers, transports, the parser, handlers of events.
    ///
    /// Two settings differ from those of a real client: it uses WebSocket only, so that a test has one connection; and it
    /// keeps all events that the test does not receive. The test client sets the handler `on_disconnect`, and what has a
    /// method here.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// # use client as tidewire_client;
    /// use tidewire_client::{Data, Reply, Transport};
    /// use tidewire_server::Server;
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// let alice = testing::Client::builder(&io)
    ///     .configure(|client| {
    ///         client
    ///             .transports([Transport::Polling])
    ///             .extra_header("x-forwarded-for", "203.0.113.7")
    ///             .on("question", async |Data(text): Data<String>| Reply(format!("{text} I do not know")))
    ///     })
    ///     .connect()
    ///     .await?;
    /// let answer: String = alice.server_socket()?.emit_with_ack("question", "Why?").await?;
    /// assert_eq!(answer, "Why? I do not know");
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure(
        mut self,
        configure: impl FnOnce(client::Builder) -> client::Builder + Send + 'static,
    ) -> Self {
        let earlier = self.configure;
        self.configure = Box::new(|builder| configure(earlier(builder)));
        self
    }

    /// Connects, and waits until the server has accepted the client. The handler `on_connection` may still run; the
    /// [events](Client::recv) that it sends arrive.
    ///
    /// Not cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// The server has refused the client, or has not accepted it in time.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let Self { server, serve, namespace, auth, reconnection, timeout, configure } = self;
        let link = Link::new();
        let (disconnected, disconnects) = watch::channel(Vec::new());
        let dial = {
            let link = link.clone();
            move || ready(link.open(&serve))
        };
        let limits = Limits { max_stream_bytes: usize::MAX, ..Limits::default() };
        let builder = RealClient::builder(format!("http://localhost{namespace}"))
            .transports([Transport::WebSocket])
            .limits(limits)
            .dial_with(dial);
        let mut builder = configure(builder);
        if let Some(auth) = auth {
            builder = builder.auth(auth);
        }
        // The events and the disconnects have a receiver before the first of them can arrive.
        let socket = builder.reconnection(reconnection).auto_connect(false).connect();
        let events = socket.events();
        socket.on_disconnect(move |reason: client::DisconnectReason| {
            disconnected.send_modify(|disconnects| disconnects.push(reason));
            ready(())
        });
        let mut client = Client::new(server, socket, events, disconnects, link, reconnection, timeout);
        client.connect_socket().await?;
        Ok(client)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("namespace", &self.namespace)
            .field("reconnection", &self.reconnection)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
