//! Inflates a message as it arrives, in pieces of bounded size.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::inflater::{INITIAL_EXPANSION_RATIO, MAX_FINAL_BLOCKS, concat_suffix, reset_with_dictionary};
use super::{MAX_WINDOW_BITS, TAIL};
use crate::error::ProtocolError;

/// The maximum length of a piece.
const MAX_OUTPUT_LEN: usize = 64 * 1024;

/// The maximum distance that a message may refer back.
const WINDOW_SIZE: usize = 1 << MAX_WINDOW_BITS;

/// A message that is being received. It owns a decompressor and a window, about 80 KiB, and the received bytes that
/// are not inflated yet, which are the rest of one read.
pub(crate) struct InflateStream {
    zlib: Decompress,
    /// The end of the inflated data, and of the previous messages if this one may refer to them.
    window: Vec<u8>,
    /// The received bytes. Those from `input_pos` on are not inflated yet.
    input: Vec<u8>,
    input_pos: usize,
    /// The last piece had the maximum length, so there may be more output without further input.
    output_was_full: bool,
    final_blocks: usize,
}

impl InflateStream {
    /// The memory of a stream in bytes, without the bytes that are not inflated yet.
    pub(crate) const MEMORY: usize = 80 * 1024;

    /// Starts a message that may refer to `window`.
    pub(super) fn new(mut zlib: Decompress, window: Vec<u8>) -> Result<Self, ProtocolError> {
        reset_with_dictionary(&mut zlib, &window)?;
        Ok(Self { zlib, window, input: Vec::new(), input_pos: 0, output_was_full: false, final_blocks: 0 })
    }

    pub(super) fn into_window(self) -> Vec<u8> {
        self.window
    }

    /// Sets the bytes that have already arrived, none of them inflated yet.
    pub(crate) fn with_input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// Appends received bytes. After the last ones it appends the tail that the sender left out.
    pub(crate) fn push(&mut self, payload: &[u8], is_last: bool) {
        let tail = if is_last { &TAIL[..] } else { &[] };
        self.input.reserve_exact(payload.len() + tail.len());
        self.input.extend_from_slice(payload);
        self.input.extend_from_slice(tail);
    }

    /// Returns whether [`next`](Self::next) can make progress without further input.
    pub(crate) fn has_more(&self) -> bool {
        self.output_was_full || !self.input.is_empty()
    }

    /// Returns the next piece of the message, of at most 64 KiB.
    pub(crate) fn next(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let mut piece =
            Vec::with_capacity((self.input.len() * INITIAL_EXPANSION_RATIO).clamp(64, MAX_OUTPUT_LEN));
        loop {
            if piece.len() == piece.capacity() && piece.len() < MAX_OUTPUT_LEN {
                piece.reserve_exact(piece.len().min(MAX_OUTPUT_LEN - piece.len()));
            }
            let input = &self.input[self.input_pos..];
            let before = (self.zlib.total_in(), self.zlib.total_out());
            let status = self.zlib.decompress_vec(input, &mut piece, FlushDecompress::Sync);
            let status = status.map_err(|_| ProtocolError::InvalidCompression)?;
            let taken = (self.zlib.total_in() - before.0) as usize;
            self.input_pos += taken;
            if status == Status::StreamEnd {
                // This block was marked as final. More blocks may follow and refer to earlier data (§7.2.3.5).
                self.final_blocks += 1;
                if self.final_blocks > MAX_FINAL_BLOCKS {
                    return Err(ProtocolError::InvalidCompression);
                }
                reset_with_dictionary(&mut self.zlib, &concat_suffix(&self.window, &piece, WINDOW_SIZE))?;
            }
            let is_taken = self.input_pos == self.input.len();
            let is_full = piece.len() >= MAX_OUTPUT_LEN;
            let is_stuck = taken == 0 && before.1 == self.zlib.total_out() && status != Status::StreamEnd;
            if is_stuck && !is_taken && !is_full {
                return Err(ProtocolError::InvalidCompression);
            }
            // If the piece has spare capacity, the input so far gives no more output.
            if is_full || is_taken && piece.len() < piece.capacity() {
                self.output_was_full = is_full;
                break;
            }
        }
        if self.input_pos == self.input.len() {
            self.input = Vec::new();
            self.input_pos = 0;
        }
        self.update_window(&piece);
        if piece.capacity() > 2 * piece.len() {
            piece.shrink_to_fit();
        }
        Ok(piece)
    }

    fn update_window(&mut self, piece: &[u8]) {
        let new = &piece[piece.len().saturating_sub(WINDOW_SIZE)..];
        let excess = (self.window.len() + new.len()).saturating_sub(WINDOW_SIZE);
        self.window.drain(..excess);
        self.window.extend_from_slice(new);
    }
}

impl fmt::Debug for InflateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.input.len() - self.input_pos;
        f.debug_struct("InflateStream").field("waiting", &waiting).finish_non_exhaustive()
    }
}
