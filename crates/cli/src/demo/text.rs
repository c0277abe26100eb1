//! Texts that visitors write and others see.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::GeneralSecurityProfile;

/// Marks that one letter may carry. More of them cover the lines above and below (UTS 39, section 5.4).
const MAX_MARKS: usize = 4;

/// Returns a name in one line, with single spaces, in Unicode's normal form C. `None` if it has more than `max_chars`
/// characters, no letter or digit, or a character that names do not have. These are letters and digits of modern scripts
/// (UTS 39, section 3.1), ASCII punctuation and spaces. Other characters may show nothing, or change the direction of the
/// text around the name.
pub(super) fn visible_name(text: &str, max_chars: usize) -> Option<String> {
    // A word of the longest name has at most as many characters as the name: the loop is short for any input.
    if text.len() > 16 * max_chars {
        return None;
    }
    let composed: String = text.nfc().collect();
    let line = composed.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_proper = (1..=max_chars).contains(&line.chars().count())
        && line.chars().all(|c| c.is_ascii_graphic() || c == ' ' || (c.identifier_allowed() && !is_blank(c)))
        && line.chars().any(|c| c.is_alphanumeric() && !is_combining_mark(c))
        && has_few_marks(&line);
    is_proper.then_some(line)
}

/// Whether each mark has a letter before it, and no letter has many.
fn has_few_marks(line: &str) -> bool {
    let mut room = 0;
    line.chars().all(|c| {
        if !is_combining_mark(c) {
            room = if c == ' ' { 0 } else { MAX_MARKS };
            return true;
        }
        let fits = room > 0;
        room -= usize::from(fits);
        fits
    })
}

/// Whether a character shows nothing, or changes the direction of what comes after it. The joiners U+200C and U+200D are
/// parts of words and of emoji.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}')
}

/// Whether a character shows nothing by itself.
pub(super) fn is_blank(c: char) -> bool {
    // The empty pattern of Braille; joiners, variation selectors and tags, which change the character before them.
    let is_part = matches!(c, '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{2800}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}');
    is_part || is_hidden(c) || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_visible_letters() {
        for (text, line) in [
            ("  Calm\n Otter ", Some("Calm Otter")),
            ("J\u{fc}rgen O'Brien-Stra\u{df}e 2.", Some("J\u{fc}rgen O'Brien-Stra\u{df}e 2.")),
            ("Zoe\u{308}", Some("Zo\u{eb}")),
            ("\u{5f20}\u{4f1f}", Some("\u{5f20}\u{4f1f}")),
            (
                "\u{928}\u{93f}\u{915}\u{94d}\u{915}\u{940}",
                Some("\u{928}\u{93f}\u{915}\u{94d}\u{915}\u{940}"),
            ),
            ("\u{10d2}\u{10d8}", Some("\u{10d2}\u{10d8}")),
            ("0123456789abcdef0123456789", Some("0123456789abcdef0123456789")),
            ("0123456789abcdef01234567890", None),
            ("", None),
            ("...", None),
            (&" ".repeat(1_000_000), None),
        ] {
            assert_eq!(visible_name(text, 26).as_deref(), line, "{text:.20?}");
        }
    }

    #[test]
    fn a_name_with_characters_that_show_nothing_or_turn_the_text_is_refused() {
        for c in "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202e}\
                  \u{2060}\u{2066}\u{2069}\u{206f}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e0041}\u{e0100}\u{7}\u{7f}\u{85}"
            .chars()
            .filter(|c| !c.is_whitespace())
        {
            for text in [format!("Ann{c}"), format!("{c}"), format!("A{c}nn"), format!("{c}{c}Ann")] {
                assert_eq!(visible_name(&text, 16), None, "{text:?}");
            }
        }
    }

    #[test]
    fn a_letter_has_few_marks_and_each_mark_has_a_letter() {
        let marks = |count| "\u{301}".repeat(count);
        let name = format!("q{}x{}", marks(4), marks(4));
        assert_eq!(visible_name(&name, 16), Some(name));
        for refused in
            [format!("q{}", marks(5)), format!("{}Ann", marks(1)), format!("Ann {}b", marks(1)), marks(1)]
        {
            assert_eq!(visible_name(&refused, 16), None, "{refused:?}");
        }
        assert_eq!(visible_name("\u{93f}", 16), None);
    }
}
