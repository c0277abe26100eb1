//! Searching and writing JSON strings.
//!
//! Hot path for encoding and decoding. To escape a string, serde_json examines each byte separately, with eight
//! instructions per byte. For a text of one KiB, this costs more than all other work to send the text.

/// Writes a string with its quotes. Escapes the same characters as `JSON.stringify`: only those that must be escaped,
/// in the short form if there is one.
#[inline]
pub(crate) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_json_escaped(out, text);
    out.push(b'"');
}

/// Writes a string like [`write_json_string`], but without quotes, for a string that is written in pieces.
pub(crate) fn write_json_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, others) = rest.split_at(unescaped_prefix_len(rest));
        out.extend_from_slice(plain);
        let Some((&special, others)) = others.split_first() else { break };
        rest = others;
        let short = match special {
            b'"' | b'\\' => special,
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[
                    DIGITS[usize::from(control >> 4)],
                    DIGITS[usize::from(control & 15)],
                ]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

/// Returns the number of bytes before the first quote, backslash or control character.
pub(crate) fn unescaped_prefix_len(bytes: &[u8]) -> usize {
    let start = unescaped_blocks_len(bytes);
    let rest = &bytes[start..];
    let (words, _) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let specials = special_mask(u64::from_le_bytes(*word));
        if specials != 0 {
            return start + index * 8 + specials.trailing_zeros() as usize / 8;
        }
    }
    match rest.last_chunk::<8>() {
        // The last word overlaps with bytes that are known to contain no special byte.
        Some(word) => match special_mask(u64::from_le_bytes(*word)) {
            0 => bytes.len(),
            specials => bytes.len() - 8 + specials.trailing_zeros() as usize / 8,
        },
        None => start + rest.iter().take_while(|&&byte| !is_special(byte)).count(),
    }
}

/// Returns the number of bytes in the leading blocks that contain no special byte. Within a block there is no early
/// exit, so that the compiler can use vector instructions.
fn unescaped_blocks_len(bytes: &[u8]) -> usize {
    let has_special =
        |block: &[u8; 64]| block.iter().fold(0, |any, &byte| any | u8::from(is_special(byte))) != 0;
    let (blocks, _) = bytes.as_chunks::<64>();
    64 * blocks.iter().take_while(|block| !has_special(block)).count()
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Sets the top bit of the lowest special byte. May also set the top bit of higher bytes that are not special, but of
/// no lower byte.
fn special_mask(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_necessary_characters_are_escaped_in_the_short_form() {
        let mut out = Vec::new();
        write_json_string(&mut out, "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é☃😀\u{2028}");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é☃😀\u{2028}\""
        );
    }

    #[test]
    fn a_special_byte_is_found_at_any_position() {
        for special in (0..0x20).chain([b'"', b'\\']) {
            for length in 0..100 {
                // Bytes that differ from a special byte in one bit, and bytes with the top bit set, must not be
                // mistaken for a special byte.
                for plain in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff] {
                    let mut bytes = vec![plain; length];
                    assert_eq!(unescaped_prefix_len(&bytes), length);
                    bytes.extend([special, plain, special]);
                    assert_eq!(
                        unescaped_prefix_len(&bytes),
                        length,
                        "{special:#x} after {length} times {plain:#x}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_string_is_written_as_serde_json_writes_it(text in r#"([a-z]{0,40}|["\\/\n\u{0}-\u{1f}]|é|☃|.{0,3}){0,12}"#) {
            let mut out = Vec::new();
            write_json_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
