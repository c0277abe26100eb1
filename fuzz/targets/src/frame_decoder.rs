//! Decodes the bytes of a peer, in either role. Compares the result with a model, and with the same bytes in other
//! reads.

mod inflate;
mod model;

use std::iter::repeat;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use ws_proto::{
    CloseCode, Connection, DeflateAgreement, DeflateOptions, EofKind, Event, Input, Limits, Opcode,
    ProtocolError, Role, Time,
};

use crate::agreement::agreement;
use crate::memory;
use model::{Ending, Model};

const NOW: Time = Time::from_micros(1_000_000);

/// The memory of a connection except for the message under assembly: its control frames, each at most 125 bytes, some
/// of them in a buffer that has grown.
const CONTROL_FRAMES: usize = 1024;

/// How many times the received bytes of a message may be reserved for the message, if its end is known.
const FORESIGHT: usize = 16;

/// The most bytes that one compressed byte can become, even if only temporarily: 258 in two bits.
const MOST_INFLATED: usize = 1032;
/// The thread's decompressor with the memory that it keeps, and a window of 32 KiB while it moves.
const INFLATER: usize = 256 * 1024;

/// The input is the bytes of a WebSocket peer, with the lengths of the reads.
pub fn frame_decoder(data: &[u8]) {
    if let Ok(case) = Case::read(Unstructured::new(data), false) {
        check(&case);
    }
}

/// Like [`frame_decoder`], with compressed messages allowed.
pub fn compressed_frames(data: &[u8]) {
    if let Ok(case) = Case::read(Unstructured::new(data), true) {
        check(&case);
    }
}

fn check(case: &Case<'_>) {
    let whole = case.feed([usize::MAX], Answers::AtOnce);
    assert_eq!(case.feed(case.reads(), Answers::AtOnce), whole, "in reads of {:?}", case.steps);
    assert_eq!(case.feed(repeat(1), Answers::AtOnce), whole, "byte by byte");
    case.hold_against_the_model(&whole);
    case.hold_late_answers_against(&whole);
    case.hold_chunks_against(&whole);
    case.hold_memory_against(&whole);
}

/// When the pending control frames of the state machine are taken.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Answers {
    /// After every call of `decode`, as a driver does.
    AtOnce,
    /// At the end, as if the peer reads nothing.
    AtTheEnd,
}

#[derive(Debug)]
struct Case<'a> {
    role: Role,
    limits: Limits,
    deflate: Option<DeflateAgreement>,
    /// Whether our side has started to close before any byte arrives.
    closing: bool,
    /// The lengths of the reads, repeated forever.
    steps: [u8; 8],
    wire: &'a [u8],
}

impl<'a> Case<'a> {
    fn read(mut choices: Unstructured<'a>, may_be_compressed: bool) -> Result<Self> {
        let flags: u8 = choices.arbitrary()?;
        let size: u8 = choices.arbitrary()?;
        let fragments: u8 = choices.arbitrary()?;
        let defaults = Limits::default();
        let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
        let takeover = flags & 4 != 0;
        let deflate = may_be_compressed.then(|| DeflateOptions {
            own_context_takeover: takeover,
            peer_context_takeover: takeover,
            own_max_window_bits: 9 + (flags >> 3) % 7,
            peer_max_window_bits: 9 + (flags >> 3) % 7,
            ..DeflateOptions::default()
        });
        Ok(Case {
            role,
            deflate: deflate.map(|options| agreement(role, &options)),
            closing: flags & 2 != 0,
            limits: Limits {
                max_message_size: match size {
                    // Up to twenty bytes more than a control frame may have, and values around a change of the length
                    // form.
                    0..=145 => usize::from(size),
                    146..=199 => 65_500 + usize::from(size),
                    // A short compressed message can become long and slow.
                    _ if deflate.is_some() => 20_000,
                    _ => defaults.max_message_size,
                },
                max_fragments: if fragments == 0 { defaults.max_fragments } else { fragments.into() },
                // This limit has its own tests. Here no time passes.
                max_control_frame_burst: u16::MAX,
                close_timeout: Duration::from_secs(3),
            },
            steps: choices.arbitrary()?,
            wire: choices.take_rest(),
        })
    }

    /// Returns the lengths of the reads, without an end.
    fn reads(&self) -> impl Iterator<Item = usize> {
        let steps = if self.steps == [0; 8] { [u8::MAX; 8] } else { self.steps };
        steps.into_iter().cycle().map(usize::from)
    }

