//! Texts that visitors write and others see.

/// Returns a text in one line: without hidden characters, and with single spaces. `None` if nothing is left, or more than
/// `max_chars` characters.
pub(super) fn single_line(text: &str, max_chars: usize) -> Option<String> {
    // A word of the longest text has at most as many characters as the text: the loop is short for any input.
    if text.len() > 16 * max_chars {
        return None;
    }
    let visible: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_hidden(*c)).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    (1..=max_chars).contains(&line.chars().count()).then_some(line)
}

/// Whether a character shows nothing, or changes the direction of what comes after it. The joiners U+200C and U+200D are
/// parts of words and of emoji.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_visible_and_keeps_its_emoji() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        for (text, line) in [
            ("  Calm\n Otter ", Some("Calm Otter")),
            ("\u{202e}evil\u{200b}\u{ad}", Some("evil")),
            (family, Some(family)),
            ("0123456789abcdef", Some("0123456789abcdef")),
            ("0123456789abcdefg", None),
            (" \u{200b}\u{7} ", None),
            ("", None),
            (&" ".repeat(1_000_000), None),
        ] {
            assert_eq!(single_line(text, 16).as_deref(), line, "{text:.20?}");
        }
    }
}
