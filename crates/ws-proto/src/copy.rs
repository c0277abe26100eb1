//! Hot path. Copies long payloads in pieces.
//!
//! glibc copies more than a few kilobytes with a single instruction, `rep movsb`. On AMD's Zen 3 and Zen 4, this
//! instruction takes up to fourteen times as long if source and target have nearly the same offset within their pages
//! (glibc bug 30994). Buffers that are allocated in the same way often have such offsets: a message of 1 MiB spent
//! half of its time in this copy. A short piece is copied with vector instructions on every processor, and copying in
//! pieces costs nothing.

/// Shorter than the length at which any version of glibc starts to use `rep movsb`.
const COPY_BLOCK_LEN: usize = 1024;

/// Appends `bytes` to `out`.
#[inline]
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= COPY_BLOCK_LEN {
        return out.extend_from_slice(bytes);
    }
    out.reserve(bytes.len());
    for piece in bytes.chunks(COPY_BLOCK_LEN) {
        out.extend_from_slice(piece);
    }
}

/// Appends `text` to `out`.
#[inline]
pub fn append_str(out: &mut String, mut text: &str) {
    if text.len() > COPY_BLOCK_LEN {
        out.reserve(text.len());
        while text.len() > COPY_BLOCK_LEN {
            // A character boundary is at most three bytes away.
            let end = (COPY_BLOCK_LEN - 3..=COPY_BLOCK_LEN)
                .rev()
                .find(|&end| text.is_char_boundary(end))
                .unwrap_or(text.len());
            let (piece, rest) = text.split_at(end);
            out.push_str(piece);
            text = rest;
        }
    }
    out.push_str(text);
}

/// Copies `bytes` to a `Vec` without spare capacity.
#[inline]
#[must_use]
pub fn to_vec(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.len());
    append(&mut copy, bytes);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_pieces_equals_the_original() {
        let letters = ["a", "ß", "€", "🦀"];
        for letter in letters {
            for length in
                [0, 1, COPY_BLOCK_LEN - 1, COPY_BLOCK_LEN, COPY_BLOCK_LEN + 1, 3 * COPY_BLOCK_LEN + 7]
            {
                for before in ["", "x", "xy", "xyz"] {
                    let text = before.to_owned() + &letter.repeat(length);
                    let (mut copy, mut bytes) = ("there ".to_owned(), b"there ".to_vec());
                    append_str(&mut copy, &text);
                    append(&mut bytes, text.as_bytes());
                    assert!(copy == format!("there {text}"), "{length} times {letter} after {before:?}");
                    assert_eq!(bytes, copy.as_bytes());
                    let copy = to_vec(text.as_bytes());
                    assert_eq!((copy.as_slice(), copy.capacity()), (text.as_bytes(), text.len()));
                }
            }
        }
    }
}
