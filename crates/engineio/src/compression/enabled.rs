//! The compressors.

use std::cell::RefCell;
use std::io::{self, Write};
use std::num::NonZeroUsize;

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compress, Compression, FlushCompress, Status};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How responses to polling requests are compressed. The Node server has the same settings with the same defaults.
///
/// A response that becomes ready while the engine already compresses many others is sent uncompressed.
///
/// Compression can leak secrets (the BREACH attack): if a response contains a secret next to text that an attacker
/// chooses, its length tells the attacker how similar the two are. Switch it off if your messages mix the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpCompression {
    /// Responses shorter than this many bytes are not compressed. Default 1,024.
    pub threshold: usize,
    /// The compression level of zlib, from 1 (fast) to 9 (small). Default 6. Other values are clamped.
    pub level: u8,
}

impl Default for HttpCompression {
    fn default() -> Self {
        Self { threshold: 1_024, level: 6 }
    }
}

impl HttpCompression {
    pub(crate) fn applies_to(self, len: usize) -> bool {
        len >= self.threshold
    }

    pub(crate) fn level(self) -> u8 {
        self.level
    }
}

/// The compressed forms of a file. A form is `None` if it would not be shorter.
#[derive(Clone)]
pub(crate) struct CompressedForms {
    gzip: Option<Bytes>,
    deflate: Option<Bytes>,
}

impl CompressedForms {
    pub(crate) fn of(bytes: &Bytes) -> Self {
        let gzip = GzEncoder::new(Vec::new(), Compression::default());
        let deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        Self {
            gzip: compressed(bytes, gzip, GzEncoder::finish),
            deflate: compressed(bytes, deflate, ZlibEncoder::finish),
        }
    }

    pub(crate) fn get(&self, encoding: Encoding) -> Option<&Bytes> {
        match encoding {
            Encoding::Gzip => self.gzip.as_ref(),
            Encoding::Deflate => self.deflate.as_ref(),
        }
    }
}

/// Returns the bytes compressed, or `None` if that does not make them shorter.
fn compressed<W: Write>(
    bytes: &Bytes,
    mut encoder: W,
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> Option<Bytes> {
    // Writing to a vector does not fail.
    encoder.write_all(bytes).ok()?;
    let compressed = finish(encoder).ok()?;
    (compressed.len() < bytes.len()).then(|| compressed.into_boxed_slice().into())
}

/// The compressed forms that we can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    /// The format of zlib (RFC 1950), which HTTP calls "deflate" (RFC 9110 §8.4.1.2).
    Deflate,
}

/// A payload of at most this many bytes is *short*: it is compressed at once, which takes one or two milliseconds. A
/// longer one is compressed in pieces of this length, and other tasks of the thread run in between.
const PIECE_LEN: usize = 64 * 1024;

/// The most long payloads that are compressed at the same time. Each one needs 270 KiB for its compressor.
const MAX_LONG_PAYLOADS: usize = 16;

/// The most bytes of short payloads, for each core, that are compressed before the tasks that are already waiting for a
/// thread have run. Level 6 takes some milliseconds for them.
const MAX_SHORT_BYTES_PER_CORE: usize = 256 * 1024;

/// How much an engine compresses at the same time. A payload that finds nothing left is sent uncompressed and never
/// waits: after a large broadcast, each waiting payload would be a copy that neither a limit nor a timeout bounds.
#[derive(Debug)]
pub(crate) struct CompressionCapacity {
    /// One permit for each long payload.
    long: Semaphore,
    /// One permit for each byte of a short payload.
    short: Semaphore,
}

impl CompressionCapacity {
    /// Returns the capacity of a machine with this many cores.
    pub(crate) fn new(cores: usize) -> Self {
        let short_bytes = cores.saturating_mul(MAX_SHORT_BYTES_PER_CORE).min(Semaphore::MAX_PERMITS);
        Self { long: Semaphore::new(MAX_LONG_PAYLOADS), short: Semaphore::new(short_bytes) }
    }

