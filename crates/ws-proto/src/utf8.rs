//! Hot path. Validates text that arrives in pieces, which may be cut anywhere.

use crate::copy::append_str;
use crate::mask::mask_copy;
use crate::message_buffer::additional_capacity;

/// The number of bytes that are unmasked at a time, so that they are validated and copied while they are in the
/// nearest cache.
const UNMASK_BLOCK_LEN: usize = 2048;

/// Text under assembly.
///
/// Every piece is validated once, when it arrives. Validated text is stored as a `String`, so handing out the message
/// needs no second validation and no `unsafe`. If bytes can no longer become UTF-8, the piece that contains them is
/// rejected, even in the middle of a character. Autobahn 6.4 calls this strict; RFC 6455 §8.1 only requires that the
/// connection fails.
#[derive(Debug, Default)]
pub(crate) struct TextAssembly {
    text: String,
    /// The beginning of a character whose other bytes have not arrived: at most three bytes. The fourth element takes
    /// the byte that completes the character.
    incomplete: [u8; 4],
    incomplete_len: u8,
}

/// The bytes are not UTF-8, and no further bytes can change that.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct InvalidUtf8;

impl TextAssembly {
    /// Returns the number of bytes that have arrived.
    pub(crate) fn len(&self) -> usize {
        self.text.len() + usize::from(self.incomplete_len)
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Appends `bytes`, which are masked with `key`. `expected` is the number of bytes until the end of the message,
    /// `bytes` included, or `None` if the end is not known.
    pub(crate) fn push_masked(
        &mut self,
        bytes: &[u8],
        key: [u8; 4],
        expected: Option<usize>,
    ) -> Result<(), InvalidUtf8> {
        self.reserve(bytes.len(), expected);
        let mut unmasked = [0; UNMASK_BLOCK_LEN];
        // The block length is a multiple of the key length, so each block begins with the first byte of the key.
        for block in bytes.chunks(UNMASK_BLOCK_LEN) {
            let unmasked = &mut unmasked[..block.len()];
            mask_copy(block, key, unmasked);
            self.push_reserved(unmasked)?;
        }
        Ok(())
    }

    /// Appends `bytes`. `expected` is the number of bytes until the end of the message, `bytes` included, or `None`
    /// if the end is not known.
    pub(crate) fn push(&mut self, bytes: &[u8], expected: Option<usize>) -> Result<(), InvalidUtf8> {
        self.reserve(bytes.len(), expected);
        self.push_reserved(bytes)
    }

    fn reserve(&mut self, arriving: usize, expected: Option<usize>) {
        let open_len = usize::from(self.incomplete_len);
        let expected = expected.map(|bytes| bytes.saturating_add(open_len));
        self.text.reserve_exact(additional_capacity(
            self.text.len(),
            self.text.capacity(),
            open_len + arriving,
            expected,
        ));
    }

    fn push_reserved(&mut self, mut bytes: &[u8]) -> Result<(), InvalidUtf8> {
        while self.incomplete_len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.complete_character(byte)?;
        }
        let (whole, open) = bytes.split_at(bytes.len() - incomplete_suffix_len(bytes));
        append_str(&mut self.text, simdutf8::basic::from_utf8(whole).map_err(|_| InvalidUtf8)?);
        for &byte in open {
            self.complete_character(byte)?;
        }
        Ok(())
    }

    /// Takes the text so far, without an incomplete character at its end.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Returns the text, or an error if it ends in the middle of a character.
    pub(crate) fn finish(self) -> Result<String, InvalidUtf8> {
        if self.incomplete_len == 0 { Ok(self.text) } else { Err(InvalidUtf8) }
    }

