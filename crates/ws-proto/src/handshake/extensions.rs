//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use super::is_token_byte;

/// An item of a list of extensions, in the order of the list.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ExtensionListItem<'v> {
    /// The name of an extension. Its parameters follow.
    Extension(&'v str),
    /// A parameter and its value, without quotes.
    Parameter(&'v str, Option<&'v str>),
}

/// Parses a list of extensions in one pass, and calls `each` for every item. Returns `false` if the list is
/// malformed; `each` may already have been called by then.
///
/// A list may be blank. RFC 6455 requires an element, but some proxies blank a header instead of removing it.
///
/// Allocates only for quoted values.
pub(crate) fn parse_extension_list(value: &[u8], mut each: impl FnMut(ExtensionListItem<'_>)) -> bool {
    let mut scanner = Scanner(value);
    loop {
        // Elements of a list may be empty (RFC 9110 §5.6.1.2).
        if !matches!(scanner.peek(), Some(b',') | None) && scanner.extension(&mut each).is_none() {
            return false;
        }
        match scanner.peek() {
            None => return true,
            Some(_) if scanner.take(b',') => {}
            Some(_) => return false,
        }
    }
}

/// The unread part of the list.
struct Scanner<'v>(&'v [u8]);

impl<'v> Scanner<'v> {
    /// Parses `token *( ";" token [ "=" ( token | quoted-string ) ] )`. Returns `None` if the input does not match.
    fn extension(&mut self, each: &mut impl FnMut(ExtensionListItem<'_>)) -> Option<()> {
        each(ExtensionListItem::Extension(self.token()?));
        while self.take(b';') {
            let name = self.token()?;
            if !self.take(b'=') {
                each(ExtensionListItem::Parameter(name, None));
            } else if self.take(b'"') {
                each(ExtensionListItem::Parameter(name, Some(&self.quoted_token()?)));
            } else {
                each(ExtensionListItem::Parameter(name, Some(self.token()?)));
            }
        }
        Some(())
    }

    fn token(&mut self) -> Option<&'v str> {
        self.peek();
        let len = self.0.iter().take_while(|byte| is_token_byte(byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        if token.is_empty() { None } else { std::str::from_utf8(token).ok() }
    }

    /// Parses the rest of a quoted string. After unescaping, its content must be a token.
    fn quoted_token(&mut self) -> Option<String> {
        let mut token = String::new();
        loop {
            match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return if token.is_empty() { None } else { Some(token) };
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(byte) => {
                    self.0 = rest;
                    token.push(char::from(*byte));
                }
                _ => return None,
            }
        }
    }

    /// Skips whitespace and returns the next byte.
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
