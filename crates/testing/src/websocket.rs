//! A WebSocket client in the process of its server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use serde::de::DeserializeOwned;
use server::{HttpService, Incoming};
use tokio::time::timeout;
use tower::service_fn;
use ws::{CloseCause, CloseFrame, Connector, Handler, Message, TrustedProxies};

use crate::client::{TIMEOUT, now};
use crate::error::{ConnectError, Error, describe, excerpt};
use crate::link::Link;
use crate::serve::{Serve, serve};

/// Connects to a handler of WebSockets, with the default settings of [`WebSocket::builder`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ws as tidewire_ws;
/// use tidewire_testing as testing;
/// use tidewire_ws::{SendError, WebSocket};
///
/// async fn echo(mut socket: WebSocket) -> Result<(), SendError> {
///     while let Some(message) = socket.recv().await {
///         socket.send(message).await?;
///     }
///     Ok(())
/// }
///
/// let mut socket = testing::websocket(echo).await?;
/// socket.send("hello").await?;
/// assert_eq!(socket.recv_text().await?, "hello");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The connection could not be opened within five seconds.
pub async fn websocket<H, M>(handler: H) -> Result<WebSocket, ConnectError>
where
    H: Handler<M>,
{
    WebSocket::builder(handler).connect().await
}

/// A WebSocket client in the process of its server, for a test: the real [`ws::WebSocket`], and a queue of the received
/// messages.
///
/// Each method that waits gives up after [`WebSocketBuilder::timeout`]. As with the real client, pings and the close of the
/// server are handled while a method waits for the server. If it is dropped, the connection is closed with code 1000.
pub struct WebSocket {
    socket: ws::WebSocket,
    /// Messages that have arrived and that the test has not received, in order.
    arrived: VecDeque<Message>,
    link: Link,
    timeout: Duration,
}

/// Configures a [`WebSocket`], see [`WebSocket::builder`].
#[must_use = "there is no connection until you call `connect`"]
pub struct WebSocketBuilder {
    serve: Serve,
    connector: Connector,
    timeout: Duration,
}

impl WebSocketBuilder {
    fn new(serve: Serve) -> Self {
        Self { serve, connector: Connector::new("ws://localhost/"), timeout: TIMEOUT }
    }

    /// Sets the path and the query of the request. Default: `/`.
    pub fn path(mut self, path: impl AsRef<str>) -> Self {
        let path = path.as_ref();
        self.connector = self.connector.url(format!("ws://localhost/{}", path.trim_start_matches('/')));
        self
    }

    /// Sets how long each method of the WebSocket waits. After that, it returns an error. Default: 5 seconds of the clock of
    /// Tokio.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Changes other settings of the [real client](Connector): headers, subprotocols, compression, limits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use ws as tidewire_ws;
    /// use tidewire_testing as testing;
    /// use tidewire_ws::{WebSocket, http::Request};
    ///
    /// let handler = async |mut socket: WebSocket, request: Request<()>| {
    ///     let _ = socket.send(format!("{:?}", request.headers()["x-user"])).await;
    /// };
    /// let mut socket = testing::WebSocket::builder(handler)
    ///     .configure(|connector| connector.header("x-user", "alice"))
    ///     .connect()
    ///     .await?;
    /// assert_eq!(socket.recv_text().await?, "\"alice\"");
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure(mut self, configure: impl FnOnce(Connector) -> Connector) -> Self {
        self.connector = configure(self.connector);
        self
    }

    /// Opens the connection. Not cancel safe: dropping the future closes it.
    ///
    /// # Errors
    /// The server has refused the handshake, or has not accepted it in time.
    pub async fn connect(self) -> Result<WebSocket, ConnectError> {
        let Self { serve, connector, timeout: limit } = self;
        let link = Link::new();
        let stream = link.open(&serve).expect("a new link has no fault");
        let connected = timeout(limit, connector.connect_over(stream)).await;
        let socket = connected.map_err(|_| ConnectError::TimedOut(limit))??;
        Ok(WebSocket { socket, arrived: VecDeque::new(), link, timeout: limit })
    }
}

