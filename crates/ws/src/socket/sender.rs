//! The half that sends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ws_proto::CloseFrame;

use crate::connection::Connection;
use crate::connection::flush_position::FlushPosition;
use crate::error::{CloseCause, PingError, SendError, TrySendError};
use crate::message::{Message, PreparedMessage, Text};
use crate::socket::MessageWriter;
use crate::socket::send_methods::send_methods;

/// Sends on a connection, from wherever it is: from [`WebSocket::sender`](crate::WebSocket::sender) or
/// [`WebSocket::split`](crate::WebSocket::split). A clone costs a reference count, and sends on the same connection.
///
/// What one sender sends keeps its order, and comes as a whole before or behind what others send. All of them share one
/// queue and its limit, [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size). Those who wait for room are served in the
/// order in which they came.
///
/// It does not keep the connection open: that closes when its [`WebSocket`](crate::WebSocket) or
/// [`Receiver`](crate::Receiver) is dropped, and then a send fails. Dropping senders closes nothing.
///
/// ```
/// use tidewire_ws::{Message, Sender, WebSocket};
/// use tokio::sync::Mutex;
///
/// static ROOM: Mutex<Vec<Sender>> = Mutex::const_new(Vec::new());
///
/// async fn chat(mut socket: WebSocket) {
///     ROOM.lock().await.push(socket.sender());
///     while let Some(message) = socket.recv().await {
///         // Who has gone, and who reads too slowly, leaves the room.
///         ROOM.lock().await.retain(|member| member.try_send(message.clone()).is_ok());
///     }
/// }
/// ```
pub struct Sender {
    connection: Arc<Connection>,
    flush_position: FlushPosition,
}

impl Sender {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, flush_position: FlushPosition::default() }
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What its `Sink` is made of.
    pub(crate) fn sink(&mut self) -> (&Connection, &mut FlushPosition) {
        (&self.connection, &mut self.flush_position)
    }

    send_methods!();

    /// Sends a Ping and waits for its Pong: how long the way there and back takes at the moment, what waits to be written
    /// included.
    ///
    /// The answer is seen only while somebody receives, so this is for another task, or for a `select!` beside
    /// [`recv`](crate::WebSocket::recv):
    ///
    /// ```
    /// # use tidewire_ws::WebSocket;
    /// # async fn run(socket: WebSocket) {
    /// let (sender, mut receiver) = socket.split();
    /// tokio::spawn(async move {
    ///     while let Ok(round_trip) = sender.ping().await {
    ///         println!("{round_trip:?}");
    ///         tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    ///     }
    /// });
    /// while let Some(message) = receiver.recv().await {}
    /// # }
    /// ```
    ///
    /// Pings of several tasks, and those that are sent by themselves, do not mix. Cancel safe: a late answer is ignored.
    ///
    /// # Errors
    /// No answer came within [`Limits::idle_timeout`](crate::Limits::idle_timeout), or the connection has ended.
    pub async fn ping(&self) -> Result<Duration, PingError> {
        self.connection.ping().await
    }

    /// Closes the connection for all who share it, see [`WebSocket::close`](crate::WebSocket::close).
    ///
    /// Cancel safe: the close goes on without the call.
    pub async fn close(&self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection.close(frame.into()).await
    }

    /// Waits until the connection has ended, and says how. It is found out by whoever receives, or writes to a peer that
    /// is gone. Cancel safe.
    pub async fn closed(&self) -> CloseCause {
        self.connection.closed().await
    }

    /// How the connection ended; `None` while it has not.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.connection.close_cause()
    }

    /// Whether both send on the same connection.
    #[must_use]
    pub fn same_connection(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connection, &other.connection)
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.connection))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("buffered", &self.buffered_amount())
            .field("closed", &self.close_cause())
            .finish()
    }
}