    /// Reserves what a payload of `len` bytes needs. Returns `None` if not enough is left.
    fn try_reserve(&self, len: usize) -> Option<SemaphorePermit<'_>> {
        match u32::try_from(len) {
            Ok(len) if len as usize <= PIECE_LEN => self.short.try_acquire_many(len).ok(),
            _ => self.long.try_acquire().ok(),
        }
    }
}

impl Default for CompressionCapacity {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }
}

const MAX_WINDOW_BITS: u8 = 15;

thread_local! {
    /// The thread's compressors for gzip and deflate. A compressor is taken out while it is used.
    static COMPRESSORS: RefCell<[Option<Compressor>; 2]> = const { RefCell::new([const { None }; 2]) };
}

struct Compressor {
    zlib: Compress,
    level: u8,
}

impl Encoding {
    const ALL: [Self; 2] = [Self::Gzip, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Returns the value of `Content-Encoding`.
    pub(crate) fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Returns the encoding that the client prefers. `None` if it accepts neither (RFC 9110 §12.5.3). Among encodings
    /// with the same weight, one that is named comes before one that only `*` stands for, and then the first one in the
    /// header, as in the package `accepts`.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Preference, Self)> = None;
        for encoding in Self::ALL {
            if let Some(preference) = Preference::of(encoding, headers)
                && best.is_none_or(|(better, _)| preference.precedes(better))
            {
                best = Some((preference, encoding));
            }
        }
        best.map(|(_, encoding)| encoding)
    }

    fn take_compressor(self, level: u8) -> Compressor {
        let kept = COMPRESSORS.try_with(|kept| kept.borrow_mut()[self as usize].take()).ok().flatten();
        match kept.filter(|kept| kept.level == level) {
            Some(mut kept) => {
                kept.zlib.reset();
                kept
            }
            None => {
                let compression = Compression::new(level.into());
                let zlib = match self {
                    Self::Gzip => Compress::new_gzip(compression, MAX_WINDOW_BITS),
                    Self::Deflate => Compress::new_with_window_bits(compression, true, MAX_WINDOW_BITS),
                };
                Compressor { zlib, level }
            }
        }
    }

    fn keep_compressor(self, compressor: Compressor) {
        let _ = COMPRESSORS.try_with(|kept| kept.borrow_mut()[self as usize].replace(compressor));
    }

    /// Compresses a whole payload. Returns `None` if too much is being compressed already, or if the result would not be
    /// shorter. The result never takes more memory than the payload.
    pub(crate) async fn compress(
        self,
        payload: &[u8],
        level: u8,
        capacity: &CompressionCapacity,
    ) -> Option<Vec<u8>> {
        let _permit = capacity.try_reserve(payload.len())?;
        // The permit is held while the tasks run that are already waiting for this thread. If a broadcast has woken
        // thousands of polls, they find the capacity in use. Without this, each would return its permit before the
        // next one asks.
        tokio::task::yield_now().await;
        let mut compressor = self.take_compressor(level.clamp(1, 9));
        let zlib = &mut compressor.zlib;
        // Text shrinks to a third or less. The buffer grows if necessary.
        let mut compressed = Vec::with_capacity(payload.len() / 3);
        let is_shorter = loop {
            let done = zlib.total_in() as usize;
            let rest = &payload[done..];
            let (piece, flush) = match rest.get(..PIECE_LEN) {
                Some(piece) if piece.len() < rest.len() => (piece, FlushCompress::None),
                _ => (rest, FlushCompress::Finish),
            };
            match zlib.compress_vec(piece, &mut compressed, flush) {
                Ok(Status::StreamEnd) => break compressed.len() < payload.len(),
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) => {
                    debug_assert!(false, "compression failed: {error}");
                    break false;
                }
            }
            if compressed.len() == compressed.capacity() {
                let max_growth = payload.len() - compressed.len();
                if max_growth == 0 {
                    break false;
                }
                compressed.reserve_exact(compressed.len().max(64).min(max_growth));
            }
            if zlib.total_in() as usize - done == PIECE_LEN {
                tokio::task::yield_now().await;
            }
        };
        self.keep_compressor(compressor);
        is_shorter.then(|| {
            compressed.shrink_to_fit();
            compressed
        })
    }
}

