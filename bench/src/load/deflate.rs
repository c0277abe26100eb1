//! permessage-deflate in the generator: requests compressed ahead, answers inflated to be checked.
//!
//! The generator must stay cheaper than any server. So the long part of a request is compressed once, before the run, and
//! its numbers stand before that in a block that is only stored. No request refers to one before it, which is always
//! allowed. Answers are inflated and compared like all others; of those that come to everybody, only one of each.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};

/// What is left out at the end of a message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes before the text of a stored block (RFC 1951 §3.2.4).
pub(super) const STORED_HEADER: usize = 5;

/// Answers that are remembered, where the same one comes to many.
const REMEMBERED: usize = 16;

/// No answer is longer.
const LONGEST: usize = 4 << 20;

/// `text` as a compressed message, of which the first `stored` bytes stand as they are behind [`STORED_HEADER`].
pub(super) fn pack(text: &[u8], stored: usize, agreement: &Agreement) -> Vec<u8> {
    let (numbers, rest) = text.split_at(stored);
    let length = u16::try_from(stored).expect("the numbers are few");
    let mut out = vec![0];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(numbers);
    let room = out.len() + rest.len() + 1024;
    out.reserve(room);
    // The level of browsers.
    Compress::new_with_window_bits(flate2::Compression::default(), false, agreement.client_window_bits())
        .compress_vec(rest, &mut out, FlushCompress::Sync)
        .expect("compressing does not fail");
    assert!(out.ends_with(&TAIL), "there was room for all of it");
    out.truncate(out.len() - TAIL.len());
    out
}

/// What the server has agreed to.
#[derive(Debug, Clone)]
pub(super) struct Agreement {
    /// The value of its `Sec-WebSocket-Extensions`.
    answer: String,
}

impl Agreement {
    /// `None`: the server has declined.
    pub(super) fn of(answer: Option<&[u8]>) -> Result<Option<Self>> {
        let Some(answer) = answer else { return Ok(None) };
        let answer = std::str::from_utf8(answer).context("the extensions")?.to_ascii_lowercase();
        ensure!(answer.starts_with("permessage-deflate"), "the server wants {answer:?}");
        Ok(Some(Self { answer }))
    }

    /// Whether the server's messages may refer to those before them.
    fn server_takes_over(&self) -> bool {
        !self.answer.contains("server_no_context_takeover")
    }

    /// How far back the client may refer, as a power of two.
    fn client_window_bits(&self) -> u8 {
        let bits =
            self.answer.split("client_max_window_bits=").nth(1).map(|rest| rest.trim_matches(['"', ' ']));
        let digits =
            bits.map(|bits| bits.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default());
        // zlib makes nothing of 8.
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(15).max(9)
    }

    /// For the table.
    pub(super) fn describe(&self) -> String {
        let client_takes_over = !self.answer.contains("client_no_context_takeover");
        let mut text = match (self.server_takes_over(), client_takes_over) {
            (false, false) => "no takeover",
            (true, false) => "takeover by the server",
            (false, true) => "takeover by the client",
            (true, true) => "takeover",
        }
        .to_owned();
        for bits in
            self.answer.split(';').map(str::trim).filter(|parameter| parameter.contains("window_bits"))
        {
            text.push_str(", ");
            text.push_str(bits);
        }
        text
    }
}

/// Inflates the answers to all connections.
pub(super) struct Inflater {
    /// Where the server's messages refer to those before them, one for each connection.
    own: Option<Vec<Decompress>>,
    shared: Decompress,
    text: Vec<u8>,
    /// What came compressed and what it was, where the same answer comes to many.
    remembered: Option<VecDeque<(Vec<u8>, Vec<u8>)>>,
}

impl Inflater {
    /// `repeats`: that the same answer comes to many.
    pub(super) fn new(agreement: &Agreement, connections: usize, repeats: bool) -> Self {
        let takes_over = agreement.server_takes_over();
        let own = takes_over.then(|| (0..connections).map(|_| Decompress::new(false)).collect());
        let remembered = (repeats && !takes_over).then(VecDeque::new);
        Self { own, shared: Decompress::new(false), text: Vec::new(), remembered }
    }

