//! The names and texts that visitors write.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::super::text::{is_blank, is_hidden, visible_name};
use super::limits::{MAX_ROOM_NAME_CHARS, Refusal};

/// Returns the name of a person, with single spaces.
pub(super) fn name(text: &str, max_chars: usize) -> Result<String, Refusal> {
    visible_name(text, max_chars).ok_or(Refusal::Name)
}

/// Returns a name with a number, for a person whose name somebody else has already.
pub(super) fn numbered(name: &str, number: usize, max_chars: usize) -> String {
    let suffix = format!(" {number}");
    let kept: String = name.chars().take(max_chars - suffix.len()).collect();
    format!("{}{suffix}", kept.trim_end())
}

/// Returns the name of a room, in lower case.
pub(super) fn room_name(text: &str) -> Result<String, Refusal> {
    let lower: String =
        text.chars().take(16 * MAX_ROOM_NAME_CHARS).collect::<String>().to_lowercase().nfkc().collect();
    let name = visible_name(&lower, MAX_ROOM_NAME_CHARS).ok_or(Refusal::RoomName)?;
    let is_proper = |c: char| c.is_alphanumeric() || is_combining_mark(c) || c == ' ' || c == '-';
    if name.chars().all(is_proper) { Ok(name) } else { Err(Refusal::RoomName) }
}

/// Returns the text of a message: without control characters except the ends of lines.
pub(super) fn message(text: &str, max_chars: usize) -> Result<String, Refusal> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    if text.chars().count() > max_chars || text.chars().all(is_blank) {
        return Err(Refusal::Text);
    }
    Ok(text.chars().filter(|c| *c == '\n' || !is_hidden(*c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_to_24_characters_without_hidden_ones() {
        assert_eq!(name("  Calm\n Otter ", 24).as_deref(), Ok("Calm Otter"));
        assert_eq!(name(&"é".repeat(24), 24), Ok("é".repeat(24)));
        for refused in
            [&"é".repeat(25), "", "\u{202e}evil\u{200b}", "\u{3164}", "...", &" ".repeat(1_000_000)]
        {
            assert_eq!(name(refused, 24), Err(Refusal::Name), "{refused:.30?}");
        }
    }

    #[test]
    fn a_name_with_a_number_is_not_longer_than_others() {
        assert_eq!(numbered("Ann", 2, 24), "Ann 2");
        assert_eq!(numbered(&"é".repeat(24), 17, 24), format!("{} 17", "é".repeat(21)));
        assert_eq!(numbered("abcd efgh", 2, 7), "abcd 2");
    }

    #[test]
    fn the_name_of_a_room_has_letters_digits_spaces_and_hyphens() {
        assert_eq!(room_name(" Tea  Time-2 ").as_deref(), Ok("tea time-2"));
        assert_eq!(room_name("\u{ff34}EA").as_deref(), Ok("tea"));
        assert_eq!(room_name(&"x".repeat(24)), Ok("x".repeat(24)));
        for refused in [
            &"x".repeat(25),
            "",
            "-",
            "a/b",
            "<b>",
            "chat:x",
            "\u{3164}",
            "a\u{200b}",
            &"İ".repeat(24),
            &"x".repeat(1_000_000),
        ] {
            assert_eq!(room_name(refused), Err(Refusal::RoomName), "{refused:.30}");
        }
    }

    #[test]
    fn a_message_has_one_to_1000_characters_and_keeps_its_lines() {
        assert_eq!(message(" a\r\n\tb\u{0}\u{202e}\u{3164} ", 1_000).as_deref(), Ok("a\nb"));
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(message(family, 1_000).as_deref(), Ok(family));
        assert_eq!(message(&"é".repeat(1_000), 1_000), Ok("é".repeat(1_000)));
        for refused in [&"é".repeat(1_001), " \n ", "\u{200b}", "\u{3164}\n\u{2800}", "\u{200d}\u{fe0f}"] {
            assert_eq!(message(refused, 1_000), Err(Refusal::Text), "{refused:.30?}");
        }
    }
}
