//! Counts of responses, and how long they took.

/// Counts of responses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Correct responses in the right order.
    pub(super) right: u64,
    /// Correct responses that came after a later one, or before an earlier one.
    pub(super) reordered: u64,
    /// Responses that match no request: damaged, repeated or invented.
    pub(super) wrong: u64,
    /// Requests without a response.
    pub(super) lost: u64,
}

/// A histogram of times in nanoseconds, with a relative error of at most 1/32.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

/// The number of buckets for each power of two.
const STEPS: u64 = 32;

impl Histogram {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; (STEPS * 60) as usize], count: 0, longest: 0 }
    }

    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns the quantile `share` in milliseconds: that share of all times is not longer.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return lower_bound(index as u64 + 1).min(self.longest) as f64 / 1e6;
            }
        }
        self.longest as f64 / 1e6
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let doubling = u64::from(value.ilog2()) - u64::from(STEPS.ilog2());
    (doubling * STEPS + (value >> doubling)) as usize
}

/// Returns the smallest value in a bucket.
fn lower_bound(bucket: u64) -> u64 {
    if bucket < 2 * STEPS {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    (bucket - doubling * STEPS) << doubling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket() {
        for value in [0, 1, 31, 32, 33, 63, 64, 65, 1_000, 123_456_789, 1 << 40] {
            let bucket = bucket(value) as u64;
            assert!(lower_bound(bucket) <= value && value < lower_bound(bucket + 1), "{value} in {bucket}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|millisecond| histogram.record(millisecond * 1_000_000));
        let (half, most) = (histogram.quantile(0.5), histogram.quantile(0.99));
        assert!((50.0..52.0).contains(&half) && (99.0..=100.0).contains(&most), "{half} {most}");
    }
}
