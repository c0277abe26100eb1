//! Compressing what is sent.

use std::cell::RefCell;
use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::agreement::DeflateAgreement;
use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS, TAIL};

const WINDOW_SIZE_COUNT: usize = (MAX_WINDOW_BITS - MIN_WINDOW_BITS + 1) as usize;

thread_local! {
    /// The thread's compressors for messages that refer to nothing before them, one for each window that a client has asked
    /// for: otherwise two clients could have one made anew for each message. Taken while it is used.
    static SHARED: RefCell<[Option<Compressor>; WINDOW_SIZE_COUNT]> = const { RefCell::new([const { None }; WINDOW_SIZE_COUNT]) };
}

/// Compresses the messages of one end of a connection.
///
/// It owns a compressor only where its messages refer to those before them.
pub struct Deflater {
    setting: CompressorParams,
    threshold: usize,
    compressor: Option<Box<Compressor>>,
}

impl Deflater {
    /// For messages of the end that this agreement belongs to.
    #[must_use]
    pub fn new(agreement: &DeflateAgreement) -> Self {
        let setting = CompressorParams { level: agreement.level, window_bits: agreement.own_window_bits() };
        if setting.window_bits < MIN_WINDOW_BITS {
            // zlib takes 8 and compresses with 9, which the peer could not inflate. Nothing has to be compressed.
            return Self { setting, threshold: usize::MAX, compressor: None };
        }
        let own = agreement.own_context_takeover().then(|| Box::new(Compressor::new(setting)));
        Self { setting, threshold: agreement.threshold, compressor: own }
    }

    /// Compresses a message into `out`, which is cleared before; whether it is to be sent so. What is short is not, and
    /// what would become longer.
    ///
    /// A frame with this payload has [`rsv1`](crate::FrameHeader::rsv1) set. Where messages refer to those before them it
    /// must be sent, and before the next one is compressed: the peer would lose track otherwise.
    #[must_use = "what is compressed must be sent so"]
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if payload.len() < self.threshold.max(1) {
            return false;
        }
        if let Some(own) = &mut self.compressor {
            own.compress(payload, out);
            return true;
        }
        let place =
            usize::from(self.setting.window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS) - MIN_WINDOW_BITS);
        let shared = SHARED.try_with(|shared| shared.borrow_mut()[place].take()).ok().flatten();
        let mut shared = shared
            .filter(|shared| shared.setting == self.setting)
            .unwrap_or_else(|| Compressor::new(self.setting));
        shared.zlib.reset();
        shared.compress(payload, out);
        let _ = SHARED.try_with(|all| all.borrow_mut()[place].replace(shared));
        out.len() < payload.len()
    }

    /// How far back in a message what it compresses refers, as a power of two: deflaters with the same answer may share what
    /// they compress. `None` where messages refer to those before them, or none is ever compressed.
    #[must_use]
    pub fn no_takeover_window_bits(&self) -> Option<u8> {
        (self.compressor.is_none() && self.setting.window_bits >= MIN_WINDOW_BITS)
            .then_some(self.setting.window_bits)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("setting", &self.setting).finish_non_exhaustive()
    }
}

/// What makes two compressors alike.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct CompressorParams {
    level: u8,
    window_bits: u8,
}

struct Compressor {
    zlib: Compress,
    setting: CompressorParams,
}

impl Compressor {
    fn new(setting: CompressorParams) -> Self {
        let level = Compression::new(setting.level.into());
        Self { zlib: Compress::new_with_window_bits(level, false, setting.window_bits), setting }
    }

    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        // Text shrinks to a third or less; it grows from there if it has to.
        out.reserve(payload.len() / 3 + 64);
        let start = self.zlib.total_in();
        loop {
            let done = (self.zlib.total_in() - start) as usize;
            let result = self.zlib.compress_vec(&payload[done..], out, FlushCompress::Sync);
            debug_assert!(result.is_ok(), "compressing does not fail: {result:?}");
            let done = (self.zlib.total_in() - start) as usize;
            // The flush is complete when it did not need the last byte of the room.
            if result.is_err() || (done == payload.len() && out.len() < out.capacity()) {
                break;
            }
            out.reserve(out.capacity().max(64));
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
    }
}
