//! What a server, or the time without one, may make a client keep.

/// Limits of each [`Socket`](super::Socket) of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Messages that wait until the socket is connected. Default: 16,384. What happens at the limit is
    /// [`overflow`](Self::overflow).
    ///
    /// Protects against a program that emits for hours while the server is away.
    pub send_buffer_messages: usize,

    /// The same in bytes. Default: 16 MiB.
    pub send_buffer_bytes: usize,

    /// Which message is given up when the send buffer is full. Default: the newest.
    pub overflow: Overflow,

    /// Events that come before the answer to CONNECT, as those do that a server replays. One more ends the connection.
    /// Default: 16,384.
    ///
    /// Protects against servers that send events without end and never answer.
    pub receive_buffer_events: usize,

    /// The same in bytes. Default: 16 MiB.
    pub receive_buffer_bytes: usize,

    /// Bytes of a socket's id, and of the private id for recovery. Ids are opaque: servers choose their form. A longer
    /// socket id is an error, with a longer private id nothing is recovered. Default: 256.
    ///
    /// Protects against ids of megabytes, which are kept as long as the socket.
    pub id_length: usize,

    /// Bytes of an offset. A longer text at the end of an event is an argument like any other. Default: 128.
    ///
    /// Protects against taking long texts of the program for offsets, which are sent back at every reconnect.
    pub offset_length: usize,
}

/// Which message is given up when a buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The one that does not fit. Its sender is told.
    #[default]
    RefuseNewest,
    /// Those that have waited longest. Only a message that is larger than the whole buffer is refused.
    DropOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            send_buffer_messages: 16 * 1024,
            send_buffer_bytes: 16 * 1024 * 1024,
            overflow: Overflow::default(),
            receive_buffer_events: 16 * 1024,
            receive_buffer_bytes: 16 * 1024 * 1024,
            id_length: 256,
            offset_length: 128,
        }
    }
}
