//! Limits on what a peer can make this crate store. Each limit names the attack that it protects against.

/// Limits of one connection's [`Decoder`](crate::Decoder).
///
/// The length of a text message has no limit here. `max_payload` of Engine.IO already bounds it before the message
/// reaches this crate. The depth of a JSON text needs no limit either: it is checked without recursion, with one bit
/// per level, and deserializing stops after 127 levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecoderLimits {
    /// The maximum number of attachments of one packet. Default: 10, as in every current JavaScript parser, in both
    /// directions.
    ///
    /// Protects against a packet that announces millions of attachments and then sends them one by one, all empty. The
    /// receiver must store an entry for each attachment until the last one has arrived.
    pub max_attachments: usize,

    /// The maximum size of all attachments of one packet together, in bytes. Default: 10,000,000. This is the size of
    /// ten attachments of 1,000,000 bytes, the default `max_payload` of Engine.IO, so every packet that a Node server
    /// accepts is accepted here.
    ///
    /// Protects against a packet that announces ten attachments, sends nine of the maximum message size, and then
    /// nothing more. The receiver would store nine messages instead of one per connection, for as long as the client
    /// responds to pings.
    pub max_attachment_bytes: usize,

    /// The maximum number of lists and objects in the JSON text of one packet, at all levels together. Default: no limit.
    /// A server should allow one for every six bytes of its largest message. Only a text of little else but brackets has
    /// more.
    ///
    /// Protects against messages such as `[[[[[…`. A program that reads them into values needs an allocation for each
    /// two bytes, so a message of a megabyte would hold up all other clients of the thread for some fifty milliseconds.
    pub max_lists_and_objects: usize,
}

impl DecoderLimits {
    /// The default of [`max_attachments`](Self::max_attachments). Encoding has the same limit, because a JavaScript
    /// peer closes the connection when it receives more attachments.
    pub const DEFAULT_MAX_ATTACHMENTS: usize = 10;

    /// The default of [`max_attachment_bytes`](Self::max_attachment_bytes).
    pub const DEFAULT_MAX_ATTACHMENT_BYTES: usize = 10_000_000;
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            max_attachments: Self::DEFAULT_MAX_ATTACHMENTS,
            max_attachment_bytes: Self::DEFAULT_MAX_ATTACHMENT_BYTES,
            max_lists_and_objects: usize::MAX,
        }
    }
}
