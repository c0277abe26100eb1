//! Base64 as clients write it.
//!
//! Clients differ in how they write base64: with line breaks (a Java encoder breaks every 76 characters), without
//! padding, or with the URL-safe alphabet. The Node server accepts all of these, so we do too, by the rule of Node's
//! `Buffer.from(text, "base64")`:
//!
//! - The alphabets of RFC 4648 §4 and §5 both count, also mixed.
//! - The first `=` ends the data.
//! - Every other character is skipped.
//! - Bits that do not make a whole byte are dropped.
//!
//! So there is no invalid base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes base64. Text in the form that this crate writes is decoded fast. Any other text is decoded a second time, one
/// character at a time.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|_| decode_leniently(text))
}

fn decode_leniently(text: &str) -> Vec<u8> {
    // The characters that are skipped count here too, so this is at most a few bytes more than the text.
    let mut bytes = Vec::with_capacity((text.len() / 4 + 1) * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.bytes().take_while(|byte| *byte != b'=').filter_map(sextet) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            // Keeps the lowest eight bits.
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// Returns the six bits of a character, or `None` if it belongs to no alphabet.
fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each row is what `Buffer.from(text, "base64")` returns in Node 20.
    #[test]
    fn everything_is_decoded_as_node_decodes_it() {
        for (text, bytes) in [
            ("AQIDBA==", &[1, 2, 3, 4][..]),
            ("AQID\r\nBA==", &[1, 2, 3, 4]),
            ("AQIDBA==\r\n", &[1, 2, 3, 4]),
            ("AQIDBA\r\n==\r\n", &[1, 2, 3, 4]),
            (" AQ\tID ", &[1, 2, 3]),
            ("AQIDBA", &[1, 2, 3, 4]),
            ("AQIDBA=", &[1, 2, 3, 4]),
            ("AQID====", &[1, 2, 3]),
            ("+/+/", &[0xfb, 0xff, 0xbf]),
            ("-_-_", &[0xfb, 0xff, 0xbf]),
            ("-/+_", &[0xfb, 0xff, 0xbf]),
            ("AB", &[0]),
            ("AQIDB", &[1, 2, 3]),
            ("A", &[]),
            ("", &[]),
            ("AQ*ID", &[1, 2, 3]),
            ("AQéID", &[1, 2, 3]),
            ("AQID\0BA==", &[1, 2, 3, 4]),
            ("AQ==AQID", &[1]),
            ("A=QID", &[]),
            ("=AQID", &[]),
        ] {
            assert_eq!(decode(text), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn line_breaks_padding_and_the_alphabet_make_no_difference(
            data in proptest::collection::vec(any::<u8>(), 0..300),
            line in 1..100_usize,
        ) {
            let strict = STANDARD.encode(&data);
            prop_assert_eq!(decode(&strict), &*data);
            prop_assert_eq!(decode_leniently(&strict), &*data);
            prop_assert_eq!(decode(strict.trim_end_matches('=')), &*data);
            prop_assert_eq!(decode(&strict.replace('+', "-").replace('/', "_")), &*data);
            let lines: Vec<&str> =
                strict.as_bytes().chunks(line).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
            prop_assert_eq!(decode(&(lines.join("\r\n") + "\r\n")), &*data);
        }
    }
}
