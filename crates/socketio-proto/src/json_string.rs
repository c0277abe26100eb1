//! Searching and writing JSON strings.
//!
//! Hot path for encoding and decoding. To escape a string, serde_json examines each byte separately, with eight
//! instructions per byte. For a text of one KiB, this costs more than all other work to send the text.

/// Writes a string with its quotes. Escapes the same characters as `JSON.stringify`: only those that must be escaped,
/// in the short form if there is one.
#[inline]
pub(crate) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let plain = unescaped_prefix_len(bytes);
    out.extend_from_slice(&bytes[..plain]);
    if plain < bytes.len() {
        write_escaped(out, &bytes[plain..]);
    }
    out.push(b'"');
}

/// Writes a string like [`write_json_string`], but without quotes, for a string that is written in pieces.
pub(crate) fn write_json_escaped(out: &mut Vec<u8>, text: &str) {
    write_escaped(out, text.as_bytes());
}

fn write_escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
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

/// From this length on, a string is searched in windows of this length.
const WINDOW_LEN: usize = 256;

/// Returns the number of bytes before the first quote, backslash or control character.
pub(crate) fn unescaped_prefix_len(bytes: &[u8]) -> usize {
    let Some(first) = bytes.first_chunk::<8>() else { return unescaped_prefix_len_of_short(bytes) };
    // The names of most events end here.
    let specials = special_mask(u64::from_le_bytes(*first));
    if specials != 0 {
        return specials.trailing_zeros() as usize / 8;
    }
    let start = unescaped_blocks_len(bytes);
    let rest = &bytes[start..];
    let (words, _) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let specials = special_mask(u64::from_le_bytes(*word));
        if specials != 0 {
            return start + index * 8 + specials.trailing_zeros() as usize / 8;
        }
    }
    // The last word overlaps with bytes that are known to contain no special byte.
    match bytes.last_chunk::<8>().map_or(0, |word| special_mask(u64::from_le_bytes(*word))) {
        0 => bytes.len(),
        specials => bytes.len() - 8 + specials.trailing_zeros() as usize / 8,
    }
}

/// Does the same for less than eight bytes.
#[inline]
fn unescaped_prefix_len_of_short(bytes: &[u8]) -> usize {
    let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) else {
        return bytes.iter().take_while(|&&byte| !is_special(byte)).count();
    };
    // The two halves of the word may overlap.
    let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    match special_mask(word).trailing_zeros() as usize / 8 {
        in_first @ 0..4 => in_first,
        in_last @ 4..8 => bytes.len() + in_last - 8,
        _ => bytes.len(),
    }
}

/// Returns the number of bytes in the leading blocks that contain no special byte: windows of 256 bytes, blocks of 64, and
/// then perhaps one of 32. Most texts of events are shorter than 64 bytes.
#[inline]
fn unescaped_blocks_len(bytes: &[u8]) -> usize {
    let mut plain = 0;
    if bytes.len() >= WINDOW_LEN {
        let (windows, _) = bytes.as_chunks::<WINDOW_LEN>();
        plain = WINDOW_LEN * windows.iter().take_while(|window| is_plain_window(window)).count();
    }
    let (blocks, rest) = bytes[plain..].as_chunks::<64>();
    for block in blocks {
        if has_special(block) {
            return plain;
        }
        plain += 64;
    }
    match rest.first_chunk::<32>() {
        Some(block) if !has_special(block) => plain + 32,
        _ => plain,
    }
}

/// Returns whether there is no special byte. `memchr2` uses wider instructions than the compiler may, if the processor has
/// them. It must not search beyond a window: a long string may have a control character at each position, and each starts
/// a new search.
fn is_plain_window(window: &[u8; WINDOW_LEN]) -> bool {
    window.iter().fold(u8::MAX, |least, &byte| least.min(byte)) >= 0x20
        && memchr::memchr2(b'"', b'\\', window).is_none()
}

/// Within a block there is no early exit, so that the compiler can use vector instructions.
#[inline]
fn has_special<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(0, |any, &byte| any | u8::from(is_special(byte))) != 0
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Sets the top bit of the lowest special byte. May also set the top bit of higher bytes that are not special, but of
/// no lower byte.
fn special_mask(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let minus = |word: u64, number: u8| word.wrapping_sub(ONES * u64::from(number));
    // A subtraction sets the top bit of a byte that is below the number. Bytes that had a top bit before are not special;
    // they are sorted out once for all three, because no special byte has a top bit that `^` would change.
    let equal = |byte: u8| minus(word ^ (ONES * u64::from(byte)), 1);
    (minus(word, 0x20) | equal(b'"') | equal(b'\\')) & !word & TOPS
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
            for length in (0..100).chain([255, 256, 257, 300, 320, 351, 352, 600]) {
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
