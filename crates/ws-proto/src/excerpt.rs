//! Safe display of text from a peer.

use std::fmt::{self, Display, Write as _};

/// The maximum length of an [`Excerpt`] in characters.
const MAX_CHARS: usize = 200;

/// Displays the beginning of a text that may contain input of a peer, for a log or an error message. Shows at most 200
/// characters, followed by `…` if the text is longer. Characters that are not printable are escaped, so the text cannot
/// break a log line.
///
/// ```
/// # use tidewire_ws_proto::Excerpt;
/// assert_eq!(Excerpt("it's\na \"name\"").to_string(), r#"it's\na "name""#);
/// assert_eq!(Excerpt("x".repeat(1_000_000)).to_string(), "x".repeat(200) + "…");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excerpt<T>(pub T);

impl<T: Display> Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = TruncatingWriter { inner: f, remaining: MAX_CHARS, is_truncated: false };
        match write!(cut, "{}", self.0) {
            // The writer stopped at the limit.
            Err(fmt::Error) if cut.is_truncated => f.write_char('…'),
            written => written,
        }
    }
}

/// Writes up to `remaining` characters and then stops the formatting with an error.
struct TruncatingWriter<'a, 'f> {
    inner: &'a mut fmt::Formatter<'f>,
    remaining: usize,
    is_truncated: bool,
}

impl fmt::Write for TruncatingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.is_truncated = self.remaining == 0;
            if self.is_truncated {
                return Err(fmt::Error);
            }
            self.remaining -= 1;
            match character {
                // `escape_debug` would escape these too, but they are harmless in a log.
                '"' | '\'' | '\\' => self.inner.write_char(character)?,
                _ => write!(self.inner, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_printable_text_is_unchanged() {
        for text in ["", "a name", r#"C:\path "quoted" 'twice'"#, "Grüße, мир, 世界 🦀"] {
            assert_eq!(Excerpt(text).to_string(), text);
        }
        let exactly = "é".repeat(200);
        assert_eq!(Excerpt(&exactly).to_string(), exactly);
        assert_eq!(Excerpt(format_args!("{exactly}{}", 1)).to_string(), exactly + "…");
    }

    #[test]
    fn line_breaks_and_terminal_controls_are_escaped() {
        let text = "a\r\nWARN forged\x1b[31m\0\u{202e}\u{9b}";
        let shown = Excerpt(text).to_string();
        assert_eq!(shown, r"a\r\nWARN forged\u{1b}[31m\0\u{202e}\u{9b}");
        assert!(!shown.contains(char::is_control));
    }
}
