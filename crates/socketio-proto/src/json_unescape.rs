//! Unescaping JSON strings, also those with half of a surrogate pair.

/// Returns the text of a JSON string, whose syntax has been checked. `raw` includes the quotes. Half of a surrogate pair
/// becomes U+FFFD.
pub(crate) fn unescape(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.get(1..raw.len() - 1).unwrap_or_default().to_owned();
    }
    serde_json::from_str(raw)
        .or_else(|_| serde_json::from_str(&replace_lone_surrogates(raw)))
        .unwrap_or_default()
}

/// Replaces each escape of half of a surrogate pair by `\ufffd`, in a JSON text whose syntax has been checked. The
/// length of the text does not change.
///
/// JavaScript's strings may contain such halves, for instance if a program cuts a text in the middle of an emoji. Rust's
/// strings cannot, and serde_json rejects them.
pub(crate) fn replace_lone_surrogates(json: &str) -> String {
    let mut replaced = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(backslash) = rest.find('\\') {
        let (before, escape) = rest.split_at(backslash);
        replaced.push_str(before);
        let len = match Escape::parse(escape) {
            Escape::LoneSurrogate => {
                replaced.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            Escape::SurrogatePair => 12,
            Escape::Other => 2,
        };
        let (escape, after) = escape.split_at(len);
        replaced.push_str(escape);
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

/// What the escape at the beginning of a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// A character above U+FFFF: two escapes, `\uXXXX\uXXXX`, of 12 bytes together.
    SurrogatePair,
    /// Half of a surrogate pair: one escape, `\uXXXX`, of 6 bytes.
    LoneSurrogate,
    /// Any other escape. The next one begins after its first two bytes.
    Other,
}

impl Escape {
    /// Classifies the escape at the beginning of `text`, a part of a JSON text whose syntax has been checked.
    pub(crate) fn parse(text: &str) -> Self {
        match (unicode_escape(text), text.get(6..).and_then(unicode_escape)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => Self::SurrogatePair,
            (Some(0xd800..=0xdfff), _) => Self::LoneSurrogate,
            _ => Self::Other,
        }
    }
}

/// Returns the code unit of the escape `\uXXXX` at the beginning of a text.
fn unicode_escape(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    // `from_str_radix` accepts a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_surrogate_pair_becomes_the_replacement_character() {
        for (json, text) in [
            (r#""hello \ud83d""#, "hello \u{fffd}"),
            (r#""\uD83D\uDE00""#, "😀"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
            (r#""\\ud83d \ud83dude00""#, "\\ud83d \u{fffd}ude00"),
            (r#""\ud83dé\n""#, "\u{fffd}é\n"),
            (r#""\ud7ff\ue000""#, "\u{d7ff}\u{e000}"),
        ] {
            assert_eq!(unescape(json), text, "{json}");
            let replaced = replace_lone_surrogates(json);
            assert_eq!(
                (replaced.len(), serde_json::from_str(&replaced).ok()),
                (json.len(), Some(text.to_owned()))
            );
            let lone = text.contains('\u{fffd}');
            assert_eq!(crate::scan::scan_value(json), Ok(lone), "{json}");
        }
    }
}