/// How much a client wants an encoding.
#[derive(Debug, Clone, Copy)]
struct Preference {
    weight: f32,
    is_named: bool,
    position: usize,
}

impl Preference {
    /// Returns what the header says about an encoding. `None` if the client does not accept it.
    fn of(encoding: Encoding, headers: &HeaderMap) -> Option<Self> {
        let mut found: Option<Self> = None;
        let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
        for (position, item) in values.flat_map(|value| value.split(',')).enumerate() {
            let (name, params) = item.split_once(';').unwrap_or((item, ""));
            let is_named = name.trim().eq_ignore_ascii_case(encoding.name());
            if !is_named && name.trim() != "*" {
                continue;
            }
            let preference = Self { weight: weight(params), is_named, position };
            // The name decides, even if `*` has a higher weight.
            if found.is_none_or(|found| (is_named, preference.weight) > (found.is_named, found.weight)) {
                found = Some(preference);
            }
        }
        found.filter(|found| found.weight > 0.0)
    }

    fn precedes(self, other: Self) -> bool {
        (self.weight, self.is_named, other.position) > (other.weight, other.is_named, self.position)
    }
}

/// Returns the value of the parameter `q`. Without it, the weight is 1. With an invalid value, the client does not accept
/// the encoding.
fn weight(params: &str) -> f32 {
    let value = params.split(';').find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
    });
    value.map_or(1.0, |value| value.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::Read;
    use std::sync::Arc;
    use std::task::Poll;

    use super::*;

    fn negotiated(accepted: &str) -> Option<Encoding> {
        let value = HeaderValue::from_str(accepted).unwrap();
        Encoding::negotiate(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]))
    }

    #[test]
    fn the_encoding_is_the_one_that_node_would_use() {
        for (accepted, encoding) in [
            ("gzip, deflate", Some(Encoding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Encoding::Gzip)),
            ("deflate", Some(Encoding::Deflate)),
            ("deflate, gzip", Some(Encoding::Deflate)),
            ("GZip", Some(Encoding::Gzip)),
            ("*", Some(Encoding::Gzip)),
            ("gzip;q=0.5, deflate;q=0.8", Some(Encoding::Deflate)),
            ("gzip ; q=0.5 , deflate", Some(Encoding::Deflate)),
            ("gzip;q=0, *", Some(Encoding::Deflate)),
            ("gzip;q=0.1, *;q=0.9", Some(Encoding::Deflate)),
            ("*, deflate", Some(Encoding::Deflate)),
            ("gzip;q=0, deflate;q=0.0", None),
            ("*;q=0", None),
            ("br, identity", None),
            ("gzip;q=high", None),
            ("gzip;q=NaN", None),
            ("gzip;q=-1", None),
            (";;,,=", None),
            ("", None),
        ] {
            assert_eq!(negotiated(accepted), encoding, "{accepted:?}");
        }
        assert_eq!(Encoding::negotiate(&HeaderMap::new()), None);
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("deflate"));
        assert_eq!(Encoding::negotiate(&headers), Some(Encoding::Deflate));
    }

    /// Compresses a payload while nothing else is compressed.
    async fn compress(encoding: Encoding, payload: &[u8], level: u8) -> Option<Vec<u8>> {
        encoding.compress(payload, level, &CompressionCapacity::new(1)).await
    }

    fn inflate(encoding: Encoding, compressed: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        match encoding {
            Encoding::Gzip => flate2::read::GzDecoder::new(compressed).read_to_end(&mut payload),
            Encoding::Deflate => flate2::read::ZlibDecoder::new(compressed).read_to_end(&mut payload),
        }
        .expect("a whole stream");
        payload
    }

    #[tokio::test]
    async fn what_is_compressed_is_what_is_inflated_for_every_length_around_a_piece() {
        for encoding in Encoding::ALL {
            for length in [1_024, PIECE_LEN - 1, PIECE_LEN, PIECE_LEN + 1, PIECE_LEN * 2, PIECE_LEN * 5 + 7] {
                let payload: Vec<u8> =
                    (0..length).flat_map(|number| number.to_string().into_bytes()).take(length).collect();
                let compressed = compress(encoding, &payload, 6).await.expect("text shrinks");
                assert!(compressed.len() < length / 2 && compressed.capacity() < length, "{length}");
                assert!(inflate(encoding, &compressed) == payload, "{encoding:?} {length}");
            }
        }
    }

    #[tokio::test]
    async fn a_compressor_that_is_used_again_does_not_remember_its_level_or_its_last_payload() {
        let payload = "abc".repeat(1_000).into_bytes();
        let first = compress(Encoding::Gzip, &payload, 9).await;
        assert_eq!(compress(Encoding::Gzip, &payload, 9).await, first);
        assert_eq!(&first.unwrap()[..4], [0x1f, 0x8b, 8, 0], "RFC 1952 §2.3.1");
        let deflated = compress(Encoding::Deflate, &payload, 0).await.unwrap();
        assert_eq!(deflated[0], 0x78, "the header of zlib, RFC 1950 §2.2");
    }

    #[tokio::test]
    async fn what_does_not_shrink_is_not_compressed() {
        let mut random = vec![0; PIECE_LEN * 2];
        getrandom::fill(&mut random).unwrap();
        for length in [1_024, PIECE_LEN * 2] {
            assert_eq!(compress(Encoding::Gzip, &random[..length], 6).await, None, "{length}");
        }
    }

    /// Lets `count` tasks compress a payload at the same time. Returns how many have compressed it.
    async fn compressed_at_once(
        capacity: &Arc<CompressionCapacity>,
        payload: &Arc<[u8]>,
        count: usize,
    ) -> usize {
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let (capacity, payload) = (Arc::clone(capacity), Arc::clone(payload));
                tokio::spawn(async move { Encoding::Gzip.compress(&payload, 1, &capacity).await.is_some() })
            })
            .collect();
        let mut compressed = 0;
        for task in tasks {
            compressed += usize::from(task.await.unwrap());
        }
        compressed
    }

    #[tokio::test]
    async fn of_many_payloads_at_once_some_are_compressed_and_the_others_do_not_wait() {
        let capacity = Arc::new(CompressionCapacity::new(2));
        for (len, expected) in [
            (PIECE_LEN * 3, MAX_LONG_PAYLOADS),
            (PIECE_LEN, 2 * MAX_SHORT_BYTES_PER_CORE / PIECE_LEN),
            (1_024, 2 * MAX_SHORT_BYTES_PER_CORE / 1_024),
        ] {
            let payload: Arc<[u8]> = vec![b'a'; len].into();
            // The second time shows that every permit has been returned.
            for _ in 0..2 {
                assert_eq!(compressed_at_once(&capacity, &payload, expected * 3).await, expected, "{len}");
            }
        }
    }

    #[tokio::test]
    async fn a_payload_that_is_dropped_while_it_is_compressed_returns_its_permit() {
        let capacity = CompressionCapacity::new(1);
        let all = MAX_LONG_PAYLOADS + MAX_SHORT_BYTES_PER_CORE;
        for len in [1_024, PIECE_LEN * 3] {
            let payload = vec![b'a'; len];
            let mut compressing = Box::pin(Encoding::Gzip.compress(&payload, 1, &capacity));
            std::future::poll_fn(|cx| {
                assert!(compressing.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(capacity.long.available_permits() + capacity.short.available_permits() < all);
            drop(compressing);
        }
        assert_eq!(capacity.long.available_permits(), MAX_LONG_PAYLOADS);
        assert_eq!(capacity.short.available_permits(), MAX_SHORT_BYTES_PER_CORE);
    }
}
