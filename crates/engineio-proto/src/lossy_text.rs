//! The text of a body that should be UTF-8, as the Node server reads it.

/// Returns the text of `bytes`. Invalid UTF-8 becomes U+FFFD, as in the Node server: the length of a maximal invalid
/// sequence does not matter (Unicode 16, §3.9, "U+FFFD Substitution of Maximal Subparts").
///
/// Returns `None` if the text is longer than `limit` bytes. U+FFFD is three bytes long, so the text of an invalid body
/// may have up to three times its length.
pub(crate) fn decode(bytes: Vec<u8>, limit: usize) -> Option<String> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(invalid) => {
            let mut text = String::with_capacity(invalid.as_bytes().len());
            for chunk in invalid.as_bytes().utf8_chunks() {
                text.push_str(chunk.valid());
                if !chunk.invalid().is_empty() {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
                if text.len() > limit {
                    return None;
                }
            }
            text
        }
    };
    (text.len() <= limit).then_some(text)
}
