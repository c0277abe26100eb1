//! The limits on what a peer may cost, each with its default and the attack that it prevents.

use std::time::Duration;

/// The maximum number of subprotocols that a client may offer in one handshake.
///
/// Each offer is compared with all earlier ones to find duplicates. Without this limit, a long list within a large
/// HTTP header limit would cost quadratic time. Real clients offer one to five.
pub const MAX_OFFERED_PROTOCOLS: usize = 64;

/// Limits the memory and work that one peer may cost a [`Connection`](crate::Connection), and the duration of the
/// close.
///
/// A limit cannot be switched off: without limits, a header of fourteen bytes can make a process abort. Messages that
/// are handed out in chunks ([`Connection::receive_in_chunks`](crate::Connection::receive_in_chunks)) do not
/// accumulate in memory; their receiver sets the limits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The maximum length of a message in bytes, all fragments together. Default: 16 MiB.
    ///
    /// Protects against peers that announce or send more than fits into memory. The limit is checked at every frame
    /// header, before any byte of the payload is stored: the bytes assembled so far plus the announced length must
    /// not exceed it. A longer message closes the connection with 1009. The announced length itself is never
    /// reserved: memory grows with the bytes that have arrived. The default is the length of the largest message in
    /// the Autobahn test suite.
    pub max_message_size: usize,

    /// The maximum number of fragments in one message, including empty ones. Default: 131 072.
    ///
    /// Protects against peers that never finish a message and send empty fragments, which a limit in bytes does not
    /// count. The limit bounds time, not memory: fragments are assembled into one contiguous buffer and leave nothing
    /// else in memory. It can therefore be far above the 65 536 fragments that Autobahn sends. A message with more
    /// fragments closes the connection with 1008.
    pub max_fragments: u32,

    /// The number of Pings and Pongs that a peer may send in one burst. The allowance refills evenly within ten
    /// seconds. Default: 10 000, which is a sustained rate of 1 000 per second. 0 is treated as 1.
    ///
    /// Protects against peers that flood the connection with Pings, which cost work and carry no message. If a peer
    /// exceeds the limit, the connection is closed with 1008. The default is high, because frames accumulate while a
    /// program does not read, and then arrive at once. At the sustained rate, a flood costs about one percent of a
    /// processor.
    pub max_control_frame_burst: u16,

    /// The maximum duration of a close, from its first Close frame to the end of the stream. Default: 10 seconds.
    ///
    /// Protects against peers that never reply to a Close, never read it, or never close the stream. The resolution is
    /// one millisecond. Values above 49 days are treated as 49 days.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_size: 16 * 1024 * 1024,
            max_fragments: 131_072,
            max_control_frame_burst: 10_000,
            close_timeout: Duration::from_secs(10),
        }
    }
}