    /// The text of an answer.
    pub(super) fn inflate(&mut self, place: usize, payload: &[u8]) -> Result<&[u8]> {
        if let Some(remembered) = &self.remembered
            && let Some(known) = remembered.iter().position(|(compressed, _)| compressed == payload)
        {
            self.text.clone_from(&remembered[known].1);
            return Ok(&self.text);
        }
        let zlib = match &mut self.own {
            Some(own) => &mut own[place],
            None => {
                // A message that refers to another one all the same is found out here.
                self.shared.reset(false);
                &mut self.shared
            }
        };
        let text = &mut self.text;
        text.clear();
        for mut input in [payload, &TAIL] {
            while !input.is_empty() || text.len() == text.capacity() {
                if text.len() == text.capacity() {
                    ensure!(text.len() < LONGEST, "an answer without end");
                    text.reserve(text.len().max(4096));
                }
                let before = (zlib.total_in(), zlib.total_out());
                zlib.decompress_vec(input, text, FlushDecompress::Sync)
                    .context("an answer does not inflate")?;
                input = &input[(zlib.total_in() - before.0) as usize..];
                let progressed = before != (zlib.total_in(), zlib.total_out());
                ensure!(progressed || input.is_empty(), "an answer does not inflate");
            }
        }
        if let Some(remembered) = &mut self.remembered {
            if remembered.len() == REMEMBERED {
                remembered.pop_front();
            }
            remembered.push_back((payload.to_vec(), self.text.clone()));
        }
        Ok(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(answer: &str) -> Agreement {
        Agreement::of(Some(answer.as_bytes())).unwrap().unwrap()
    }

    #[test]
    fn what_is_packed_inflates_whatever_its_numbers_are() {
        let text = b"00000:000000000 and what follows, and what follows, and what follows".repeat(100);
        let none = agreed("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        let mut packed = pack(&text, 15, &none);
        assert!(packed.len() < text.len() / 4);
        packed[STORED_HEADER] = b'7';
        let mut inflater = Inflater::new(&none, 1, false);
        for _ in 0..2 {
            let inflated = inflater.inflate(0, &packed).unwrap();
            assert_eq!((inflated[0], &inflated[1..]), (b'7', &text[1..]));
        }
        assert!(inflater.inflate(0, b"nonsense").is_err());
    }

    #[test]
    fn a_server_can_demand_a_smaller_window() {
        for (answer, bits) in [
            ("permessage-deflate", 15),
            ("permessage-deflate; client_max_window_bits=9", 9),
            ("permessage-deflate; client_max_window_bits=\"12\"; server_no_context_takeover", 12),
        ] {
            assert_eq!(agreed(answer).client_window_bits(), bits, "{answer}");
        }
    }

    #[test]
    fn a_message_that_refers_to_one_before_it_is_read_where_that_was_agreed_on_and_only_there() {
        let text = b"nothing in it repeats: abcdefghijklmnopqrstuvwxyz".to_vec();
        let mut zlib = Compress::new(flate2::Compression::default(), false);
        let [first, second] = [(); 2].map(|()| {
            let mut out = Vec::with_capacity(1024);
            zlib.compress_vec(&text, &mut out, FlushCompress::Sync).unwrap();
            out.truncate(out.len() - TAIL.len());
            out
        });
        let mut taking_over = Inflater::new(&agreed("permessage-deflate"), 2, true);
        assert_eq!(taking_over.inflate(1, &first).unwrap(), text);
        assert_eq!(taking_over.inflate(1, &second).unwrap(), text);
        let mut strict = Inflater::new(&agreed("permessage-deflate; server_no_context_takeover"), 2, true);
        assert_eq!(strict.inflate(1, &first).unwrap(), text);
        assert!(strict.inflate(1, &second).is_err());
    }
}
