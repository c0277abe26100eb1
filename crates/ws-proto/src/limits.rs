//! Every number a peer can grow, with its default and the attack it answers.

use std::time::Duration;

/// How many subprotocols a client may offer in one handshake.
///
/// Duplicates are looked for pairwise, so an endless offer inside a generous HTTP header limit would cost its
/// square. Real clients offer one to five.
pub const MAX_OFFERED_PROTOCOLS: usize = 64;

/// What one peer may make a [`Connection`](crate::Connection) hold, and how long it may take to leave.
///
/// There is no "unlimited": a limit that is off is how fourteen bytes abort a process. Messages that are handed out in chunks
/// ([`Connection::receive_in_chunks`](crate::Connection::receive_in_chunks)) do not grow, and have the limits that their
/// receiver sets.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The longest message in bytes, all its fragments together. Default: 16 MiB.
    ///
    /// Answers the peer that announces or sends more than memory holds. The sum of what is announced and what has
    /// been assembled is checked at every frame header, before a byte of the payload is kept; a longer message
    /// closes the connection with 1009. The announced length itself is never reserved: memory grows with the
    /// bytes that came. The default is the largest message of the Autobahn suite.
    pub max_message_size: usize,

    /// The largest number of fragments in one message, empty ones included. Default: 131 072.
    ///
    /// Answers the peer that never finishes a message and sends empty fragments, which no byte limit sees. It
    /// guards time, not memory: fragments are assembled into one contiguous buffer and leave nothing else behind,
    /// so the limit can be far above Autobahn's 65 536. More close the connection with 1008.
    pub max_fragments: u32,

    /// Pings and Pongs that a peer may send at once; as many again may come in the ten seconds that follow, evenly.
    /// Default: 10 000, so a thousand in a second. 0 counts as 1.
    ///
    /// Answers the peer that has us answer Pings, which is all work and no message. More close the connection with 1008.
    /// The default is a hundred times what the most eager peers send, since what a program has not read for a while
    /// arrives at once; at that rate a flood costs a hundredth of a processor.
    pub max_control_frames: u16,

    /// How long a close may take, from its first frame to the end of the stream. Default: 10 seconds.
    ///
    /// Answers the peer that never answers a Close, never reads one, or never closes the stream. Kept in
    /// milliseconds; more than 49 days count as 49 days.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_size: 16 * 1024 * 1024,
            max_fragments: 131_072,
            max_control_frames: 10_000,
            close_timeout: Duration::from_secs(10),
        }
    }
}
