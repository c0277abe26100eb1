//! A Socket.IO client in the process of its server.

mod builder;
mod connection;
mod receiving;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use client::{AckError, Arguments, DisconnectReason, EventStream, Socket, StreamEvent, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use server::{Server, SocketId};
use tokio::sync::watch;
use tokio::time::timeout;

pub use builder::Builder;
pub(crate) use builder::TIMEOUT;
use receiving::describe_event;
pub(crate) use receiving::now;

use crate::error::{ConnectError, Error, describe, excerpt};
use crate::link::Link;

/// The event of [`Client::sync`].
const SYNC_EVENT: &str = "tidewire-testing:sync";

/// Connects a client to the namespace `/` of a server, with the default settings of [`Client::builder`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use server as tidewire_server;
/// use tidewire_server::{Data, Reply, Server};
/// use tidewire_testing as testing;
///
/// let io = Server::new();
/// io.on("double", async |Data(number): Data<i32>| Reply(2 * number));
/// let mut alice = testing::connect(&io).await?;
/// assert_eq!(alice.emit_with_ack::<i32>("double", 21).await?, 42);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The server has refused the client, or has not accepted it within five seconds.
pub async fn connect(server: &Server) -> Result<Client, ConnectError> {
    Client::builder(server).connect().await
}

/// A Socket.IO client in the process of its server, for a test: the [real client](client::Client), and a queue of the
/// received events.
///
/// Each method that waits gives up after [`Builder::timeout`]. If the client is dropped, its connection is closed.
pub struct Client {
    server: Server,
    socket: Socket,
    events: EventStream,
    /// Events that have arrived and that the test has not received, in order.
    arrived: VecDeque<StreamEvent>,
    /// The reasons of all disconnects so far. Each comes after the events that were received before.
    disconnects: watch::Receiver<Vec<DisconnectReason>>,
    /// How many of them the test has been told.
    told: usize,
    /// How many of them came before the last connect.
    former: usize,
    link: Link,
    reconnects: bool,
    timeout: Duration,
}

impl Client {
    /// Returns a builder for a client of this server.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use serde_json::json;
    /// # use server as tidewire_server;
    /// use tidewire_server::Server;
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// io.of("/chat");
    /// let bob = testing::Client::builder(&io)
    ///     .namespace("/chat")
    ///     .auth(json!({ "token": "secret" }))
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(server: &Server) -> Builder {
        Builder::new(server)
    }

    fn new(
        server: Server,
        socket: Socket,
        events: EventStream,
        disconnects: watch::Receiver<Vec<DisconnectReason>>,
        link: Link,
        reconnects: bool,
        timeout: Duration,
    ) -> Self {
        let arrived = VecDeque::new();
        Self { server, socket, events, arrived, disconnects, told: 0, former: 0, link, reconnects, timeout }
    }

    /// Returns the id of the socket. Empty while the client is not connected.
    #[must_use]
    pub fn id(&self) -> String {
        self.socket.id().unwrap_or_default()
    }

    /// Returns the socket of the real client, for what has no method here.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Returns the server's socket of this client: to test functions that take a socket, and to look at its rooms and its
    /// data.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::{Server, Socket};
    /// use tidewire_testing as testing;
    ///
    /// fn greet(socket: &Socket, name: &str) {
    ///     socket.emit("greeting", format!("Hello, {name}!"));
    /// }
    ///
    /// let io = Server::new();
    /// let mut alice = testing::connect(&io).await?;
    /// greet(&alice.server_socket()?, "Alice");
    /// assert_eq!(alice.recv::<String>("greeting").await?, "Hello, Alice!");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The client is not connected, or the server has closed its socket.
    pub fn server_socket(&self) -> Result<server::Socket, Error> {
        let id = self.socket.id().and_then(|id| SocketId::parse(&id));
        let socket = id.and_then(|id| self.server.of(self.socket.namespace()).socket(&id));
        socket.ok_or_else(|| self.disconnected_error("the socket of the server"))
    }

    /// Returns the connection of this client, to cause faults.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Sends an event. A tuple is a list of arguments, as in [`Socket::emit`]. It does not wait for the handler:
    /// [`sync`](Self::sync) does.
    ///
    /// Cancel safe: if the future is dropped before it is ready, the event was not sent.
    ///
    /// # Errors
    /// The client is not connected and does not [reconnect](Builder::reconnection), the arguments cannot be encoded, or the
    /// send buffer stays full.
    pub async fn emit(&self, event: impl AsRef<str>, arguments: impl Serialize) -> Result<(), Error> {
        let (event, limit) = (event.as_ref(), self.timeout);
        let not_sent = |reason| Error::NotSent { what: format!("the event {event:?}"), reason };
        self.check_connected().map_err(not_sent)?;
        match timeout(limit, self.socket.emit_wait(event, arguments)).await {
            Ok(sent) => sent.map_err(|error| not_sent(error.to_string())),
            Err(_) => Err(not_sent(format!("the send buffer was full for {limit:?}"))),
        }
    }

