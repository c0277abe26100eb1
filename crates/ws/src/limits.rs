//! The limits of a connection. Each states its default and the attack that it prevents.

use std::time::Duration;

/// Bounds the memory that one peer can use, and the time that it may take to respond or to close.
///
/// A limit can be switched off only if its type is an `Option`. The handshake has its own limits, in the HTTP server;
/// [`Server`](crate::Server) takes them as [`HttpLimits`](crate::HttpLimits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a received message in bytes, over all its fragments. Default: 16 MiB.
    ///
    /// Protects against peers that announce or send more than fits into memory. It is checked at every frame header,
    /// before any byte of the payload is stored. A longer message closes the connection with code 1009. Messages that
    /// are received through [`recv_in_chunks`](crate::WebSocket::recv_in_chunks) are exempt.
    pub max_message_size: usize,

    /// The maximum number of fragments in one message, including empty ones. Default: 131 072.
    ///
    /// Protects against peers that never finish a message and send empty fragments, which no limit in bytes would stop.
    /// A message with more fragments closes the connection with code 1008. Messages that are received through
    /// [`recv_in_chunks`](crate::WebSocket::recv_in_chunks) are exempt.
    pub max_fragments: u32,

    /// The number of Pings and Pongs that a peer may send in one burst. The allowance refills evenly within ten
    /// seconds. Default: 10 000, which is a sustained rate of 1 000 per second. 0 is treated as 1.
    ///
    /// Protects against peers that flood the connection with Pings, which cost time and carry no message. If a peer
    /// exceeds the limit, the connection is closed with code 1008.
    pub max_control_frame_burst: u16,

    /// The maximum number of bytes that are queued to be written. Default: 1 MiB.
    ///
    /// Protects against peers that send requests and never read the responses.
    ///
    /// If a message would exceed the limit, [`send`](crate::WebSocket::send) waits until at most half of the capacity
    /// is used, and [`try_send`](crate::WebSocket::try_send) fails. A single message that is larger than the limit is
    /// accepted if nothing else is queued.
    ///
    /// A `send` keeps waiting as long as the peer accepts some bytes within each [`idle_timeout`](Self::idle_timeout).
    /// If you need a shorter limit, wrap the call in `tokio::time::timeout`.
    pub max_write_buffer_size: usize,

    /// How long closing may take, from the first Close frame to the end of the stream. Default: 10 seconds.
    ///
    /// Protects against peers that never respond to a Close frame, never read one, or never end the stream.
    pub close_timeout: Duration,

    /// How long a peer may be silent before a Ping is sent to it. Default: 50 seconds, which is less than the minute
    /// after which common proxies cut a silent connection. `None`: no Pings are sent.
    ///
    /// The Pong counts as a sign of life for [`idle_timeout`](Self::idle_timeout).
    pub ping_after: Option<Duration>,

    /// How long a peer may give no sign of life before the connection ends with
    /// [`CloseCause::IdleTimeout`](crate::CloseCause::IdleTimeout). Default: 120 seconds. `None`: forever.
    ///
    /// Protects against half-open connections, peers that connect and send nothing, and peers that do not read. A peer
    /// that still reads receives a Close frame with code 1008.
    ///
    /// A peer gives a sign of life when it sends anything, including a Pong, and when it accepts bytes that are queued
    /// for it.
    ///
    /// Silence counts only while the program is in [`recv`](crate::WebSocket::recv), because nothing is read at other
    /// times. A program may call `recv` again after any pause. The peer then first gets a Ping and time to respond. If
    /// Pings are off, or `ping_after` is not shorter than this timeout, the peer gets the whole timeout again instead.
    pub idle_timeout: Option<Duration>,
}

impl Limits {
    pub(crate) fn to_proto(self) -> ws_proto::Limits {
        ws_proto::Limits {
            max_message_size: self.max_message_size,
            max_fragments: self.max_fragments,
            max_control_frame_burst: self.max_control_frame_burst,
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
            max_control_frame_burst: protocol.max_control_frame_burst,
            max_write_buffer_size: 1024 * 1024,
            close_timeout: protocol.close_timeout,
            ping_after: Some(Duration::from_secs(50)),
            idle_timeout: Some(Duration::from_secs(120)),
        }
    }
}
