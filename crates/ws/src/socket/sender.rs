//! The sending half.

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

/// Sends on a connection from any task. Create it with [`WebSocket::sender`](crate::WebSocket::sender) or
/// [`WebSocket::split`](crate::WebSocket::split). Cloning it only increments a reference count. The clone sends on the
/// same connection.
///
/// The messages of one sender keep their order, and are never interleaved with messages of other senders. All senders
/// of a connection share one queue and its limit,
/// [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size). Senders that wait for capacity get it in
/// the order in which they began to wait.
///
/// A sender does not keep the connection open. The connection closes when its [`WebSocket`](crate::WebSocket) or
/// [`Receiver`](crate::Receiver) is dropped; after that, sending fails. Dropping senders does not close the connection.
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
///         // Removes members that have disconnected or read too slowly.
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

    /// Returns the connection and the flush position, for the `Sink` implementation.
    pub(crate) fn sink(&mut self) -> (&Connection, &mut FlushPosition) {
        (&self.connection, &mut self.flush_position)
    }

    send_methods!();

    /// Sends a Ping, waits for its Pong, and returns the round-trip time. This time includes the time that bytes wait
    /// in the write buffer.
    ///
    /// The Pong is received only while a task is in [`recv`](crate::WebSocket::recv). Call this method from another
    /// task, or in a `select!` with `recv`:
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
    /// Pings of several tasks and the automatic Pings are told apart by their payloads. Cancel safe: a late Pong is
    /// ignored.
    ///
    /// # Errors
    /// No Pong came within [`Limits::idle_timeout`](crate::Limits::idle_timeout), the connection has ended, or the
    /// operating system returned no random bytes.
    pub async fn ping(&self) -> Result<Duration, PingError> {
        self.connection.ping().await
    }

    /// Closes the connection for all its handles, see [`WebSocket::close`](crate::WebSocket::close).
    ///
    /// Cancel safe: closing continues if the call is dropped.
    pub async fn close(&self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection.close(frame.into()).await
    }

    /// Waits until the connection has ended, and returns how it ended. The end is detected only while a task receives,
    /// or when a write fails. Cancel safe.
    pub async fn closed(&self) -> CloseCause {
        self.connection.closed().await
    }

    /// Returns how the connection ended, or `None` if it has not ended.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.connection.close_cause()
    }

    /// Returns `true` if both senders send on the same connection.
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
