//! A number that keeps its text.

use std::fmt;

use crate::number::write_float;

/// A JSON number. It keeps the text that it was received with, so `1.0` and `12345678901234567890123` are sent as they
/// came. Two numbers are equal if their texts are.
#[derive(Clone, PartialEq)]
pub struct Number(Repr);

#[derive(Clone, PartialEq)]
enum Repr {
    Unsigned(u64),
    /// Always negative.
    Signed(i64),
    /// Finite, and no integer of the two variants above has its text.
    Float(f64),
    /// Any other text.
    Text(Box<str>),
}

impl Number {
    /// Returns the number. `None` if the value is NaN or infinite, which JSON cannot express.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| {
            let mut text = Vec::new();
            write_float(&mut text, value);
            // JavaScript writes 1.0 as 1. The text is ASCII.
            std::str::from_utf8(&text).map_or(Self(Repr::Float(value)), Self::parse)
        })
    }

    /// Returns the number if an `i64` can hold it exactly.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Unsigned(value) => i64::try_from(*value).ok(),
            Repr::Signed(value) => Some(*value),
            Repr::Float(_) | Repr::Text(_) => None,
        }
    }

    /// Returns the number if a `u64` can hold it exactly.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Repr::Unsigned(value) = self.0 { Some(value) } else { None }
    }

    /// Returns the nearest `f64`. A number that is too large is infinite, as in JavaScript.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the nearest number is what the caller asks for")]
        match &self.0 {
            Repr::Unsigned(value) => *value as f64,
            Repr::Signed(value) => *value as f64,
            Repr::Float(value) => *value,
            // JSON's numbers are a part of those that `f64` parses.
            Repr::Text(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Returns the text if it is not the one that the number would be written with otherwise.
    pub(super) fn noncanonical_text(&self) -> Option<&str> {
        if let Repr::Text(text) = &self.0 { Some(text) } else { None }
    }

    /// Takes a JSON number, whose syntax has been checked.
    pub(super) fn parse(text: &str) -> Self {
        // JSON has no leading zeros and no plus sign, so all integers but one have only one text.
        if let Ok(value) = text.parse::<u64>() {
            return Self(Repr::Unsigned(value));
        }
        // `-0` is a float.
        if let Some(Ok(magnitude @ 1..)) = text.strip_prefix('-').map(str::parse::<u64>)
            && let Some(value) = 0_i64.checked_sub_unsigned(magnitude)
        {
            return Self(Repr::Signed(value));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && ryu_js::Buffer::new().format_finite(value) == text => {
                Self(Repr::Float(value))
            }
            _ => Self(Repr::Text(text.into())),
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(Repr::Unsigned(value))
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(u64::try_from(value).map_or(Repr::Signed(value), Repr::Unsigned))
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        u64::from(value).into()
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

/// Writes the number as it is sent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Unsigned(value) => value.fmt(f),
            Repr::Signed(value) => value.fmt(f),
            Repr::Float(value) => f.write_str(ryu_js::Buffer::new().format_finite(*value)),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_text() {
        for text in [
            "0",
            "-0",
            "7",
            "-7",
            "1.0",
            "1.5",
            "1e3",
            "1E+3",
            "0.1",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "12345678901234567890123",
            "1e999",
            "1e21",
            "1e+21",
        ] {
            assert_eq!(Number::parse(text).to_string(), text);
        }
    }

    #[test]
    fn a_number_is_read_as_the_types_that_can_hold_it() {
        let of = |text| {
            let number = Number::parse(text);
            (number.as_u64(), number.as_i64(), number.as_f64())
        };
        assert_eq!(of("7"), (Some(7), Some(7), 7.0));
        assert_eq!(of("-7"), (None, Some(-7), -7.0));
        assert_eq!(of("18446744073709551615"), (Some(u64::MAX), None, 18_446_744_073_709_551_615.0));
        assert_eq!(of("1.5"), (None, None, 1.5));
        assert_eq!(of("1.0"), (None, None, 1.0));
        assert_eq!(of("1e999"), (None, None, f64::INFINITY));
    }

    #[test]
    fn a_whole_float_is_the_integer_that_javascript_writes() {
        assert_eq!(Number::from_f64(3.0), Some(3.into()));
        assert_eq!(Number::from_f64(-0.0).unwrap().to_string(), "0");
        assert_eq!(Number::from_f64(0.5).unwrap().to_string(), "0.5");
        assert_eq!((Number::from_f64(f64::NAN), Number::from_f64(f64::INFINITY)), (None, None));
    }
}
