//! Every number a peer can grow, with its default and the attack it answers.

use std::time::Duration;

/// What one peer may make a connection hold, and how long it may take to leave.
///
/// There is no "unlimited" but where an `Option` says so. The limits of the handshake are those of the HTTP server;
/// [`HttpLimits`](crate::HttpLimits) for [`Server`](crate::Server).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is received, in bytes, all its fragments together. Default: 16 MiB.
    ///
    /// Answers the peer that announces or sends more than memory holds. It is checked at every frame header, before a
    /// byte of the payload is kept; a longer message closes the connection with 1009. It does not hold for messages that are
    /// received by [`recv_in_chunks`](crate::WebSocket::recv_in_chunks).
    pub max_message_size: usize,

    /// The largest number of fragments in one message, empty ones included. Default: 131 072.
    ///
    /// Answers the peer that never finishes a message and sends empty fragments, which no limit in bytes sees. More
    /// close the connection with 1008.
    pub max_fragments: u32,

    /// Pings and Pongs that a peer may send at once; as many again may come in the ten seconds that follow, evenly.
    /// Default: 10 000, so a thousand in a second. 0 counts as 1.
    ///
    /// Answers the peer that has us answer Pings, which is all work and no message. More close the connection with 1008.
    pub max_control_frames: u16,

    /// How many bytes may wait to be written. Default: 1 MiB.
    ///
    /// Answers the peer that asks and never reads the answers. Above it, [`send`](crate::WebSocket::send) waits, until
    /// half of it is free, and [`try_send`](crate::WebSocket::try_send) refuses; a message that alone exceeds it is taken
    /// while nothing else waits. A `send` waits as long as the peer takes something now and then, see
    /// [`idle_timeout`](Self::idle_timeout); for less, put `tokio::time::timeout` around it.
    pub max_write_buffer_size: usize,

    /// How long a close may take, from its first frame to the end of the stream. Default: 10 seconds.
    ///
    /// Answers the peer that never answers a Close, never reads one, or never ends the stream.
    pub close_timeout: Duration,

    /// How long a peer may say nothing before it is sent a Ping; its answer is a sign of life. `None`: it never is.
    /// Default: 50 seconds, below the minute after which common proxies cut a silent connection.
    pub ping_after: Option<Duration>,

    /// How long a peer may give no sign of life. `None`: for ever. Default: 120 seconds.
    ///
    /// Answers the peer that is gone without a word, the one that connects and says nothing, and the one that does not
    /// read what is sent to it. It ends the connection as [`CloseCause::IdleTimeout`](crate::CloseCause::IdleTimeout), with 1008 for a peer
    /// that still listens. Signs of life are all that the peer sends, answers to Pings included, and that it takes
    /// bytes which wait for it. A peer is held to have said nothing only while the program is in
    /// [`recv`](crate::WebSocket::recv): a program that is not may call it after any time, and the peer is then asked
    /// before it is given up, or gets as long once more if it is not to be asked.
    pub idle_timeout: Option<Duration>,
}

impl Limits {
    pub(crate) fn to_proto(self) -> ws_proto::Limits {
        ws_proto::Limits {
            max_message_size: self.max_message_size,
            max_fragments: self.max_fragments,
            max_control_frames: self.max_control_frames,
            close_timeout: self.close_timeout,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let protocol = ws_proto::Limits::default();
        Self {
            max_message_size: protocol.max_message_size,
            max_fragments: protocol.max_fragments,
            max_control_frames: protocol.max_control_frames,
            max_write_buffer_size: 1024 * 1024,
            close_timeout: protocol.close_timeout,
            ping_after: Some(Duration::from_secs(50)),
            idle_timeout: Some(Duration::from_secs(120)),
        }
    }
}
