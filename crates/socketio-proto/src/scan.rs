//! Validates a JSON text in one pass and finds the parts that a packet needs.
//!
//! Hot path. serde_json can validate a text too, but it allocates memory for every text with two nesting levels, and it
//! does not report where the elements of a list begin. A second pass would be necessary to find them. This scanner
//! allocates nothing up to 128 levels, and one bit per level beyond that. It is not recursive. A property test checks
//! that it accepts exactly the texts that serde_json accepts.

use std::ops::Range;

use crate::json_string::unescaped_prefix_len;
use crate::json_unescape::{Escape, unescape};

/// Receives the parts of a JSON text while it is scanned. The implementation for `()` does nothing and costs nothing.
pub(crate) trait ScanObserver {
    /// Whether [`scalar`](Self::scalar) does something. Otherwise nothing is cut out of the text for it, which costs two
    /// checks.
    const OBSERVES_SCALARS: bool = true;

    /// An object or an array begins.
    fn open(&mut self, is_object: bool);
    /// A key of the innermost object, as written, including its quotes.
    fn key(&mut self, raw: &str);
    /// A value that is neither an object nor an array, as written.
    fn scalar(&mut self, raw: &str);
    /// The innermost object or array ends.
    fn close(&mut self);
}

impl ScanObserver for () {
    const OBSERVES_SCALARS: bool = false;

    fn open(&mut self, _is_object: bool) {}
    fn key(&mut self, _raw: &str) {}
    fn scalar(&mut self, _raw: &str) {}
    fn close(&mut self) {}
}

/// The positions of the parts of a JSON array, as offsets into the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArraySpans {
    /// The range of the first element. Empty if there is none.
    pub(crate) first: Range<usize>,
    /// Whether the first element contains an escape.
    pub(crate) first_has_escape: bool,
    /// The offset of the second element. If there is none, the offset of the closing bracket.
    pub(crate) second_start: usize,
    /// The number of elements.
    pub(crate) len: usize,
    /// Whether a string has half of a surrogate pair, see
    /// [`replace_lone_surrogates`](crate::json_unescape::replace_lone_surrogates).
    pub(crate) has_lone_surrogate: bool,
}

/// The reason why a text is rejected, with the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// The text is not valid JSON from this offset on.
    Syntax(usize),
    /// An object has a key that is reserved by serde_json.
    ReservedKey(usize),
}

/// The prefix of keys that have a special meaning in serde_json. After such a key, `serde_json::Value` parses a
/// *string* as JSON again, with a new nesting limit. With a text of 40 KB, a peer could nest so deeply that parsing
/// overflows the stack, which aborts the process. No program uses such keys, so the scanner rejects them.
pub(crate) const SERDE_JSON_PRIVATE_PREFIX: &str = "$serde_json::private::";

/// Checks that a text is one JSON value. Returns whether a string has half of a surrogate pair.
pub(crate) fn scan_value(text: &str) -> Result<bool, ScanError> {
    let mut scanner = Scanner::new(text);
    scanner.whitespace();
    scanner.value(&mut ())?;
    scanner.end()?;
    Ok(scanner.has_lone_surrogate)
}

/// Scans the JSON value at the beginning of a text and returns where it ends. `observer` receives all values and keys in
/// it.
pub(crate) fn scan_value_prefix<W: ScanObserver>(text: &str, observer: &mut W) -> Result<usize, ScanError> {
    let mut scanner = Scanner::new(text);
    scanner.whitespace();
    scanner.value(observer)?;
    Ok(scanner.position)
}

/// Checks that a text is a JSON array and returns the positions of its elements. `observer` receives all values and
/// keys in it.
pub(crate) fn scan_array<W: ScanObserver>(text: &str, observer: &mut W) -> Result<ArraySpans, ScanError> {
    let mut scanner = Scanner::new(text);
    scanner.whitespace();
    scanner.expect(b'[')?;
    scanner.whitespace();
    let start = scanner.position;
    let mut list = ArraySpans {
        first: start..start,
        first_has_escape: false,
        second_start: start,
        len: 0,
        has_lone_surrogate: false,
    };
    if scanner.peek() != Some(b']') {
        loop {
            let start = scanner.position;
            scanner.value(observer)?;
            list.len += 1;
            if list.len == 1 {
                list.first = start..scanner.position;
                list.first_has_escape = scanner.has_escape;
            }
            scanner.whitespace();
            let more = scanner.peek() == Some(b',');
            if more {
                scanner.position += 1;
                scanner.whitespace();
            }
            if list.len == 1 {
                list.second_start = scanner.position;
            }
            if !more {
                break;
            }
        }
    }
    scanner.expect(b']')?;
    scanner.end()?;
    list.has_lone_surrogate = scanner.has_lone_surrogate;
    Ok(list)
}

