//! Numbers that look random. The same seed makes the same ones in every build.

/// SplitMix64. Nothing here must be unpredictable.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Starts the sequence of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// Returns an index below `len`, which must not be 0.
    pub(super) fn below(&mut self, len: usize) -> usize {
        (self.next() % len as u64) as usize
    }
}
