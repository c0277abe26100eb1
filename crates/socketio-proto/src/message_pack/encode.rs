//! Converts a packet to MessagePack, with the bytes that `notepack.io` writes.
//!
//! MessagePack puts the number of elements in front of a list, and JSON does not. So the JSON text is scanned twice: first
//! the elements are counted, then the values are written. There is no tree of values, and no recursion.

use super::Dialect;
use super::write::{
    write_bool, write_bytes_length, write_float, write_list_length, write_map_length, write_nil,
    write_signed, write_text_length, write_unsigned,
};
use crate::error::EncodeError;
use crate::json_unescape::unescape;
use crate::packet::PacketType;
use crate::parser::OutgoingPacket;
use crate::placeholder::{NUM_KEY, PLACEHOLDER_KEY};
use crate::scan::{ScanError, ScanObserver, scan_value_prefix};

/// Appends one value.
pub(super) fn encode_value(
    json: &str,
    attachments: &[&[u8]],
    dialect: Dialect,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_lengths(std::iter::once(json.len()).chain(attachments.iter().map(|data| data.len())))?;
    write_data(out, json, attachments, dialect)
}

/// In MessagePack a length has 32 bits. So has everything in a text of that length.
fn check_lengths(mut lengths: impl Iterator<Item = usize>) -> Result<(), EncodeError> {
    if lengths.any(|length| u32::try_from(length).is_err()) {
        return Err(EncodeError::custom("it is longer than 4 GiB"));
    }
    Ok(())
}

/// Appends a packet. Its members have the order in which Node's server has them.
pub(super) fn encode_packet(packet: &OutgoingPacket<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let lengths = [packet.json().map_or(0, str::len), packet.namespace().len()];
    check_lengths(lengths.into_iter().chain(packet.attachments().iter().map(|data| data.len())))?;
    let is_ack = packet.packet_type() == PacketType::Ack;
    let members = 2 + u32::from(packet.json().is_some()) + u32::from(packet.id().is_some());
    write_map_length(out, members);
    let write_id = |out: &mut Vec<u8>| {
        if let Some(id) = packet.id() {
            write_text(out, "id");
            write_unsigned(out, id);
        }
    };
    if is_ack {
        write_id(out);
    }
    write_text(out, "type");
    write_unsigned(out, packet.packet_type().number().into());
    if let Some(json) = packet.json() {
        write_text(out, "data");
        write_data(out, json, packet.attachments(), Dialect::Notepack2)?;
    }
    if !is_ack {
        write_id(out);
    }
    write_text(out, "nsp");
    write_text(out, packet.namespace());
    Ok(())
}

/// Appends a JSON text as MessagePack. The placeholders become binary values.
fn write_data(
    out: &mut Vec<u8>,
    json: &str,
    attachments: &[&[u8]],
    dialect: Dialect,
) -> Result<(), EncodeError> {
    let invalid = |error: ScanError| match error {
        ScanError::Syntax(at) => EncodeError::custom(format_args!("the data is not valid JSON at byte {at}")),
        ScanError::ReservedKey(at) => {
            EncodeError::custom(format_args!("the data has a reserved object key at byte {at}"))
        }
    };
    let mut sizes = Sizes {
        containers: Vec::new(),
        open: Vec::new(),
        is_used: vec![false; attachments.len()],
        is_ambiguous: false,
    };
    scan_value_prefix(json, &mut sizes).map_err(invalid)?;
    if sizes.is_ambiguous {
        return Err(EncodeError::PlaceholderLike);
    }
    let containers = sizes.containers.into_iter();
    let mut writer = Writer { out, containers, attachments, dialect, is_in_placeholder: false };
    scan_value_prefix(json, &mut writer).map_err(invalid)?;
    Ok(())
}

/// What a list or an object becomes.
#[derive(Debug, Clone, Copy)]
enum Container {
    /// A list or a map with this number of elements or members.
    Values(u32),
    /// The binary value with this index.
    Attachment(u32),
}

/// Finds out what the lists and objects of a text become, in the order in which they begin.
struct Sizes {
    containers: Vec<Container>,
    open: Vec<Open>,
    /// The attachments that have a placeholder.
    is_used: Vec<bool>,
    /// Two placeholders name the same attachment, so one of them is an ordinary object that looks like a placeholder.
    is_ambiguous: bool,
}

/// A list or an object that has not ended.
struct Open {
    /// Its index in the list of all of them.
    index: usize,
    values: u32,
    key: Key,
    is_marked: bool,
    attachment: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Placeholder,
    Num,
    Other,
}

