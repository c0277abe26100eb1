//! Hot path. Copies of long payloads, in pieces.
//!
//! The C library copies anything longer than a few kilobytes with one instruction (`rep movsb`), and on some processors that
//! takes fourteen times as long where both ends lie at nearly the same place of their pages (glibc's bug 30994: AMD's Zen 3
//! and 4). Buffers that are allocated alike do, so it is no rare case: a message of 1 MiB spent half of its time there. A piece
//! is short enough for vector instructions, whatever the processor, and copying in pieces costs nothing.

/// Shorter than where any version of glibc begins with `rep movsb`.
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
            // The end of a character is at most three bytes away.
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

/// A copy of `bytes`, without room to spare.
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
    fn what_is_copied_in_pieces_is_what_there_was() {
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
                    assert!(copy == format!("there {text}"), "{length} times {letter} behind {before}");
                    assert_eq!(bytes, copy.as_bytes());
                    let copy = to_vec(text.as_bytes());
                    assert_eq!((copy.as_slice(), copy.capacity()), (text.as_bytes(), text.len()));
                }
            }
        }
    }
}