    fn connection(&self) -> Connection {
        let mut connection = Connection::new(self.role, &self.limits);
        if let Some(deflate) = &self.deflate {
            connection = connection.with_deflate(deflate);
        }
        if self.closing {
            connection.close(Some(CloseCode::GOING_AWAY.into()), NOW);
        }
        connection
    }

    /// Decodes the wire in reads of these lengths, and then ends the stream or lets the timeout expire.
    fn feed(&self, reads: impl IntoIterator<Item = usize>, answers: Answers) -> Seen {
        let mut wire = self.wire.to_vec();
        let mut connection = self.connection();
        let mut seen = Seen::default();
        let transmit = |connection: &mut Connection, sent: &mut Vec<(Opcode, Vec<u8>)>| {
            let controls = std::iter::from_fn(|| connection.poll_transmit());
            sent.extend(controls.map(|control| (control.opcode(), control.payload().to_vec())));
        };
        for piece in pieces(&mut wire, reads) {
            let mut input = Input::new(piece);
            loop {
                let over = seen.is_over();
                let result = connection.decode(&mut input, NOW);
                if answers == Answers::AtOnce {
                    transmit(&mut connection, &mut seen.sent);
                }
                match result {
                    Ok(Some(event)) => {
                        assert!(!over, "{event:?} after the end");
                        if let Event::Text(text) = &event {
                            assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "{text:?} is no UTF-8");
                        }
                        seen.events.push(event.into_owned());
                    }
                    Ok(None) => break,
                    Err(error) => {
                        assert!(!over, "{error:?} after the end");
                        seen.error = Some(error);
                        assert!(input.is_empty(), "after an error the rest is discarded");
                    }
                }
            }
            assert!(input.is_empty(), "without an event, all of the input is consumed");
        }
        transmit(&mut connection, &mut seen.sent);
        self.end(connection, &seen);
        seen
    }

    /// Checks that must hold at the end of any input.
    fn end(&self, mut connection: Connection, seen: &Seen) {
        let over = seen.is_over();
        let closed = over || self.closing;
        assert_eq!(connection.can_send(), !closed);
        assert_eq!(
            connection.is_closed(),
            over,
            "the close frame was sent, so only the peer's end of stream is missing"
        );
        let deadline = NOW + self.limits.close_timeout;
        assert_eq!(connection.poll_timeout(), closed.then_some(deadline));
        if self.limits.max_fragments.is_multiple_of(2) {
            let clean = matches!(seen.events.last(), Some(Event::Close(_)));
            let expected = if clean { EofKind::Clean } else { EofKind::Abnormal };
            assert_eq!(connection.handle_eof(), expected);
        } else if closed {
            assert_eq!(connection.handle_timeout(NOW), None);
            assert_eq!(connection.handle_timeout(deadline), Some(Event::CloseTimedOut));
            assert_eq!(connection.handle_timeout(deadline), None);
        } else {
            return;
        }
        assert!(connection.is_closed() && !connection.can_send());
        assert_eq!(connection.poll_transmit(), None);
    }

    fn hold_against_the_model(&self, seen: &Seen) {
        let Model { events, ending } = Model::of(self.role, &self.limits, self.deflate.as_ref(), self.wire);
        assert_eq!(seen.events, events);
        assert_eq!(
            seen.error.as_ref().map(|error| error.close_code().as_u16()),
            match ending {
                Ending::Refused(code) => Some(code),
                Ending::Open | Ending::Closed => None,
            }
        );
        let close = |code: u16| (Opcode::Close, code.to_be_bytes().to_vec());
        let mut sent = Vec::new();
        if self.closing {
            // After a close frame nothing else is sent, and no second close frame.
            sent.push(close(1001));
        } else {
            for event in events {
                match event {
                    Event::Ping(payload) => sent.push((Opcode::Pong, payload.to_vec())),
                    Event::Close(Some(frame)) => sent.push(close(frame.code.as_u16())),
                    Event::Close(None) => sent.push((Opcode::Close, Vec::new())),
                    _ => {}
                }
            }
            if let Ending::Refused(code) = ending {
                sent.push(close(code));
            }
        }
        // A close frame that is pending from the start is taken before the first frame is decoded, or after the last.
        assert_eq!(seen.sent, sent);
    }

    /// If the peer reads nothing, at most the last pong and the close frame are pending. After an error, only the close
    /// frame is.
    fn hold_late_answers_against(&self, eager: &Seen) {
        let late = self.feed(self.reads(), Answers::AtTheEnd);
        assert_eq!((&late.events, &late.error), (&eager.events, &eager.error));
        let last = |opcode| eager.sent.iter().rfind(|(other, _)| *other == opcode).cloned();
        let pong = last(Opcode::Pong).filter(|_| eager.error.is_none());
        assert_eq!(late.sent, pong.into_iter().chain(last(Opcode::Close)).collect::<Vec<_>>());
    }

    /// Messages received in chunks must be the same as whole messages. Chunks have no size limit. If a message never
    /// ends, an error in its chunks is found that a whole message would not show.
    fn hold_chunks_against(&self, whole: &Seen) {
        let mut wire = self.wire.to_vec();
        let mut connection = self.connection();
        connection.receive_in_chunks(true);
        let mut events = Vec::new();
        let mut open: Option<Event<'static>> = None;
        let mut has_failed = false;
        for piece in pieces(&mut wire, self.reads()) {
            let mut input = Input::new(piece);
            loop {
                match connection.decode(&mut input, NOW) {
                    Ok(Some(event)) => events.extend(joined(&mut open, event.into_owned())),
                    Ok(None) => break,
                    Err(_) => has_failed = true,
                }
            }
            assert!(
                input.is_empty() && !connection.has_chunk(),
                "without an event, all of the input is consumed"
            );
        }
        if whole.error.is_some() {
            assert!(events.starts_with(&whole.events) || has_failed, "{events:?} in chunks");
        } else if has_failed {
            assert!(whole.events.starts_with(&events), "{events:?} in chunks");
        } else {
            assert_eq!(events, whole.events, "in chunks");
        }
    }

    /// Whatever length a frame announces, memory stays below the limit, and below a buffer that grows with the received
    /// bytes. After the end, no memory of a message is held.
    fn hold_memory_against(&self, seen: &Seen) {
        let mut wire = self.wire.to_vec();
        let mut connection = None;
        let (peak, rest) = memory::peak_and_rest(|| {
            let connection = connection.insert(self.connection());
            for piece in pieces(&mut wire, self.reads()) {
                let mut input = Input::new(piece);
                while matches!(connection.decode(&mut input, NOW), Ok(Some(_)) | Err(_)) {}
            }
        });
        let message = (FORESIGHT * self.wire.len()).min(self.limits.max_message_size);
        let mut allowed = 3 * message + CONTROL_FRAMES;
        if self.deflate.is_some() {
            // The decompressed data, in a buffer that doubles; the copy for the event; the window; zlib's own memory.
            let inflated = (MOST_INFLATED * self.wire.len()).min(self.limits.max_message_size);
            allowed += 4 * inflated + INFLATER;
        }
        assert!(peak <= allowed, "{peak} bytes are held, {allowed} are allowed");
        if seen.is_over() {
            let shared = if self.deflate.is_some() { INFLATER } else { 0 };
            assert!(rest <= CONTROL_FRAMES + shared, "{rest} bytes are held when it is over");
        }
    }
}