impl Sizes {
    fn handle_value(&mut self, raw: &str) {
        let Some(open) = self.open.last_mut() else { return };
        open.values += 1;
        match open.key {
            Key::Placeholder => open.is_marked = raw == "true",
            Key::Num => open.attachment = raw.parse().ok(),
            Key::Other => {}
        }
        open.key = Key::Other;
    }
}

impl ScanObserver for Sizes {
    fn open(&mut self, _is_object: bool) {
        self.handle_value("");
        let index = self.containers.len();
        self.containers.push(Container::Values(0));
        self.open.push(Open { index, values: 0, key: Key::Other, is_marked: false, attachment: None });
    }

    fn key(&mut self, raw: &str) {
        if let Some(open) = self.open.last_mut() {
            open.key = match &raw[1..raw.len() - 1] {
                PLACEHOLDER_KEY => Key::Placeholder,
                NUM_KEY => Key::Num,
                _ => Key::Other,
            };
        }
    }

    fn scalar(&mut self, raw: &str) {
        self.handle_value(raw);
    }

    fn close(&mut self) {
        let Some(Open { index, values, is_marked, attachment, .. }) = self.open.pop() else { return };
        self.containers[index] = match attachment {
            Some(number) if is_marked && values == 2 && (number as usize) < self.is_used.len() => {
                self.is_ambiguous |= std::mem::replace(&mut self.is_used[number as usize], true);
                Container::Attachment(number)
            }
            _ => Container::Values(values),
        };
    }
}

/// Writes the values of a text.
struct Writer<'o, 'a> {
    out: &'o mut Vec<u8>,
    containers: std::vec::IntoIter<Container>,
    attachments: &'a [&'a [u8]],
    dialect: Dialect,
    /// A placeholder contains no lists and no objects.
    is_in_placeholder: bool,
}

impl ScanObserver for Writer<'_, '_> {
    fn open(&mut self, is_object: bool) {
        match self.containers.next() {
            Some(Container::Values(members)) if is_object => write_map_length(self.out, members),
            Some(Container::Values(elements)) => write_list_length(self.out, elements),
            Some(Container::Attachment(number)) => {
                let data = self.attachments[number as usize];
                write_bytes_length(self.out, data.len() as u32);
                self.out.extend_from_slice(data);
                self.is_in_placeholder = true;
            }
            None => {}
        }
    }

    fn key(&mut self, raw: &str) {
        if !self.is_in_placeholder {
            write_json_text(self.out, raw);
        }
    }

    fn scalar(&mut self, raw: &str) {
        if self.is_in_placeholder {
            return;
        }
        match raw {
            "null" => write_nil(self.out),
            "true" => write_bool(self.out, true),
            "false" => write_bool(self.out, false),
            text if text.starts_with('"') => write_json_text(self.out, text),
            number => write_number(self.out, number, self.dialect),
        }
    }

    fn close(&mut self) {
        self.is_in_placeholder = false;
    }
}

/// Writes a number. All numbers of JavaScript are floats, so a whole number is an integer, however it is written.
///
/// `notepack.io` writes the lowest 64 bits of a whole number that does not fit, which is another number. Such a number is
/// written as a float here.
fn write_number(out: &mut Vec<u8>, text: &str, dialect: Dialect) {
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    /// `Number.MAX_SAFE_INTEGER`.
    const MAX_SAFE: u64 = (1 << 53) - 1;
    let (max, range) = match dialect {
        Dialect::Notepack2 | Dialect::Notepack3 => (u64::MAX, -TWO_POW_63..2.0 * TWO_POW_63),
        Dialect::Official => (MAX_SAFE, -(MAX_SAFE as f64)..MAX_SAFE as f64 + 1.0),
    };
    if let Ok(number) = text.parse::<u64>()
        && number <= max
    {
        return write_unsigned(out, number);
    }
    if let Ok(number) = text.parse::<i64>()
        && number.unsigned_abs() <= max
    {
        return write_signed(out, number);
    }
    // A number of JSON is always a number of Rust.
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    if number.fract() != 0.0 || !range.contains(&number) {
        write_float(out, number);
    } else if number < 0.0 {
        write_signed(out, number as i64);
    } else {
        write_unsigned(out, number as u64);
    }
}

/// Writes a JSON string, with its quotes and escapes in `raw`, as text.
fn write_json_text(out: &mut Vec<u8>, raw: &str) {
    if raw.contains('\\') {
        write_text(out, &unescape(raw));
    } else {
        write_text(out, &raw[1..raw.len() - 1]);
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_text_length(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}
