//! permessage-deflate in the generator: requests are compressed in advance, and responses are inflated for the checks.
//!
//! The generator must stay cheaper than any server. Therefore the long part of a request is compressed once, before the
//! run. Its numbers come before that part, in a stored (uncompressed) block. No request refers to an earlier one, which
//! is always allowed. Responses are inflated and compared like all others. If the same response goes to many
//! connections, it is inflated only once.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};

/// The bytes removed from the end of a message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The number of bytes before the text of a stored block (RFC 1951 §3.2.4).
pub(super) const STORED_HEADER: usize = 5;

/// The number of responses that are remembered if many connections get the same ones.
const REMEMBERED: usize = 16;

/// The maximum length of a response.
const LONGEST: usize = 4 << 20;

/// Returns `text` as a compressed message. Its first `stored` bytes are stored uncompressed after [`STORED_HEADER`].
pub(super) fn pack(text: &[u8], stored: usize, agreement: &Agreement) -> Vec<u8> {
    let (numbers, rest) = text.split_at(stored);
    let length = u16::try_from(stored).expect("the numbers are few");
    let mut out = vec![0];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(numbers);
    let room = out.len() + rest.len() + 1024;
    out.reserve(room);
    // The compression level that browsers use.
    Compress::new_with_window_bits(flate2::Compression::default(), false, agreement.client_window_bits())
        .compress_vec(rest, &mut out, FlushCompress::Sync)
        .expect("compressing does not fail");
    assert!(out.ends_with(&TAIL), "there was room for all of it");
    out.truncate(out.len() - TAIL.len());
    out
}

/// The compression parameters that the server has agreed to.
#[derive(Debug, Clone)]
pub(super) struct Agreement {
    /// The value of its `Sec-WebSocket-Extensions`.
    answer: String,
}

impl Agreement {
    /// `None` if the server declined.
    pub(super) fn of(answer: Option<&[u8]>) -> Result<Option<Self>> {
        let Some(answer) = answer else { return Ok(None) };
        let answer = std::str::from_utf8(answer).context("the extensions")?.to_ascii_lowercase();
        ensure!(answer.starts_with("permessage-deflate"), "the server wants {answer:?}");
        Ok(Some(Self { answer }))
    }

    /// Whether the server's messages may refer to earlier ones (context takeover).
    fn server_takes_over(&self) -> bool {
        !self.answer.contains("server_no_context_takeover")
    }

    /// The window of the client's compressor, as a power of two.
    fn client_window_bits(&self) -> u8 {
        let bits =
            self.answer.split("client_max_window_bits=").nth(1).map(|rest| rest.trim_matches(['"', ' ']));
        let digits =
            bits.map(|bits| bits.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default());
        // zlib does not support 8.
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(15).max(9)
    }

    /// Returns the text for the table.
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

/// Inflates the responses of all connections.
pub(super) struct Inflater {
    /// The inflaters for context takeover, one for each connection.
    own: Option<Vec<Decompress>>,
    shared: Decompress,
    text: Vec<u8>,
    /// Compressed responses and their texts, if many connections get the same ones.
    remembered: Option<VecDeque<(Vec<u8>, Vec<u8>)>>,
}

impl Inflater {
    /// Creates the inflaters of all connections. Set `repeats` if many connections get the same responses.
    pub(super) fn new(agreement: &Agreement, connections: usize, repeats: bool) -> Self {
        let takes_over = agreement.server_takes_over();
        let own = takes_over.then(|| (0..connections).map(|_| Decompress::new(false)).collect());
        let remembered = (repeats && !takes_over).then(VecDeque::new);
        Self { own, shared: Decompress::new(false), text: Vec::new(), remembered }
    }

    /// Returns the text of a response.
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
                // This also detects a message that refers to an earlier one although it must not.
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
