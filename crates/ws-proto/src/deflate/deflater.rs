//! Compresses messages before they are sent.

use std::cell::RefCell;
use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::agreement::DeflateAgreement;
use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS, TAIL};

const WINDOW_SIZE_COUNT: usize = (MAX_WINDOW_BITS - MIN_WINDOW_BITS + 1) as usize;

thread_local! {
    /// The thread's compressors for messages without context takeover, one for each window size. With a single
    /// compressor, two clients with different windows could cause a new compressor for every message. A compressor is
    /// taken out while it is used.
    static SHARED: RefCell<[Option<Compressor>; WINDOW_SIZE_COUNT]> = const { RefCell::new([const { None }; WINDOW_SIZE_COUNT]) };
}

/// Compresses the messages of one endpoint of a connection.
///
/// It owns a compressor only with context takeover. Otherwise it uses a compressor of the thread.
pub struct Deflater {
    params: CompressorParams,
    threshold: usize,
    compressor: Option<Box<Compressor>>,
}

impl Deflater {
    /// Creates a deflater for the messages that the endpoint of this agreement sends.
    #[must_use]
    pub fn new(agreement: &DeflateAgreement) -> Self {
        let setting = CompressorParams { level: agreement.level, window_bits: agreement.own_window_bits() };
        if setting.window_bits < MIN_WINDOW_BITS {
            // For a window of 8 bits, zlib uses 9 bits, and the peer could not inflate the result. So nothing is
            // compressed; compression is always optional.
            return Self { params: setting, threshold: usize::MAX, compressor: None };
        }
        let own = agreement.own_context_takeover().then(|| Box::new(Compressor::new(setting)));
        Self { params: setting, threshold: agreement.threshold, compressor: own }
    }

    /// Clears `out` and compresses a message into it. Returns whether to send `out` instead of `payload`. Returns
    /// `false` if the message is shorter than the threshold or, without context takeover, if compression would not
    /// make it shorter.
    ///
    /// If this returns `true`, send `out` in a frame with [`rsv1`](crate::FrameHeader::rsv1) set. With context
    /// takeover, you must send the frame before you compress the next message. Otherwise the peer cannot inflate the
    /// messages that follow.
    #[must_use = "the returned value tells whether to send the compressed message"]
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if payload.len() < self.threshold.max(1) {
            return false;
        }
        if let Some(own) = &mut self.compressor {
            own.compress(payload, out);
            return true;
        }
        let index =
            usize::from(self.params.window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS) - MIN_WINDOW_BITS);
        let shared = SHARED.try_with(|shared| shared.borrow_mut()[index].take()).ok().flatten();
        let mut shared = shared
            .filter(|shared| shared.params == self.params)
            .unwrap_or_else(|| Compressor::new(self.params));
        shared.zlib.reset();
        shared.compress(payload, out);
        let _ = SHARED.try_with(|all| all.borrow_mut()[index].replace(shared));
        out.len() < payload.len()
    }

    /// Returns the window size as a power of two if the compressed messages do not depend on earlier messages.
    /// Deflaters that return the same value may share a compressed message. Returns `None` with context takeover, and
    /// if no message is ever compressed.
    #[must_use]
    pub fn no_takeover_window_bits(&self) -> Option<u8> {
        (self.compressor.is_none() && self.params.window_bits >= MIN_WINDOW_BITS)
            .then_some(self.params.window_bits)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("setting", &self.params).finish_non_exhaustive()
    }
}

/// The parameters of a compressor. Compressors with equal parameters are interchangeable.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct CompressorParams {
    level: u8,
    window_bits: u8,
}

struct Compressor {
    zlib: Compress,
    params: CompressorParams,
}

impl Compressor {
    fn new(setting: CompressorParams) -> Self {
        let level = Compression::new(setting.level.into());
        Self { zlib: Compress::new_with_window_bits(level, false, setting.window_bits), params: setting }
    }

    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        // Text shrinks to a third or less. For other data the buffer grows if necessary.
        out.reserve(payload.len() / 3 + 64);
        let start = self.zlib.total_in();
        loop {
            let done = (self.zlib.total_in() - start) as usize;
            let result = self.zlib.compress_vec(&payload[done..], out, FlushCompress::Sync);
            debug_assert!(result.is_ok(), "compression failed: {result:?}");
            let done = (self.zlib.total_in() - start) as usize;
            // The flush is complete if it did not use the last byte of the buffer.
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