/// Whether a key, as written, has the prefix that serde_json reserves. Only a key that contains an escape or begins
/// with `$` can have it.
fn is_reserved_key(key: &str) -> bool {
    if key.contains('\\') {
        unescape(key).starts_with(SERDE_JSON_PRIVATE_PREFIX)
    } else {
        key.starts_with("\"$") && key[1..].starts_with(SERDE_JSON_PRIVATE_PREFIX)
    }
}

struct Scanner<'t> {
    text: &'t str,
    position: usize,
    has_escape: bool,
    has_lone_surrogate: bool,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, position: 0, has_escape: false, has_lone_surrogate: false }
    }

    /// Scans one value with all its nested values. The caller has skipped leading whitespace.
    fn value<W: ScanObserver>(&mut self, observer: &mut W) -> Result<(), ScanError> {
        let mut nesting = Nesting::default();
        'value: loop {
            let start = self.position;
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    self.pass_scalar(start, observer);
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    self.pass_scalar(start, observer);
                }
                Some(b'{') => {
                    observer.open(true);
                    self.position += 1;
                    self.whitespace();
                    nesting.push(true);
                    if self.peek() != Some(b'}') {
                        self.key(observer)?;
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    observer.open(false);
                    self.position += 1;
                    self.whitespace();
                    nesting.push(false);
                    if self.peek() != Some(b']') {
                        continue 'value;
                    }
                }
                Some(b't') => self.literal(b"true", observer)?,
                Some(b'f') => self.literal(b"false", observer)?,
                Some(b'n') => self.literal(b"null", observer)?,
                _ => return Err(self.error()),
            }
            // A value has ended. The next byte must end the array or object around it, or begin the next element.
            while let Some(in_object) = nesting.top() {
                self.whitespace();
                match self.peek() {
                    // A comma directly after an opening bracket never gets here: the code above expects a value or the
                    // closing bracket.
                    Some(b',') => {
                        self.position += 1;
                        self.whitespace();
                        if in_object {
                            self.key(observer)?;
                        }
                        continue 'value;
                    }
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    _ => return Err(self.error()),
                }
                self.position += 1;
                nesting.pop();
                observer.close();
            }
            return Ok(());
        }
    }

    /// Passes on the scalar that ends here.
    #[inline]
    fn pass_scalar<W: ScanObserver>(&self, start: usize, observer: &mut W) {
        if W::OBSERVES_SCALARS {
            observer.scalar(&self.text[start..self.position]);
        }
    }

    /// Scans the key of a member and the colon after it.
    fn key<W: ScanObserver>(&mut self, observer: &mut W) -> Result<(), ScanError> {
        let start = self.position;
        if self.peek() != Some(b'"') {
            return Err(self.error());
        }
        self.string()?;
        let key = &self.text[start..self.position];
        if is_reserved_key(key) {
            return Err(ScanError::ReservedKey(start));
        }
        observer.key(key);
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(())
    }

    fn string(&mut self) -> Result<(), ScanError> {
        self.position += 1;
        loop {
            self.position += unescaped_prefix_len(&self.text.as_bytes()[self.position..]);
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.has_escape = true;
                    self.position += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.position += 1,
                        Some(b'u') => {
                            self.position += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return Err(self.error());
                                }
                                self.position += 1;
                            }
                            self.skip_low_surrogate();
                        }
                        _ => return Err(self.error()),
                    }
                }
                _ => return Err(self.error()),
            }
        }
    }

    /// If the last escape is the first half of a surrogate pair, skips the second half.
    fn skip_low_surrogate(&mut self) {
        match Escape::parse(&self.text[self.position - 6..]) {
            Escape::SurrogatePair => self.position += 6,
            Escape::LoneSurrogate => self.has_lone_surrogate = true,
            Escape::Other => {}
        }
    }

    fn number(&mut self) -> Result<(), ScanError> {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        // A digit at this position follows a leading zero, as in "01".
        match self.peek() {
            Some(b'0'..=b'9') => Err(self.error()),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err(self.error()) } else { Ok(()) }
    }

    fn literal<W: ScanObserver>(
        &mut self,
        literal: &'static [u8],
        observer: &mut W,
    ) -> Result<(), ScanError> {
        let start = self.position;
        for &byte in literal {
            self.expect(byte)?;
        }
        self.pass_scalar(start, observer);
        Ok(())
    }

    fn end(&mut self) -> Result<(), ScanError> {
        self.whitespace();
        if self.position == self.text.len() { Ok(()) } else { Err(self.error()) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.peek() != Some(byte) {
            return Err(self.error());
        }
        self.position += 1;
        Ok(())
    }

    #[inline]
    fn whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn error(&self) -> ScanError {
        ScanError::Syntax(self.position)
    }
}