impl fmt::Debug for WebSocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketBuilder")
            .field("connector", &self.connector)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Returns a builder for a connection to this handler, which is called as [`ws::listen`] calls it: for every path, and
    /// with the default settings.
    pub fn builder<H, M>(handler: H) -> WebSocketBuilder
    where
        H: Handler<M>,
    {
        WebSocketBuilder::new(serve(service_fn(move |request| {
            ready(Ok::<_, Infallible>(respond(request, handler.clone())))
        })))
    }

    /// Returns a builder for a connection to a tower service that accepts WebSockets, for instance an axum router.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::extract::Request;
    /// use axum::response::Response;
    /// use axum::routing::get;
    /// # use ws as tidewire_ws;
    /// use tidewire_testing as testing;
    /// use tidewire_ws::WebSocket;
    ///
    /// async fn greet(mut request: Request) -> Response<String> {
    ///     match tidewire_ws::upgrade(&mut request) {
    ///         Ok(upgrade) => upgrade.on_upgrade(async |mut socket: WebSocket| {
    ///             let _ = socket.send("hello").await;
    ///         }),
    ///         Err(error) => error.response(),
    ///     }
    /// }
    ///
    /// let app = axum::Router::new().route("/greet", get(greet));
    /// let mut socket = testing::WebSocket::builder_for_service(app).path("/greet").connect().await?;
    /// assert_eq!(socket.recv_text().await?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder_for_service(service: impl HttpService) -> WebSocketBuilder {
        WebSocketBuilder::new(serve(service))
    }

    /// Returns the subprotocol that the server has selected, if any.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.socket.protocol()
    }

    /// Returns the connection of this client, to cause faults.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Sends a message. Waits while the write buffer is full. Not cancel safe: if the future is dropped, the message may or
    /// may not have been sent.
    ///
    /// # Errors
    /// The connection has ended, or the write buffer stays full.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let not_sent = |reason| Error::NotSent { what: "the message".to_owned(), reason };
        match timeout(self.timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(not_sent(self.reason())),
            Err(_) => Err(not_sent(format!("the write buffer was full for {:?}", self.timeout))),
        }
    }

    /// Waits for the next message. Cancel safe: if the future is dropped, no message is lost.
    ///
    /// # Errors
    /// No message came in time, or the connection has ended.
    pub async fn recv(&mut self) -> Result<Message, Error> {
        let awaited = || "a message".to_owned();
        if let Some(message) = self.arrived.pop_front() {
            return Ok(message);
        }
        match timeout(self.timeout, self.socket.recv()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.disconnected_error(awaited())),
            Err(_) => Err(self.timed_out(awaited())),
        }
    }

    /// Waits for the next message, which must be a text. Cancel safe.
    ///
    /// # Errors
    /// No message came in time, it is binary, or the connection has ended.
    pub async fn recv_text(&mut self) -> Result<String, Error> {
        let message = self.recv().await?;
        message.as_text().map(str::to_owned).ok_or_else(|| Error::WrongType {
            awaited: "the message".to_owned(),
            received: describe_message(&message),
            reason: "it is not a text".to_owned(),
        })
    }

    /// Waits for the next message, and deserializes its JSON. Cancel safe.
    ///
    /// # Errors
    /// No message came in time, it is not JSON of this type, or the connection has ended.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let message = self.recv().await?;
        serde_json::from_slice(message.as_bytes()).map_err(|error| Error::WrongType {
            awaited: "the message".to_owned(),
            received: describe_message(&message),
            reason: error.to_string(),
        })
    }

    /// Returns the next message that has arrived, without waiting. A message that the server has just sent may not have
    /// arrived: call [`sync`](Self::sync) before.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.take_arrived();
        self.arrived.pop_front()
    }

    /// Waits until the handler has received all messages of this client and waits for the next one, and until everything has
    /// arrived that it has sent before. It makes a round trip with a Ping, and does not sleep.
    ///
    /// # Errors
    /// The handler does not receive in time, or the connection has ended.
    pub async fn sync(&mut self) -> Result<(), Error> {
        let sender = self.socket.sender();
        let ponged = async {
            let mut ping = pin!(sender.ping());
            loop {
                tokio::select! {
                    biased;
                    // The Pong is received in `recv`, after all earlier messages.
                    message = self.socket.recv() => self.arrived.push_back(message?),
                    pong = &mut ping => return pong.ok(),
                }
            }
        };
        let awaited = || "the Pong, which follows when the handler receives,".to_owned();
        match timeout(self.timeout, ponged).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.disconnected_error(awaited())),
            Err(_) => Err(self.timed_out(awaited())),
        }
    }

    /// Checks that no message has arrived that the test has not received. [Syncs](Self::sync) before, if the connection is
    /// open.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use ws as tidewire_ws;
    /// use tidewire_testing as testing;
    /// use tidewire_ws::WebSocket;
    ///
    /// let silent = async |mut socket: WebSocket| while socket.recv().await.is_some() {};
    /// let mut socket = testing::websocket(silent).await?;
    /// socket.send("hello").await?;
    /// socket.expect_nothing().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A message has arrived, or the client could not sync.
    pub async fn expect_nothing(&mut self) -> Result<(), Error> {
        if self.socket.close_cause().is_none() {
            self.sync().await?;
        }
        match self.describe_arrived() {
            arrived if arrived.is_empty() => Ok(()),
            arrived => Err(Error::Unexpected { arrived }),
        }
    }

    /// Closes the connection, and waits for the response of the server. Returns how the connection ended.
    ///
    /// # Errors
    /// The connection has not ended in time.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> Result<CloseCause, Error> {
        match timeout(self.timeout, self.socket.close(frame)).await {
            Ok(cause) => Ok(cause),
            Err(_) => Err(self.timed_out("the end of the connection".to_owned())),
        }
    }

    /// Waits until the connection has ended, and returns how. The messages that arrive before it are kept. Cancel safe.
    ///
    /// # Errors
    /// The connection has not ended in time.
    pub async fn closed(&mut self) -> Result<CloseCause, Error> {
        let closed = async {
            while let Some(message) = self.socket.recv().await {
                self.arrived.push_back(message);
            }
        };
        let waited = timeout(self.timeout, closed).await;
        match (waited, self.socket.close_cause()) {
            (Ok(()), Some(cause)) => Ok(cause),
            _ => Err(self.timed_out("the end of the connection".to_owned())),
        }
    }

    /// Takes what the real client has received, without waiting.
    fn take_arrived(&mut self) {
        while let Some(Some(message)) = now(self.socket.recv()) {
            self.arrived.push_back(message);
        }
    }

    fn describe_arrived(&mut self) -> Vec<String> {
        self.take_arrived();
        describe(&self.arrived, describe_message)
    }

    fn reason(&self) -> String {
        self.socket.close_cause().map_or_else(|| "it is closing".to_owned(), |cause| cause.to_string())
    }

    fn disconnected_error(&mut self, awaited: String) -> Error {
        Error::Disconnected { awaited, reason: self.reason(), arrived: self.describe_arrived() }
    }

    fn timed_out(&mut self, awaited: String) -> Error {
        Error::TimedOut { awaited, timeout: self.timeout, arrived: self.describe_arrived() }
    }
}

/// Accepts the handshake of a request.
fn respond<H, M>(mut request: Request<Incoming>, handler: H) -> Response<String>
where
    H: Handler<M>,
{
    let upgrade = match ws::upgrade(&mut request) {
        Ok(upgrade) => upgrade,
        Err(error) => return error.response(),
    };
    let mut head = request.into_parts().0;
    TrustedProxies::default().insert_client_address(&mut head);
    upgrade.on_upgrade(move |socket: ws::WebSocket| handler.call(socket, Request::from_parts(head, ())))
}

fn describe_message(message: &Message) -> String {
    excerpt(message.as_text().map_or_else(|| format!("{message:?}"), |text| format!("{text:?}")))
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("socket", &self.socket)
            .field("arrived", &self.arrived)
            .finish_non_exhaustive()
    }
}
