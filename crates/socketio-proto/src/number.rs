//! Numbers as `JSON.stringify` writes them.

/// Writes an integer in decimal digits.
#[inline]
pub(crate) fn write_integer<N: itoa::Integer>(text: &mut Vec<u8>, value: N) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number like JavaScript, with the fewest digits that parse back to the same number. NaN and infinities are
/// written as `null`.
pub(crate) fn write_float<F: ryu_js::Float + Into<f64>>(text: &mut Vec<u8>, value: F) {
    if value.into().is_finite() {
        text.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
    } else {
        text.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stringify<F: ryu_js::Float + Into<f64>>(value: F) -> String {
        let mut text = Vec::new();
        write_float(&mut text, value);
        String::from_utf8(text).unwrap()
    }

    /// The expected texts are the output of `JSON.stringify` in V8.
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
