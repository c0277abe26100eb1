//! The names and texts that visitors write.

use super::super::text::{is_hidden, single_line};
use super::limits::{MAX_ROOM_NAME_CHARS, Refusal};

/// Returns the name of a person: without unprintable characters, and with single spaces.
pub(super) fn name(text: &str, max_chars: usize) -> Result<String, Refusal> {
    let name = single_line(text, max_chars).ok_or(Refusal::Name)?;
    // A name of marks alone is invisible.
    if name.chars().any(char::is_alphanumeric) { Ok(name) } else { Err(Refusal::Name) }
}

/// Returns the name of a room, in lower case.
pub(super) fn room_name(text: &str) -> Result<String, Refusal> {
    let name = single_line(text, MAX_ROOM_NAME_CHARS).ok_or(Refusal::RoomName)?.to_lowercase();
    let is_proper = name.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-')
        && name.chars().any(char::is_alphanumeric)
        && name.chars().count() <= MAX_ROOM_NAME_CHARS; // in lower case, some letters become two
    if is_proper { Ok(name) } else { Err(Refusal::RoomName) }
}

/// Returns the text of a message: without control characters except the ends of lines.
pub(super) fn message(text: &str, max_chars: usize) -> Result<String, Refusal> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    if text.is_empty() || text.chars().count() > max_chars {
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
        assert_eq!(name("\u{202e}evil\u{200b}", 24).as_deref(), Ok("evil"));
        assert_eq!(name(&"é".repeat(24), 24), Ok("é".repeat(24)));
        for refused in [&"é".repeat(25), "", " \u{200b} ", "...", &" ".repeat(1_000_000)] {
            assert_eq!(name(refused, 24), Err(Refusal::Name));
        }
    }

    #[test]
    fn the_name_of_a_room_has_letters_digits_spaces_and_hyphens() {
        assert_eq!(room_name(" Tea  Time-2 ").as_deref(), Ok("tea time-2"));
        assert_eq!(room_name(&"x".repeat(24)), Ok("x".repeat(24)));
        for refused in [&"x".repeat(25), "", "-", "a/b", "<b>", "chat:x", &"İ".repeat(24)] {
            assert_eq!(room_name(refused), Err(Refusal::RoomName), "{refused}");
        }
    }

    #[test]
    fn a_message_has_one_to_1000_characters_and_keeps_its_lines() {
        assert_eq!(message(" a\r\n\tb\u{0}\u{202e} ", 1_000).as_deref(), Ok("a\nb"));
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(message(family, 1_000).as_deref(), Ok(family));
        assert_eq!(message(&"é".repeat(1_000), 1_000), Ok("é".repeat(1_000)));
        assert_eq!(message(&"é".repeat(1_001), 1_000), Err(Refusal::Text));
        assert_eq!(message(" \n ", 1_000), Err(Refusal::Text));
    }
}
