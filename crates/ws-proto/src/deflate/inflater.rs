//! Inflates received messages.

use std::cell::RefCell;
use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::agreement::DeflateAgreement;
use super::inflate_stream::InflateStream;
use super::{MAX_WINDOW_BITS, TAIL};
use crate::error::ProtocolError;

thread_local! {
    /// The thread's decompressor. It is taken out while it is used; no connection needs one between two messages.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

struct Shared {
    zlib: Decompress,
    /// The inflated message, before it is copied to a buffer of its exact length.
    message: Vec<u8>,
}

/// The maximum capacity of the message buffer that is kept between two messages.
const MAX_RETAINED_CAPACITY: usize = 64 * 1024;

/// The initial capacity for the inflated message is the compressed length times this factor.
pub(super) const INITIAL_EXPANSION_RATIO: usize = 4;

/// The maximum number of blocks in one message that are marked as final. Senders use at most one. Each costs a copy
/// of the window, so a message of only such blocks would take seconds.
pub(super) const MAX_FINAL_BLOCKS: usize = 8;

/// Inflates the messages of a peer.
pub(crate) struct Inflater {
    /// The end of the previous messages, which the peer's next message may refer to. Empty without context takeover.
    window: Vec<u8>,
    /// The maximum length of the window; 0 without context takeover.
    window_size: usize,
}

impl Inflater {
    pub(crate) fn new(agreement: &DeflateAgreement) -> Self {
        let kept = agreement.peer_context_takeover();
        let window_size = if kept { 1 << agreement.peer_window_bits() } else { 0 };
        Self { window: Vec::new(), window_size }
    }

    /// Inflates `payload` and passes the message to `take`.
    ///
    /// # Errors
    ///
    /// `payload` cannot be inflated, or the message is longer than `limit` bytes. The limit is checked while
    /// inflating: the buffer holds at most twice the bytes inflated so far, and at most one byte more than the limit.
    pub(crate) fn inflate<T>(
        &mut self,
        payload: &[u8],
        limit: usize,
        take: impl FnOnce(&[u8]) -> Result<T, ProtocolError>,
    ) -> Result<T, ProtocolError> {
        let shared = SHARED.try_with(RefCell::take).ok().flatten();
        let mut shared = shared.unwrap_or_else(|| Shared {
            zlib: Decompress::new_with_window_bits(false, MAX_WINDOW_BITS),
            message: Vec::new(),
        });
        let inflated = self.inflate_into(&mut shared.message, &mut shared.zlib, payload, limit);
        let taken = inflated.and_then(|()| take(&shared.message));
        self.update_window(&shared.message);
        if shared.message.capacity() > MAX_RETAINED_CAPACITY {
            shared.message = Vec::new();
        }
        let _ = SHARED.try_with(|place| place.replace(Some(shared)));
        taken
    }

    /// Starts a message that is inflated as it arrives.
    ///
    /// # Errors
    ///
    /// Only if zlib does not accept the window, which does not happen in practice.
    pub(crate) fn start_stream(&self) -> Result<InflateStream, ProtocolError> {
        InflateStream::new(Decompress::new_with_window_bits(false, MAX_WINDOW_BITS), self.window.clone())
    }

    /// Ends a message. Later messages may refer to it.
    pub(crate) fn finish(&mut self, stream: InflateStream) {
        let mut window = stream.into_window();
        window.drain(..window.len().saturating_sub(self.window_size));
        window.shrink_to_fit();
        self.window = window;
    }

    /// Returns whether the peer has no context takeover. A message that nobody needs can then be skipped without
    /// inflating it.
    pub(crate) fn no_context_takeover(&self) -> bool {
        self.window_size == 0
    }

    fn inflate_into(
        &self,
        message: &mut Vec<u8>,
        zlib: &mut Decompress,
        payload: &[u8],
        limit: usize,
    ) -> Result<(), ProtocolError> {
        reset_with_dictionary(zlib, &self.window)?;
        message.clear();
        // One byte more than the limit: a message that fills it is too long.
        let max_len = limit.saturating_add(1);
        message.reserve_exact(payload.len().saturating_mul(INITIAL_EXPANSION_RATIO).min(max_len));
        let mut final_blocks = 0;
        // The sender left the tail out, but it belongs to the message.
        for mut input in [payload, &TAIL] {
            while !input.is_empty() || message.len() == message.capacity() {
                if message.len() == message.capacity() {
                    message.reserve_exact(message.len().max(64).min(max_len - message.len()));
                }
                let before = (zlib.total_in(), zlib.total_out());
                let status = zlib.decompress_vec(input, message, FlushDecompress::Sync);
                // Check this first: a buffer that earlier messages have grown may have capacity beyond the limit, and
                // an error in the data beyond the limit does not count.
                if message.len() > limit {
                    return Err(ProtocolError::MessageTooBig { size: max_len as u64, limit: limit as u64 });
                }
                let status = status.map_err(|_| ProtocolError::InvalidCompression)?;
                if before == (zlib.total_in(), zlib.total_out()) && !input.is_empty() {
                    return Err(ProtocolError::InvalidCompression);
                }
                input = &input[(zlib.total_in() - before.0) as usize..];
                if status == Status::StreamEnd {
                    // This block was marked as final. More blocks may follow and refer to earlier data (§7.2.3.5).
                    final_blocks += 1;
                    if final_blocks > MAX_FINAL_BLOCKS {
                        return Err(ProtocolError::InvalidCompression);
                    }
                    reset_with_dictionary(zlib, &concat_suffix(&self.window, message, 1 << MAX_WINDOW_BITS))?;
                }
            }
        }
        Ok(())
    }

    fn update_window(&mut self, message: &[u8]) {
        if self.window_size == 0 {
            return;
        }
        let new = suffix(message, self.window_size);
        let excess = (self.window.len() + new.len()).saturating_sub(self.window_size);
        self.window.drain(..excess);
        // `reserve` may double the capacity, which would exceed the window.
        let free = self.window_size - self.window.len();
        self.window.reserve_exact(new.len().max(self.window.len()).min(free));
        self.window.extend_from_slice(new);
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("window", &self.window.len()).finish_non_exhaustive()
    }
}

/// Resets `zlib` to a state in which `window` is the latest output.
pub(super) fn reset_with_dictionary(zlib: &mut Decompress, window: &[u8]) -> Result<(), ProtocolError> {
    zlib.reset(false);
    if !window.is_empty() {
        zlib.set_dictionary(window).map_err(|_| ProtocolError::InvalidCompression)?;
    }
    Ok(())
}

fn suffix(bytes: &[u8], count: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(count)..]
}

/// Returns the last `count` bytes of `first` followed by `second`.
pub(super) fn concat_suffix(first: &[u8], second: &[u8], count: usize) -> Vec<u8> {
    let second = suffix(second, count);
    [suffix(first, count - second.len()), second].concat()
}