    /// Adds a byte to the incomplete character. It has four bytes at most: the incomplete character is a valid
    /// beginning, and no valid beginning is longer than three bytes.
    fn complete_character(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let len = usize::from(self.incomplete_len) + 1;
        *self.incomplete.get_mut(len - 1).ok_or(InvalidUtf8)? = byte;
        match std::str::from_utf8(&self.incomplete[..len]) {
            Ok(character) => {
                self.text.push_str(character);
                self.incomplete_len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => {
                self.incomplete_len = len as u8;
                Ok(())
            }
            Err(_) => Err(InvalidUtf8),
        }
    }
}

/// Returns how many bytes at the end of `bytes` begin a character without completing it. Looks only at its first
/// byte.
fn incomplete_suffix_len(bytes: &[u8]) -> usize {
    for (before, byte) in bytes.iter().rev().take(3).enumerate() {
        let character_len = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let here = before + 1;
        return if here < character_len { here } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters at every boundary of the encoding (RFC 3629 §3 and §4), and byte sequences just outside it.
    const SAMPLES: &[&[u8]] = &[
        b"",
        b"plain",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        "κόσμε, Größe, 漢字, 🦀🦀🦀".as_bytes(),
        b"\xc0\x80",         // overlong
        b"a\xc1\xbf",        // overlong
        b"a\xe0\x9f\xbf",    // overlong, detected at the second byte
        b"\xf0\x8f\xbf\xbf", // overlong, detected at the second byte
        b"ab\xed\xa0\x80cd", // surrogate, detected at the second byte
        b"\xf4\x90\x80\x80", // above U+10FFFF, detected at the second byte
        b"\xf5\x80\x80\x80", // never a first byte
        b"\xff",
        b"abc\x80",              // continuation byte without a first byte
        b"\xe2\x82\xac\x80\x80", // continuation byte after a complete character
        b"\xe2\x28\xa1",         // first byte without a continuation byte
        b"\xf0\x9f\xa6",         // cut off
        b"x\xc3",                // cut off
        "κόσμε\u{d7ff}".as_bytes(),
    ];

    /// Returns the result of std: the text, or the number of bytes after which it is certain that the bytes are not
    /// UTF-8.
    fn by_std(bytes: &[u8]) -> Result<String, usize> {
        for end in 0..=bytes.len() {
            match std::str::from_utf8(&bytes[..end]) {
                Err(error) if error.error_len().is_some() => return Err(end),
                _ => {}
            }
        }
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| bytes.len())
    }

    /// Returns the result of `TextAssembly` for these pieces. An error is the end of the piece that caused it.
    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<String, usize> {
        let mut assembly = TextAssembly::default();
        let mut end = 0;
        for piece in pieces {
            end += piece.len();
            assembly.push(piece, Some(piece.len())).map_err(|_| end)?;
            assert!(assembly.len() == end);
        }
        assembly.finish().map_err(|_| end)
    }

    #[test]
    fn byte_by_byte_it_fails_at_the_very_byte_where_std_would() {
        for sample in SAMPLES {
            assert_eq!(in_pieces(sample.chunks(1)), by_std(sample), "{sample:02x?}");
        }
    }

    #[test]
    fn at_every_two_splits_the_verdict_is_that_of_std_and_comes_with_the_piece_that_decides() {
        for sample in SAMPLES {
            // The longer padding also tests the vectorised path, which begins at 64 bytes.
            for padding in [0, 70] {
                let bytes = [&vec![b'.'; padding], *sample].concat();
                let expected = by_std(&bytes);
                for first in 0..=bytes.len() {
                    for second in first..=bytes.len() {
                        let ends = [first, second, bytes.len()];
                        let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                        let expected = expected
                            .clone()
                            .map_err(|at| ends.into_iter().find(|&end| end >= at).unwrap_or(bytes.len()));
                        assert_eq!(in_pieces(pieces), expected, "{bytes:02x?} at {first} and {second}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_two_bytes_and_every_start_of_three_are_judged_as_std_judges_them() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                for rest in [&b""[..], b"\x80", b"\x80\x80", b"\xbf\xbf", b"a"] {
                    let bytes = [&[first, second], rest].concat();
                    assert_eq!(in_pieces([&bytes[..]]).is_ok(), by_std(&bytes).is_ok(), "{bytes:02x?}");
                    assert_eq!(in_pieces(bytes.chunks(1)), by_std(&bytes), "{bytes:02x?}");
                }
            }
        }
    }
}
