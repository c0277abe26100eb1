//! Limits on what a client stores because of a server, or while there is no connection.

/// Limits of each [`Socket`](super::Socket) of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of messages that are buffered while the socket is not connected. Default: 16,384.
    /// [`overflow`](Self::overflow) selects what happens at the limit.
    ///
    /// Protects against a program that emits for hours while the server is unreachable.
    pub max_send_buffer_messages: usize,

    /// The maximum size of the messages in the send buffer, in bytes. Default: 16 MiB.
    pub max_send_buffer_bytes: usize,

    /// Selects which message is dropped when the send buffer is full. Default: the newest.
    pub overflow: Overflow,

    /// The maximum number of events that are buffered before the server responds to CONNECT. A server sends events in
    /// this phase when it replays missed events. If there are more, the connection is closed. Default: 16,384.
    ///
    /// Protects against servers that send events without end and never respond to CONNECT.
    pub max_receive_buffer_events: usize,

    /// The maximum size of the events that are buffered before the server responds to CONNECT, in bytes.
    /// Default: 16 MiB.
    pub max_receive_buffer_bytes: usize,

    /// The maximum length of a socket id, and of the private id for recovery, in bytes. Servers choose the form of
    /// these ids. If the socket id is longer, the connection to the namespace fails. If the private id is longer, the
    /// socket does not support recovery. Default: 256.
    ///
    /// Protects against ids of megabytes, which are stored as long as the socket exists.
    pub max_id_len: usize,

    /// The maximum length of an offset in bytes. A longer string at the end of an event is an ordinary argument.
    /// Default: 128.
    ///
    /// The client sends the last offset back to the server at every reconnect. It cannot distinguish an offset from a
    /// string that the program of the server has put at the end of an event. The limit keeps a long string from being
    /// sent back.
    pub max_offset_len: usize,
}

/// Selects which message is dropped when a buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Refuse the new message. The call that emits it returns an error.
    #[default]
    RejectNewest,
    /// Drop the messages that have been buffered longest. A message that is larger than the whole buffer is still
    /// refused.
    DropOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_send_buffer_messages: 16 * 1024,
            max_send_buffer_bytes: 16 * 1024 * 1024,
            overflow: Overflow::default(),
            max_receive_buffer_events: 16 * 1024,
            max_receive_buffer_bytes: 16 * 1024 * 1024,
            max_id_len: 256,
            max_offset_len: 128,
        }
    }
}