    /// Sends an event, and waits for the acknowledgement of the server.
    ///
    /// # Errors
    /// No acknowledgement came in time, the connection has ended, the acknowledgement has another type, or the event could
    /// not be sent. If the handler of the server fails, its acknowledgement `{"error": …}` has another type, also than `()`.
    pub async fn emit_with_ack<R: DeserializeOwned>(
        &mut self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> Result<R, Error> {
        let event = event.as_ref();
        self.check_connected()
            .map_err(|reason| Error::NotSent { what: format!("the event {event:?}"), reason })?;
        let awaited = || format!("the acknowledgement of {event:?}");
        let ack = match timeout(self.timeout, self.socket.emit_with_ack::<()>(event, arguments).raw()).await {
            Ok(Ok(ack)) => ack,
            Err(_) | Ok(Err(AckError::Timeout)) => return Err(self.timed_out(awaited())),
            Ok(Err(AckError::Disconnected)) => return Err(self.disconnected_error(awaited())),
            Ok(Err(error)) => {
                return Err(Error::NotSent {
                    what: format!("the event {event:?}"),
                    reason: error.to_string(),
                });
            }
        };
        let wrong_type = |reason| {
            let received = excerpt(format!("[{}]", ack.json_elements()));
            Error::WrongType { awaited: awaited(), received, reason }
        };
        // Any acknowledgement fits `()`. A test that asks for it wants to know whether the handler has succeeded.
        if size_of::<R>() == 0 && is_failure(&ack) {
            return Err(wrong_type("the handler of the server failed".to_owned()));
        }
        ack.deserialize().map_err(|error| wrong_type(error.to_string()))
    }

    /// Waits until the handlers of all events that this client has sent have finished, and until everything has arrived that
    /// the server has sent to this client before.
    ///
    /// It makes a round trip through the queue of events that the server handles for this client, and does not sleep. It
    /// does not wait for handlers that are `concurrent`, for tasks that handlers have spawned, and for other clients.
    /// Listeners and middleware of events on the server see its event, `tidewire-testing:sync`. If a middleware refuses the
    /// event, this method works all the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::{Data, Server, Socket};
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// io.on("join", async |socket: Socket, Data(room): Data<String>| { socket.join(&room); });
    /// let mut alice = testing::connect(&io).await?;
    /// alice.emit("join", "sailing").await?;
    /// alice.sync().await?;
    /// io.to("sailing").emit("message", "ahoy");
    /// assert_eq!(alice.recv::<String>("message").await?, "ahoy");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A handler has not finished in time, or the connection has ended.
    pub async fn sync(&mut self) -> Result<(), Error> {
        const AWAITED: &str = "the end of the handlers of this client's events";
        // This handler answers an event of this socket only. It waits in the queue behind all earlier events.
        self.server_socket()?.on(SYNC_EVENT, async || {});
        match timeout(self.timeout, self.socket.emit_with_ack::<()>(SYNC_EVENT, ()).raw()).await {
            Ok(Ok(_)) => Ok(()),
            Err(_) | Ok(Err(AckError::Timeout)) => Err(self.timed_out(AWAITED.to_owned())),
            Ok(Err(AckError::Disconnected)) => Err(self.disconnected_error(AWAITED)),
            Ok(Err(error)) => {
                Err(Error::NotSent { what: "the request to sync".to_owned(), reason: error.to_string() })
            }
        }
    }

    /// Checks that no event has arrived that the test has not received. If the client is connected, [syncs](Self::sync)
    /// before, so that events that the server has sent already have arrived.
    ///
    /// It cannot know what other clients have caused. Sync those first:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::{Server, Socket};
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// io.on("shout", async |socket: Socket| socket.to("members").emit("shouted", ()));
    /// let mut alice = testing::connect(&io).await?;
    /// let mut bob = testing::connect(&io).await?;
    /// bob.emit("shout", ()).await?;
    /// bob.sync().await?;
    /// alice.expect_nothing().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// An event has arrived, or the client could not sync.
    pub async fn expect_nothing(&mut self) -> Result<(), Error> {
        if self.socket.is_connected() {
            self.sync().await?;
        }
        match self.describe_arrived() {
            arrived if arrived.is_empty() => Ok(()),
            arrived => Err(Error::Unexpected { arrived }),
        }
    }

    /// Returns why nothing can be sent, if the client stays disconnected.
    fn check_connected(&self) -> Result<(), String> {
        if self.reconnects || self.socket.is_connected() { Ok(()) } else { Err(self.reason()) }
    }

    fn reason(&self) -> String {
        let reason = self.disconnects.borrow().last().map(|reason| reason.as_str());
        reason.unwrap_or("the client is not connected").to_owned()
    }

    fn disconnected_error(&self, awaited: impl Into<String>) -> Error {
        let arrived = describe(&self.arrived, describe_event);
        Error::Disconnected { awaited: awaited.into(), reason: self.reason(), arrived }
    }

    fn timed_out(&mut self, awaited: String) -> Error {
        Error::TimedOut { awaited, timeout: self.timeout, arrived: self.describe_arrived() }
    }
}

/// Returns whether a handler has failed: its acknowledgement is an object with the member `error`, a text.
fn is_failure(ack: &Arguments<'_>) -> bool {
    let ack: Result<Value, _> = ack.deserialize();
    ack.is_ok_and(|ack| ack.get("error").and_then(Value::as_str).is_some())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.socket.namespace())
            .field("id", &self.socket.id())
            .field("arrived", &self.arrived.iter().map(describe_event).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
