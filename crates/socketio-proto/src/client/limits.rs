//! What a server, or the time without one, may make a client keep.

/// Limits of each [`Socket`](super::Socket) of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Messages that wait until the socket is connected. Default: 16,384. What happens at the limit is
    /// [`overflow`](Self::overflow).
    ///
    /// Protects against a program that emits for hours while the server is away.
    pub max_send_buffer_messages: usize,

    /// The same in bytes. Default: 16 MiB.
    pub max_send_buffer_bytes: usize,

    /// Which message is given up when the send buffer is full. Default: the newest.
    pub overflow: Overflow,

    /// Events that come before the answer to CONNECT, as those do that a server replays. One more ends the connection.
    /// Default: 16,384.
    ///
    /// Protects against servers that send events without end and never answer.
    pub max_receive_buffer_events: usize,

    /// The same in bytes. Default: 16 MiB.
    pub max_receive_buffer_bytes: usize,

    /// Bytes of a socket's id, and of the private id for recovery. Ids are opaque: servers choose their form. A longer
    /// socket id is an error, with a longer private id nothing is recovered. Default: 256.
    ///
    /// Protects against ids of megabytes, which are kept as long as the socket.
    pub max_id_len: usize,

    /// Bytes of an offset. A longer text at the end of an event is an argument like any other. Default: 128.
    ///
    /// Protects against taking long texts of the program for offsets, which are sent back at every reconnect.
    pub max_offset_len: usize,
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
