//! The methods that send, which [`WebSocket`](crate::WebSocket) and [`Sender`](crate::Sender) have in common.

/// Defines them in the `impl` of a type with a method `connection`; `send_methods!(mut)` takes `&mut self`.
///
/// It is a macro because both types need methods of their own. A type behind `Deref` that both share does not do: the methods
/// of traits in scope would come before its methods, so in a program that imports `SinkExt`, `socket.send(..)` would silently
/// flush after every message.
macro_rules! send_methods {
    ($($mutable:tt)?) => {
        /// Sends a message: it is queued, and leaves together with all else that waits, when the handler next waits for
        /// something; sent from another task, it leaves at once. (Beyond 64 KiB, or 256 KiB of long messages, it begins to
        /// leave while the handler is running.) There is nothing to flush.
        ///
        /// Waits while more than [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) bytes wait to be written, and behind
        /// calls that wait already. Cancel safe: a message is sent whole or not at all, and a dropped call that was waiting
        /// has not sent it.
        ///
        /// # Errors
        /// The connection is closing or has ended.
        pub async fn send(&$($mutable)? self, message: impl Into<Message>) -> Result<(), SendError> {
            let mut message = message.into();
            let sent = self.connection().push(|state| state.push(&mut message, true)).await;
            sent.map_err(|()| SendError(message))
        }

        /// [`send`](Self::send) without compressing, where it was agreed to compress: for what is compressed already, and
        /// for secrets beside text of others. Cancel safe.
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

        /// [`send`](Self::send) for a message that many connections send: it is not encoded or compressed again. Cancel
        /// safe.
        ///
        /// # Errors
        /// The connection is closing or has ended.
        pub async fn send_prepared(&$($mutable)? self, message: &PreparedMessage) -> Result<(), SendError> {
            let sent = self.connection().push(|state| state.push_prepared(message)).await;
            sent.map_err(|()| SendError(message.message().clone()))
        }

        /// [`send`](Self::send) without waiting. It does not stand in line behind calls that wait: where there is room, it
        /// takes it, unless a message is being sent piece by piece.
        ///
        /// # Errors
        /// There is no room, or the connection is closing or has ended.
        pub fn try_send(&$($mutable)? self, message: impl Into<Message>) -> Result<(), TrySendError> {
            self.connection().try_send(message.into(), true)
        }

        /// [`send_uncompressed`](Self::send_uncompressed) without waiting, as [`try_send`](Self::try_send).
        ///
        /// # Errors
        /// There is no room, or the connection is closing or has ended.
        pub fn try_send_uncompressed(
            &$($mutable)? self,
            message: impl Into<Message>,
        ) -> Result<(), TrySendError> {
            self.connection().try_send(message.into(), false)
        }

        /// [`send_prepared`](Self::send_prepared) without waiting, as [`try_send`](Self::try_send).
        ///
        /// # Errors
        /// There is no room, or the connection is closing or has ended.
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

        /// Bytes that were sent on the connection, by all handles together, and that the kernel has not taken yet.
        #[must_use]
        pub fn buffered_amount(&self) -> usize {
            self.connection().buffered()
        }
    };
}

pub(super) use send_methods;
