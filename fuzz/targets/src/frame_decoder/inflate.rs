//! A second implementation of RFC 1951, bit by bit, for messages compressed as in RFC 7692.

/// How far back a message may refer, whatever window was negotiated.
const WINDOW: usize = 32 * 1024;
/// The bytes at the end of every compressed message, which the sender leaves out (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Our limit, which no normal sender reaches.
const MAX_FINAL_BLOCKS: usize = 8;

/// Why the output ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The input ends here. This is not an error.
    Incomplete,
    /// A block that is marked as the last one has ended.
    Final,
    Invalid,
    TooBig,
}

/// Decompresses the message in `payload`, which may refer to the `history` before it.
pub(super) fn inflate(history: &[u8], payload: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    let input = [payload, &TAIL].concat();
    let mut output = Output { bytes: history.to_vec(), begin: history.len(), limit };
    let mut bits = Bits { input: &input, at: 0 };
    let mut final_blocks = 0;
    loop {
        match blocks(&mut bits, &mut output) {
            Stop::Incomplete => return Ok(output.bytes.split_off(output.begin)),
            Stop::Final => {
                final_blocks += 1;
                if final_blocks > MAX_FINAL_BLOCKS {
                    return Err(Stop::Invalid);
                }
                bits.skip_to_byte();
            }
            stop => return Err(stop),
        }
    }
}

struct Output {
    bytes: Vec<u8>,
    begin: usize,
    limit: usize,
}

impl Output {
    fn push(&mut self, byte: u8) -> Result<(), Stop> {
        self.bytes.push(byte);
        if self.bytes.len() - self.begin > self.limit { Err(Stop::TooBig) } else { Ok(()) }
    }

    fn copy(&mut self, distance: usize, len: usize) -> Result<(), Stop> {
        if distance > self.bytes.len().min(WINDOW) {
            return Err(Stop::Invalid);
        }
        (0..len).try_for_each(|_| self.push(self.bytes[self.bytes.len() - distance]))
    }
}

