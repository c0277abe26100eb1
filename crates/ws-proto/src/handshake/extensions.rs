//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1). Nothing in it is accepted yet.

use super::is_token_byte;

/// Whether `value` is a list of extensions, each with its parameters.
///
/// One walk without allocation, whatever the length and however quoted.
pub(super) fn is_extension_list(value: &[u8]) -> bool {
    let mut scanner = Scanner(value);
    let mut extensions = 0;
    loop {
        // Between commas there may be nothing, as long as there is something in the end (RFC 2616 §2.1).
        if !matches!(scanner.peek(), Some(b',') | None) {
            if !scanner.extension() {
                return false;
            }
            extensions += 1;
        }
        match scanner.peek() {
            None => return extensions > 0,
            Some(_) if scanner.take(b',') => {}
            Some(_) => return false,
        }
    }
}

/// What is still to be read.
struct Scanner<'v>(&'v [u8]);

impl Scanner<'_> {
    /// `token *( ";" token [ "=" ( token | quoted-string ) ] )`, and whether that is what was there.
    fn extension(&mut self) -> bool {
        let mut valid = self.token();
        while valid && self.take(b';') {
            valid = self.token();
            if valid && self.take(b'=') {
                valid = if self.take(b'"') { self.quoted_token() } else { self.token() };
            }
        }
        valid
    }

    fn token(&mut self) -> bool {
        self.peek();
        let len = self.0.iter().take_while(|byte| is_token_byte(byte)).count();
        self.0 = &self.0[len..];
        len > 0
    }

    /// The rest of a quoted string. Without quotes and backslashes it has to be a token as well.
    fn quoted_token(&mut self) -> bool {
        let mut len = 0;
        loop {
            match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return len > 0;
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(byte) => {
                    self.0 = rest;
                    len += 1;
                }
                _ => return false,
            }
        }
    }

    /// The next byte that is not whitespace.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }
}
