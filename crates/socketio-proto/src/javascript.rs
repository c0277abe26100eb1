//! JSON as `JSON.stringify` writes it, with binary values replaced by placeholders.

use std::io::{self, Write};

use engineio_proto::AttachmentEncoder;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::limits::Limits;

/// Writes numbers as JavaScript does, and bytes as an attachment with its placeholder.
///
/// Fails only for one attachment too many: the text goes to memory.
pub(crate) struct JavaScript<'e> {
    /// Where bytes go; without it they are arrays of numbers.
    pub(crate) attachments: Option<&'e mut AttachmentEncoder>,
}

impl Formatter for JavaScript<'_> {
    fn write_byte_array<W: Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        let Some(attachments) = &mut self.attachments else {
            return CompactFormatter.write_byte_array(writer, value);
        };
        let index = attachments.count();
        if index >= Limits::DEFAULT_MAX_ATTACHMENTS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        attachments.push(value);
        write!(writer, r#"{{"_placeholder":true,"num":{index}}}"#)
    }

    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if is_short_integer(value) {
            return CompactFormatter.write_i64(writer, value as i64);
        }
        if PLAIN.contains(&value.abs()) {
            return CompactFormatter.write_f64(writer, value);
        }
        write_number(writer, |digits| write!(digits, "{value:e}"))
    }

    fn write_f32<W: Write + ?Sized>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        let wide = f64::from(value);
        if is_short_integer(wide) {
            return CompactFormatter.write_i64(writer, wide as i64);
        }
        if PLAIN.contains(&wide.abs()) {
            return CompactFormatter.write_f32(writer, value);
        }
        write_number(writer, |digits| write!(digits, "{value:e}"))
    }
}

/// Where Rust's and JavaScript's shortest notation are alike, fractions given. Either side of it they differ in when
/// the exponent begins, so this range is narrower than both.
const PLAIN: std::ops::Range<f64> = 1e-4..1e9;

/// Integers that are written without fraction or exponent, and exactly, in both languages: `1`, not `1.0`. Minus zero
/// is `0` in JavaScript too.
fn is_short_integer(value: f64) -> bool {
    value.abs() < 1e9 && value.fract() == 0.0
}

/// ECMAScript's `Number::toString` (§6.1.6.1.20) for the remaining numbers, from the shortest digits and the exponent
/// that Rust's `{:e}` finds.
fn write_number<W: Write + ?Sized>(
    writer: &mut W,
    scientific: impl FnOnce(&mut &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    // 17 digits, point, sign, and "e-308".
    let mut buffer = [0; 32];
    let mut free = &mut buffer[..];
    scientific(&mut free)?;
    let unused = free.len();
    let text = std::str::from_utf8(&buffer[..buffer.len() - unused]).map_err(io::Error::other)?;
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |positive| ("-", positive));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().map_err(io::Error::other)?;
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = fraction.len() as i32;
    match exponent {
        21.. | ..=-7 => {
            let point = if fraction.is_empty() { "" } else { "." };
            let plus = if exponent > 0 { "+" } else { "" };
            write!(writer, "{sign}{first}{point}{fraction}e{plus}{exponent}")
        }
        -6..=-1 => {
            write!(writer, "{sign}0.{:0>width$}{fraction}", first, width = exponent.unsigned_abs() as usize)
        }
        _ if digits <= exponent => {
            write!(writer, "{sign}{first}{fraction:0<width$}", width = exponent as usize)
        }
        _ => {
            let (whole, fraction) = fraction.split_at(exponent as usize);
            write!(writer, "{sign}{first}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Serializer;

    use super::*;

    fn stringify<T: Serialize>(value: T) -> String {
        let mut text = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut text, JavaScript { attachments: None });
        value.serialize(&mut serializer).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// What `JSON.stringify` answers in V8.
    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123456789.0, "123456789"),
            (1234567890.0, "1234567890"),
            (1234567890.5, "1234567890.5"),
            (9007199254740991.0, "9007199254740991"),
            (9007199254740993.0, "9007199254740992"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e20, "100000000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.5e21, "-1.5e+21"),
            (1.2345e25, "1.2345e+25"),
            (1e-4, "0.0001"),
            (0.00001, "0.00001"),
            (0.000001, "0.000001"),
            (-0.0000015, "-0.0000015"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1.23e-10, "1.23e-10"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(stringify(value), text);
        }
        for (value, text) in
            [(0.1_f32, "0.1"), (2.0, "2"), (1e21, "1e+21"), (1e-5, "0.00001"), (16777216.0, "16777216")]
        {
            assert_eq!(stringify(value), text);
        }
    }

    #[test]
    fn text_is_escaped_as_javascript_escapes_it() {
        assert_eq!(
            stringify("\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é☃😀\u{2028}"),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é☃😀\u{2028}\""
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_number_reads_back_as_itself(bits: u64, value: f64, narrow: f32) {
            for value in [f64::from_bits(bits), value] {
                if value.is_finite() {
                    prop_assert_eq!(stringify(value).parse::<f64>().unwrap(), value);
                }
            }
            if narrow.is_finite() {
                prop_assert_eq!(stringify(narrow).parse::<f32>().unwrap(), narrow);
            }
        }
    }
}