/// The input, read from the lowest bits on.
struct Bits<'i> {
    input: &'i [u8],
    /// The position, in bits.
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<usize, Stop> {
        let byte = self.input.get(self.at / 8).ok_or(Stop::Incomplete)?;
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        Ok(bit.into())
    }

    fn number(&mut self, bits: usize) -> Result<usize, Stop> {
        (0..bits).try_fold(0, |number, index| Ok(number | self.bit()? << index))
    }

    fn skip_to_byte(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

fn blocks(bits: &mut Bits<'_>, output: &mut Output) -> Stop {
    loop {
        if let Err(stop) = block(bits, output) {
            return stop;
        }
    }
}

fn block(bits: &mut Bits<'_>, output: &mut Output) -> Result<(), Stop> {
    let is_final = bits.number(1)? == 1;
    match bits.number(2)? {
        0 => stored(bits, output)?,
        1 => {
            let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
            compressed(bits, output, &Code::new(&lengths), &Code::new(&[5; 32]))?;
        }
        2 => {
            let (literals, distances) = codes(bits)?;
            compressed(bits, output, &literals, &distances)?;
        }
        _ => return Err(Stop::Invalid),
    }
    if is_final { Err(Stop::Final) } else { Ok(()) }
}

/// §3.2.4.
fn stored(bits: &mut Bits<'_>, output: &mut Output) -> Result<(), Stop> {
    bits.skip_to_byte();
    let (len, inverted) = (bits.number(16)?, bits.number(16)?);
    if len != !inverted & 0xffff {
        return Err(Stop::Invalid);
    }
    (0..len).try_for_each(|_| output.push(bits.number(8)? as u8))
}

/// §3.2.5.
fn compressed(
    bits: &mut Bits<'_>,
    output: &mut Output,
    literals: &Code,
    distances: &Code,
) -> Result<(), Stop> {
    loop {
        let (len, extra) = match literals.symbol(bits)? {
            literal @ 0..256 => {
                output.push(literal as u8)?;
                continue;
            }
            256 => return Ok(()),
            symbol @ 257..265 => (symbol - 254, 0),
            285 => (258, 0),
            symbol @ 265..285 => {
                let extra = (symbol - 261) / 4;
                (((4 + (symbol - 261) % 4) << extra) + 3, extra)
            }
            _ => return Err(Stop::Invalid),
        };
        let len = len + bits.number(extra)?;
        let (distance, extra) = match distances.symbol(bits)? {
            symbol @ 0..4 => (symbol + 1, 0),
            symbol @ 4..30 => {
                let extra = symbol / 2 - 1;
                (((2 + symbol % 2) << extra) + 1, extra)
            }
            _ => return Err(Stop::Invalid),
        };
        let distance = distance + bits.number(extra)?;
        output.copy(distance, len)?;
    }
}

/// §3.2.7.
fn codes(bits: &mut Bits<'_>) -> Result<(Code, Code), Stop> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances) = (bits.number(5)? + 257, bits.number(5)? + 1);
    let count = bits.number(4)? + 4;
    // These are zlib's limits: there are no further symbols.
    if literals > 286 || distances > 30 {
        return Err(Stop::Invalid);
    }
    let mut lengths = [0; 19];
    for index in &ORDER[..count] {
        lengths[*index] = bits.number(3)?;
    }
    let code = Code::new(&lengths);
    if code.shape == Shape::Impossible || code.shape == Shape::OneBit {
        return Err(Stop::Invalid);
    }
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        // zlib reads the symbols of a code without symbols as zeros.
        let symbol = match code.shape {
            Shape::Empty => bits.bit().map(|_| 0)?,
            _ => code.symbol(bits)?,
        };
        let (len, times) = match symbol {
            16 => {
                let times = bits.number(2)? + 3;
                (*lengths.last().ok_or(Stop::Invalid)?, times)
            }
            17 => (0, bits.number(3)? + 3),
            18 => (0, bits.number(7)? + 11),
            len => (len, 1),
        };
        lengths.extend(std::iter::repeat_n(len, times));
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return Err(Stop::Invalid);
    }
    let (literals, distances) = lengths.split_at(literals);
    let (literals, distances) = (Code::new(literals), Code::new(distances));
    if literals.shape == Shape::Impossible || distances.shape == Shape::Impossible {
        return Err(Stop::Invalid);
    }
    Ok((literals, distances))
}

/// A Huffman code, defined by the lengths of its symbols' codes (§3.2.2).
struct Code {
    /// The number of symbols of each code length.
    counts: [usize; 16],
    /// The symbols that have a code, the shortest first.
    symbols: Vec<usize>,
    shape: Shape,
}

#[derive(PartialEq, Eq)]
enum Shape {
    Complete,
    /// The code has no symbols.
    Empty,
    /// The code has one symbol with a code of one bit, so half of the codes have no meaning.
    OneBit,
    /// The lengths need more codes than there are, or leave codes unused.
    Impossible,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().filter(|len| **len > 0).for_each(|len| counts[*len] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        // A shorter code uses up several of the 2^15 codes of the greatest length.
        let taken: usize = (1..16).map(|len| counts[len] << (15 - len)).sum();
        let shape = match (taken, symbols.len()) {
            (0, _) => Shape::Empty,
            (0x8000, _) => Shape::Complete,
            (0x4000, 1) => Shape::OneBit,
            _ => Shape::Impossible,
        };
        Self { counts, symbols, shape }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<usize, Stop> {
        let (mut code, mut first, mut before) = (0, 0, 0);
        let longest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(1);
        for count in &self.counts[1..=longest] {
            code = code << 1 | bits.bit()?;
            if code - first < *count {
                return Ok(self.symbols[before + code - first]);
            }
            before += count;
            first = (first + count) << 1;
        }
        Err(Stop::Invalid)
    }
}
