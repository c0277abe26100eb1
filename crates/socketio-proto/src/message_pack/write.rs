//! Writes numbers, constants, and what stands before a text, bytes, a list or a map. Each has its shortest format.

use super::format::*;

pub(super) fn write_nil(out: &mut Vec<u8>) {
    out.push(NIL);
}

pub(super) fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

pub(super) fn write_float(out: &mut Vec<u8>, value: f64) {
    write(out, FLOAT_64, value.to_be_bytes());
}

pub(super) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => write(out, UINT_8, [value as u8]),
        0x100..=0xffff => write(out, UINT_16, (value as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => write(out, UINT_32, (value as u32).to_be_bytes()),
        _ => write(out, UINT_64, value.to_be_bytes()),
    }
}

/// A number that is not negative has the format of [`write_unsigned`].
pub(super) fn write_signed(out: &mut Vec<u8>, value: i64) {
    match value {
        0.. => write_unsigned(out, value.unsigned_abs()),
        // The highest bits of these numbers are those of `NEGATIVE_FIXINT`.
        -0x20..=-1 => out.push(value as u8),
        -0x80..-0x20 => write(out, INT_8, [value as u8]),
        -0x8000..-0x80 => write(out, INT_16, (value as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => write(out, INT_32, (value as i32).to_be_bytes()),
        _ => write(out, INT_64, value.to_be_bytes()),
    }
}

pub(super) fn write_text_length(out: &mut Vec<u8>, length: u32) {
    match length {
        0..=0x1f => out.push(FIXSTR | length as u8),
        0x20..=0xff => write(out, STR_8, [length as u8]),
        0x100..=0xffff => write(out, STR_16, (length as u16).to_be_bytes()),
        _ => write(out, STR_32, length.to_be_bytes()),
    }
}

pub(super) fn write_bytes_length(out: &mut Vec<u8>, length: u32) {
    match length {
        0..=0xff => write(out, BIN_8, [length as u8]),
        0x100..=0xffff => write(out, BIN_16, (length as u16).to_be_bytes()),
        _ => write(out, BIN_32, length.to_be_bytes()),
    }
}

pub(super) fn write_list_length(out: &mut Vec<u8>, length: u32) {
    match length {
        0..=0xf => out.push(FIXARRAY | length as u8),
        0x10..=0xffff => write(out, ARRAY_16, (length as u16).to_be_bytes()),
        _ => write(out, ARRAY_32, length.to_be_bytes()),
    }
}

/// A map has `length` pairs.
pub(super) fn write_map_length(out: &mut Vec<u8>, length: u32) {
    match length {
        0..=0xf => out.push(FIXMAP | length as u8),
        0x10..=0xffff => write(out, MAP_16, (length as u16).to_be_bytes()),
        _ => write(out, MAP_32, length.to_be_bytes()),
    }
}

fn write<const N: usize>(out: &mut Vec<u8>, first: u8, rest: [u8; N]) {
    out.push(first);
    out.extend_from_slice(&rest);
}
