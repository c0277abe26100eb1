//! Inflating a message while it comes, in pieces of bounded size.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::inflater::{INITIAL_EXPANSION_RATIO, MAX_FINAL_BLOCKS, concat_suffix, reset_with_dictionary};
use super::{MAX_WINDOW_BITS, TAIL};
use crate::error::ProtocolError;

/// The most that comes out in one go, whatever it was compressed to.
const MAX_OUTPUT_LEN: usize = 64 * 1024;

/// How far back a message may refer.
const WINDOW_SIZE: usize = 1 << MAX_WINDOW_BITS;

/// A message under way. While it is, it owns a decompressor and a window: about 80 KiB, and what has come of it and is not
/// inflated yet, which is the rest of one read.
pub(crate) struct InflateStream {
    zlib: Decompress,
    /// The end of what has come out, and of the messages before it if it may refer to them.
    window: Vec<u8>,
    /// What has come, from `input_pos` on.
    input: Vec<u8>,
    input_pos: usize,
    /// The last piece was as long as one may be, so there may be more without further input.
    output_was_full: bool,
    final_blocks: usize,
}

impl InflateStream {
    /// A message that may refer to what is in `window`.
    pub(super) fn new(mut zlib: Decompress, window: Vec<u8>) -> Result<Self, ProtocolError> {
        reset_with_dictionary(&mut zlib, &window)?;
        Ok(Self { zlib, window, input: Vec::new(), input_pos: 0, output_was_full: false, final_blocks: 0 })
    }

    pub(super) fn into_window(self) -> Vec<u8> {
        self.window
    }

    /// What has come before, none of it inflated yet.
    pub(crate) fn with_input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// Appends what has come, the last of it or not. What the sender left out belongs to the message.
    pub(crate) fn push(&mut self, payload: &[u8], is_last: bool) {
        let tail = if is_last { &TAIL[..] } else { &[] };
        self.input.reserve_exact(payload.len() + tail.len());
        self.input.extend_from_slice(payload);
        self.input.extend_from_slice(tail);
    }

    /// Whether [`next`](Self::next) has something to do without further input.
    pub(crate) fn has_more(&self) -> bool {
        self.output_was_full || !self.input.is_empty()
    }

    /// The next piece of the message, of at most 64 KiB.
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
                // A block that says it is the last one. More may follow, and refer to what came before (§7.2.3.5).
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
            // Where room is left there is nothing more to come out of what was put in.
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
        f.debug_struct("Inflating").field("waiting", &waiting).finish_non_exhaustive()
    }
}
