//! The send methods that [`WebSocket`](crate::WebSocket) and [`Sender`](crate::Sender) have in common.

/// Defines the send methods in the `impl` of a type with a method `connection`. With `send_methods!(mut)`, they take
/// `&mut self`.
///
/// This is a macro, because each type needs inherent methods. A shared type behind `Deref` does not work, because
/// methods of traits in scope take precedence over its methods. In a program that imports `SinkExt`, `socket.send(..)`
/// would then silently flush after every message.
macro_rules! send_methods {
    ($($mutable:tt)?) => {
        /// Sends a message. The call only queues it, and there is nothing to flush. When a handler next waits for
        /// something, all messages that it has sent are written together. A message from any other task is written as
        /// soon as the connection's task runs. If a handler sends much without waiting, its messages are written
        /// earlier: once 64 KiB are queued, or 256 KiB if the messages are long (16 KiB or more).
        ///
        /// Waits while the queue is full, see [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size),
        /// and until all calls that began to wait earlier have sent their messages.
        ///
        /// Cancel safe: if the call is dropped while it waits, the message is not sent. A message is never sent in
        /// part.
        ///
        /// # Errors
        /// The connection is closing or has ended.
        pub async fn send(&$($mutable)? self, message: impl Into<Message>) -> Result<(), SendError> {
            let mut message = message.into();
            let sent = self.connection().push(|state| state.push(&mut message, true)).await;
            sent.map_err(|()| SendError(message))
        }

        /// Sends a message like [`send`](Self::send), without compression. Use it for data that is compressed already,
        /// and for messages that contain both a secret and text that another party controls. Cancel safe.
        ///
        /// # Errors
        /// The connection is closing or has ended.
        pub async fn send_uncompressed(
            &$($mutable)? self,
            message: impl Into<Message>,
        ) -> Result<(), SendError> {
            let mut message = message.into();
            let sent = self.connection().push(|state| state.push(&mut message, false)).await;
            sent.map_err(|()| SendError(message))
        }

        /// Sends a message like [`send`](Self::send), without encoding or compressing it again for this connection. Use
        /// it to send one message on many connections. Cancel safe.
        ///
        /// # Errors
        /// The connection is closing or has ended.
        pub async fn send_prepared(&$($mutable)? self, message: &PreparedMessage) -> Result<(), SendError> {
            let sent = self.connection().push(|state| state.push_prepared(message)).await;
            sent.map_err(|()| SendError(message.message().clone()))
        }

        /// Sends a message like [`send`](Self::send), but fails instead of waiting. If there is capacity, the message
        /// is sent ahead of the calls that wait. The call fails while another message is being sent piece by
        /// piece.
        ///
        /// # Errors
        /// The write buffer is full, or the connection is closing or has ended.
        pub fn try_send(&$($mutable)? self, message: impl Into<Message>) -> Result<(), TrySendError> {
            self.connection().try_send(message.into(), true)
        }

        /// Sends a message like [`send_uncompressed`](Self::send_uncompressed), but fails instead of waiting, as
        /// [`try_send`](Self::try_send) does.
        ///
        /// # Errors
        /// The write buffer is full, or the connection is closing or has ended.
        pub fn try_send_uncompressed(
            &$($mutable)? self,
            message: impl Into<Message>,
        ) -> Result<(), TrySendError> {
            self.connection().try_send(message.into(), false)
        }

        /// Sends a message like [`send_prepared`](Self::send_prepared), but fails instead of waiting, as
        /// [`try_send`](Self::try_send) does.
        ///
        /// # Errors
        /// The write buffer is full, or the connection is closing or has ended.
        pub fn try_send_prepared(
            &$($mutable)? self,
            message: &PreparedMessage,
        ) -> Result<(), TrySendError> {
            self.connection().try_send_prepared(message)
        }

        /// Begins a text message that is sent piece by piece, see [`MessageWriter`]. Other senders wait until it is
        /// complete.
        pub fn begin_text(&mut self) -> MessageWriter<'_, Text> {
            MessageWriter::text(self.connection())
        }

        /// Begins a binary message that is sent piece by piece, see [`MessageWriter`]. Other senders wait until it is
        /// complete.
        pub fn begin_binary(&mut self) -> MessageWriter<'_, Bytes> {
            MessageWriter::binary(self.connection())
        }

        /// Returns the number of bytes that all handles of this connection have sent and the kernel has not accepted
        /// yet.
        #[must_use]
        pub fn buffered_amount(&self) -> usize {
            self.connection().buffered()
        }
    };
}

pub(super) use send_methods;
