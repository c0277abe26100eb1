//! What a peer may make this crate keep, with the attack that each number protects against.

/// Limits of one connection's [`Decoder`](crate::Decoder).
///
/// The length of one text is not among them: a text reaches this crate whole, so the floor below has already bounded
/// it (`max_payload` of Engine.IO). The depth of a JSON text needs none either: it is checked without recursion, at
/// one bit a level, and deserialising stops at 128 levels by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecoderLimits {
    /// Attachments of one packet. Default: 10, as in every current JavaScript parser, in both directions.
    ///
    /// Protects against a packet that announces millions of attachments and then sends them, empty, one by one: each
    /// costs the receiver an entry in a list that must be kept until the last one is there.
    pub max_attachments: usize,

    /// Bytes of all attachments of one packet together. Default: 10 000 000, which is what ten attachments of
    /// Engine.IO's default `max_payload` of 1 000 000 come to, so that nothing a Node server takes is refused.
    ///
    /// Protects against a packet that announces ten attachments, sends nine as large as a message may be, and then
    /// stalls: on every connection the receiver holds nine messages instead of one, for as long as the heartbeat is answered.
    pub max_attachment_bytes: usize,
}

impl DecoderLimits {
    /// The default of [`max_attachments`](Self::max_attachments). Encoding keeps to it as well: a JavaScript peer
    /// closes the connection when it is sent more.
    pub const DEFAULT_MAX_ATTACHMENTS: usize = 10;

    /// The default of [`max_attachment_bytes`](Self::max_attachment_bytes).
    pub const DEFAULT_MAX_ATTACHMENT_BYTES: usize = 10_000_000;
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            max_attachments: Self::DEFAULT_MAX_ATTACHMENTS,
            max_attachment_bytes: Self::DEFAULT_MAX_ATTACHMENT_BYTES,
        }
    }
}
