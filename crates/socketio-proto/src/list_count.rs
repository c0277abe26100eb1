//! The limit on the lists and objects of a packet.

use crate::error::DecodeError;
use crate::scan::{ScanObserver, scan_value_prefix};

/// Returns whether a text of this length can have more than `max` lists and objects. Each takes two bytes.
#[inline]
pub(crate) fn may_exceed(len: usize, max: usize) -> bool {
    len / 2 > max
}

/// Checks that a payload has at most `max` lists and objects. A payload that is not JSON is left to the scanner.
///
/// # Errors
/// Returns an error if there are more.
pub(crate) fn check(payload: &str, max: usize) -> Result<(), DecodeError> {
    // The compiler counts many bytes with each instruction. Brackets in strings are counted too.
    let brackets = payload.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if brackets <= max {
        return Ok(());
    }
    let mut counter = Counter(0);
    let scanned = scan_value_prefix(payload, &mut counter);
    if scanned.is_ok() && counter.0 > max {
        return Err(DecodeError::TooManyListsAndObjects { max });
    }
    Ok(())
}

struct Counter(usize);

impl ScanObserver for Counter {
    const OBSERVES_SCALARS: bool = false;

    fn open(&mut self, _is_object: bool) {
        self.0 += 1;
    }

    fn key(&mut self, _raw: &str) {}
    fn scalar(&mut self, _raw: &str) {}
    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_objects_count_but_brackets_in_strings_do_not() {
        for (payload, count) in [
            ("[]", 1),
            (r#"[[],{},[{"a":[]}]]"#, 6),
            (r#"["[[[[{{{{"]"#, 1),
            (r#"[{"[\"[[":1}]"#, 2),
            (r#"["e","\\",[]]"#, 2),
        ] {
            assert_eq!(check(payload, count), Ok(()), "{payload}");
            let max = count - 1;
            assert_eq!(check(payload, max), Err(DecodeError::TooManyListsAndObjects { max }), "{payload}");
        }
    }
}