/// Splits `wire` into pieces of these lengths.
fn pieces(mut wire: &mut [u8], lengths: impl IntoIterator<Item = usize>) -> impl Iterator<Item = &mut [u8]> {
    let mut lengths = lengths.into_iter();
    std::iter::from_fn(move || {
        if wire.is_empty() {
            return None;
        }
        let len = lengths.next()?.min(wire.len());
        let (piece, rest) = std::mem::take(&mut wire).split_at_mut(len);
        wire = rest;
        Some(piece)
    })
}

/// Returns the event as it is without chunks: the message that the last chunk ends.
fn joined(open: &mut Option<Event<'static>>, event: Event<'static>) -> Option<Event<'static>> {
    let (message, is_last) = match (open.take(), event) {
        (None, Event::TextChunk { text, is_last }) => (Event::Text(text), is_last),
        (None, Event::BinaryChunk { bytes, is_last }) => (Event::Binary(bytes), is_last),
        (Some(Event::Text(begun)), Event::TextChunk { text, is_last }) => {
            (Event::Text(begun + text), is_last)
        }
        (Some(Event::Binary(begun)), Event::BinaryChunk { bytes, is_last }) => {
            (Event::Binary([begun, bytes].concat().into()), is_last)
        }
        (begun, control @ (Event::Ping(_) | Event::Pong(_) | Event::Close(_))) => {
            *open = begun;
            return Some(control);
        }
        (None, event) => return Some(event),
        (Some(begun), event) => panic!("{event:?} in the midst of {begun:?}"),
    };
    if is_last {
        return Some(message);
    }
    *open = Some(message);
    None
}

/// What an observer sees of a connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<Event<'static>>,
    error: Option<ProtocolError>,
    sent: Vec<(Opcode, Vec<u8>)>,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.error.is_some() || matches!(self.events.last(), Some(Event::Close(_)))
    }
}
