//! The text of an offset.

/// The number of the logged events up to an event, within one process. The position before the first event is 0.
pub(crate) type Position = u64;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const EPOCH_LEN: usize = 6;
const POSITION_LEN: usize = 8;
const MAX_EPOCH: u64 = (1 << (6 * EPOCH_LEN)) - 1;

/// A random number that differs between processes, and changes when the log has a gap. 36 bits are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Epoch {
    pub(super) fn from_random(random: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(random) & MAX_EPOCH)
    }

    #[cfg(feature = "cluster")]
    pub(super) fn next(self) -> Self {
        Self((self.0 + 1) & MAX_EPOCH)
    }

    /// Returns the offset of a position: 14 characters of base64url, which JSON does not escape. The width is fixed.
    pub(super) fn offset(self, position: Position) -> String {
        let mut text = String::with_capacity(EPOCH_LEN + POSITION_LEN);
        for (value, len) in [(self.0, EPOCH_LEN), (position, POSITION_LEN)] {
            for digit in (0..len).rev() {
                text.push(char::from(ALPHABET[(value >> (6 * digit)) as usize % 64]));
            }
        }
        text
    }

    /// Reads an offset. Returns `None` if the text has another form. The position is `None` if the offset belongs to another
    /// epoch.
    pub(super) fn parse(self, offset: &str) -> Option<Option<Position>> {
        let bytes = offset.as_bytes();
        if bytes.len() != EPOCH_LEN + POSITION_LEN {
            return None;
        }
        let (epoch, position) = bytes.split_at(EPOCH_LEN);
        let (epoch, position) = (number(epoch)?, number(position)?);
        Some((epoch == self.0).then_some(position))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = ALPHABET.iter().position(|known| known == digit)?;
        Some((number << 6) | value as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_has_a_fixed_width_and_maps_back() {
        let epoch = Epoch::from_random([0xff; 8]);
        for position in [0, 1, 63, 64, 1_000_000, (1 << 48) - 1] {
            let offset = epoch.offset(position);
            assert_eq!(offset.len(), 14);
            assert_eq!(epoch.parse(&offset), Some(Some(position)));
            assert_eq!(epoch.next().parse(&offset), Some(None), "another epoch");
        }
        assert_eq!(Epoch::from_random([0; 8]).offset(65), "AAAAAAAAAAAABB");
        for text in ["", "AAAAAAAAAAAAA", "AAAAAAAAAAAAAAA", "AAAAAAAAAAAA\"A", "AAAAAAAAAAAAé"] {
            assert_eq!(epoch.parse(text), None, "{text}");
        }
    }
}
