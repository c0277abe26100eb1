//! Section 5: the format of frames, received and sent.

use tidewire_ws_proto::{
    CloseCode, CloseFrame, CloseReason, Connection, ControlTooLong, Limits, MAX_CONTROL_PAYLOAD, Opcode,
    ProtocolError as Error, Role, Time, encode_frame,
};

use super::{KEY, ROLES, assert_protocol_error, raw, sent, transmitted};
use crate::support::feed;

const OPCODES: [Opcode; 6] =
    [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];

const CONTROL: [(u8, Opcode); 3] = [(0x8, Opcode::Close), (0x9, Opcode::Ping), (0xa, Opcode::Pong)];

#[test]
fn section_5_1_must_2_a_server_fails_a_frame_without_mask() {
    for opcode in OPCODES {
        // The error is the same as soon as the bit has arrived, for every frame, with or without a payload.
        for payload in [&b""[..], b"\x03\xe8"] {
            let unmasked = sent(Role::Client, true, opcode, payload);
            assert_protocol_error(Role::Server, &unmasked, &Error::UnmaskedFrameFromClient);
        }
    }
}

#[test]
fn section_5_1_must_4_a_client_fails_a_frame_with_mask() {
    for opcode in OPCODES {
        for payload in [&b""[..], b"\x03\xe8"] {
            let masked = sent(Role::Server, true, opcode, payload);
            assert_protocol_error(Role::Client, &masked, &Error::MaskedFrameFromServer);
        }
    }
}

#[test]
fn section_5_2_must_1_8_9_10_no_reserved_bit_is_sent() {
    for opcode in OPCODES {
        let mut wire = Vec::new();
        encode_frame(opcode, b"", None, &mut wire);
        assert_eq!(wire[0] & 0x70, 0, "{opcode}");
    }
}

#[test]
fn section_5_2_must_2_7_a_reserved_bit_of_no_negotiated_extension_fails_the_connection() {
    for role in ROLES {
        for bits in 1..8 {
            for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
                let wire = raw(role, 0x80 | bits << 4 | opcode, &[0], b"");
                assert_protocol_error(role, &wire, &Error::ReservedBits(bits));
            }
        }
    }
}

#[test]
fn section_5_2_must_3_an_unknown_opcode_fails_the_connection() {
    for role in ROLES {
        for opcode in (0x3..=0x7).chain(0xb..=0xf) {
            for fin in [0x00, 0x80] {
                assert_protocol_error(
                    role,
                    &raw(role, fin | opcode, &[0], b""),
                    &Error::ReservedOpcode(opcode),
                );
            }
        }
    }
}

#[test]
fn section_5_2_must_4_a_length_with_its_highest_bit_fails_the_connection() {
    for role in ROLES {
        for length in
            [[127, 0x80, 0, 0, 0, 0, 0, 0, 0], [127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_protocol_error(role, &raw(role, 0x82, &length, b""), &Error::LengthOutOfRange);
        }
    }
}

#[test]
fn section_5_2_must_5_a_length_in_more_bytes_than_it_needs_fails_the_connection() {
    for role in ROLES {
        for len in [0_u16, 1, 124, 125] {
            let [high, low] = len.to_be_bytes();
            for length in [&[126, high, low][..], &[127, 0, 0, 0, 0, 0, 0, high, low]] {
                let wire = raw(role, 0x81, length, &vec![b'x'; len.into()]);
                assert_protocol_error(role, &wire, &Error::LengthNotMinimal);
            }
        }
        let wire = raw(role, 0x81, &[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], b"");
        assert_protocol_error(role, &wire, &Error::LengthNotMinimal);
    }
}

#[test]
fn section_5_2_must_5_a_length_is_sent_in_the_fewest_bytes() {
    for (len, length) in [
        (0, &[0][..]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (65_535, &[126, 0xff, 0xff]),
        (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut wire = Vec::new();
        encode_frame(Opcode::Binary, &vec![0; len], None, &mut wire);
        assert_eq!((&wire[1..=length.len()], wire.len()), (length, 1 + length.len() + len));
    }
}

#[test]
fn section_5_3_must_1_a_frame_with_a_key_has_the_mask_bit_and_no_other_has() {
    for opcode in OPCODES {
        let (mut masked, mut unmasked) = (Vec::new(), Vec::new());
        encode_frame(opcode, b"Hello", Some(KEY), &mut masked);
        encode_frame(opcode, b"Hello", None, &mut unmasked);
        // §5.7. The length does not include the key.
        assert_eq!(masked[1..], [0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(unmasked[1..], *b"\x05Hello");
    }
}

#[test]
fn section_5_4_must_1_section_5_5_must_2_a_control_frame_in_fragments_fails_the_connection() {
    for role in ROLES {
        for (bits, opcode) in CONTROL {
            assert_protocol_error(role, &raw(role, bits, &[0], b""), &Error::FragmentedControl(opcode));
        }
    }
}

#[test]
fn section_5_5_must_1_a_control_frame_of_126_bytes_fails_the_connection() {
    for role in ROLES {
        for (bits, opcode) in CONTROL {
            let payload = [&1000_u16.to_be_bytes()[..], &[b'x'; 125]].concat();
            let longest = raw(role, 0x80 | bits, &[125], &payload[..125]);
            assert_eq!(feed(role, &Limits::default(), [&longest[..]]).error, None, "125 bytes of {opcode}");
            for wire in [
                raw(role, 0x80 | bits, &[126, 0, 126], &payload[..126]),
                // The first length byte is enough for the error; the others do not matter.
                raw(role, 0x80 | bits, &[127, 0, 0, 0, 0, 0, 0, 0, 126], &payload[..126]),
            ] {
                assert_protocol_error(role, &wire, &Error::ControlTooLong(opcode));
            }
        }
    }
}

#[test]
fn section_5_5_must_1_no_control_frame_of_more_than_125_bytes_is_sent() {
    for role in ROLES {
        let mut connection = Connection::new(role, &Limits::default());
        assert_eq!(connection.ping(&[0; 126]), Err(ControlTooLong { len: 126 }));
        assert_eq!(connection.ping(&[0; 125]), Ok(()));
        assert_eq!(CloseReason::new(&"x".repeat(124)), None);
        connection.close(Some(CloseFrame::new(CloseCode::NORMAL, &"é".repeat(100))), Time::ZERO);
        let lengths: Vec<_> = transmitted(&mut connection).iter().map(|(_, payload)| payload.len()).collect();
        // A reason is cut at a character boundary.
        assert_eq!(lengths, [MAX_CONTROL_PAYLOAD, 124]);
    }
}