/// The open brackets as a stack of bits. A set bit stands for an object.
#[derive(Default)]
struct Nesting {
    innermost: u128,
    depth: usize,
    /// The bits of the outer brackets, in full words of 128 bits. 128 open brackets need 16 bytes.
    outer: Vec<u128>,
}

impl Nesting {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(128) {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u128::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.innermost >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(128) {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost open bracket belongs to an object. `None` if no bracket is open.
    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.innermost & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn the_positions_of_the_elements_are_found() {
        for (text, first, second_start, len) in [
            ("[]", 1..1, 1, 0),
            ("[ ]", 2..2, 2, 0),
            (r#"["a"]"#, 1..4, 4, 1),
            (r#" [ "a" , 1 ] "#, 3..6, 9, 2),
            (r#"["a",{"b":[1,2]},null]"#, 1..4, 5, 3),
            ("[[1,2],3]", 1..6, 7, 2),
        ] {
            assert_eq!(
                scan_array(text, &mut ()),
                Ok(ArraySpans {
                    first,
                    first_has_escape: false,
                    second_start,
                    len,
                    has_lone_surrogate: false
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_json_is_rejected_with_its_offset() {
        for (text, offset) in [
            ("", 0),
            ("[", 1),
            ("[1", 2),
            ("[1,", 3),
            ("[1,]", 3),
            ("[,1]", 1),
            ("[1 2]", 3),
            ("[1}", 2),
            ("{1:2}", 1),
            (r#"{"a"}"#, 4),
            (r#"{"a":}"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":1]"#, 6),
            (r#"{,}"#, 1),
            (r#"["a]"#, 4),
            ("[\"a\nb\"]", 3),
            ("[\"12345678\u{1}\"]", 10),
            (r#"["\x"]"#, 3),
            (r#"["\u12g4"]"#, 6),
            ("[01]", 2),
            ("[-]", 2),
            ("[1.]", 3),
            ("[1e]", 3),
            ("[.5]", 1),
            ("[+1]", 1),
            ("[NaN]", 1),
            ("[tru]", 4),
            ("[truee]", 5),
            ("[1]]", 3),
            ("[1] x", 4),
            ("\u{feff}[]", 0),
            ("[\u{a0}1]", 1),
        ] {
            assert_eq!(scan_value(text), Err(ScanError::Syntax(offset)), "{text}");
            assert!(serde_json::from_str::<IgnoredAny>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_serde_json_reserves_is_rejected_with_or_without_escapes() {
        for (text, offset) in [
            (r#"{"$serde_json::private::RawValue":"1"}"#, 1),
            (r#"[{"a":1,"$serde_json::private::Number":"1"}]"#, 8),
            (r#"{"a":{"\u0024serde_json\u003a:private::RawValue":"[]"}}"#, 6),
        ] {
            assert_eq!(scan_value(text), Err(ScanError::ReservedKey(offset)), "{text}");
        }
        for text in [
            r#"{"$":1,"$serde_json":2,"$serde_json::private":3,"\u0024":4,"serde_json::private::RawValue":5}"#,
            r#"["$serde_json::private::RawValue","1"]"#,
            r#"{"a":"$serde_json::private::RawValue"}"#,
        ] {
            assert_eq!(scan_value(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn depth_costs_neither_stack_nor_much_memory() {
        for depth in [1, 127, 128, 129, 256, 257, 100_000] {
            for (open, close) in [("[", "]"), (r#"{"a":[["#, "]]}")] {
                let inside = if open == "[" { "" } else { "1" };
                let text = [&open.repeat(depth), inside, &*close.repeat(depth)].concat();
                assert_eq!(scan_value(&text), Ok(false), "{depth} {open}");
                let cut = &text[..text.len() - 1];
                assert_eq!(scan_value(cut), Err(ScanError::Syntax(cut.len())), "{depth} {open}");
                assert!(scan_value(&open.repeat(depth)).is_err());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn exactly_what_serde_json_accepts_is_accepted(
            text in r#"([\[\]{},:"\\ \n\t]|-|[0-9.eE+]|true|false|null|"a"|"é☃":|\\u00[0-9a-g]{2}|[a-z\u{1}\u{7f}é]){0,14}"#
        ) {
            prop_assert_eq!(scan_value(&text).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn a_character_of_a_string_is_found_at_every_offset(
            before in "[a-zé]{0,20}", special in r#"["\\\u{0}-\u{1f}]"#, after in "[a-z\u{80}-\u{ffff}]{0,20}"
        ) {
            let text = format!("\"{before}{special}{after}\"");
            prop_assert_eq!(scan_value(&text).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }
}
