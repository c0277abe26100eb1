//! Our client and our server, with random actions in virtual time. Each end must receive what the other end has sent.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use ws_proto::{
    CloseCode, CloseFrame, Connection, ControlFrame, ControlPayload, DeflateOptions, Deflater, EofKind,
    Event, FrameHeader, Input, Limits, MAX_CONTROL_PAYLOAD, Opcode, Role, Time, mask,
};

use crate::agreement::agreement;
use crate::late::started_before;

/// Characters of all four UTF-8 lengths, so that fragments and reads sometimes end within a character.
const TEXT: &str = "aé€😀";

/// The input is a sequence of actions of two applications, the network between them and the clock.
pub fn endpoints(data: &[u8]) {
    run(Unstructured::new(data), None);
}

/// Like [`endpoints`], with random compression options.
pub fn compressed_endpoints(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    if let Ok(compression) = compression(&mut choices) {
        run(choices, Some(&compression));
    }
}

fn run(mut choices: Unstructured<'_>, compression: Option<&DeflateOptions>) {
    let endpoint = |role| Endpoint::new(role, compression);
    let mut pair = Pair { client: endpoint(Role::Client), server: endpoint(Role::Server), now: Time::ZERO };
    while !choices.is_empty() {
        match pair.step(&mut choices) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(_) => break,
        }
    }
    pair.settle();
}

/// Reads the compression options of both ends.
fn compression(choices: &mut Unstructured<'_>) -> Result<DeflateOptions> {
    let flags: u8 = choices.arbitrary()?;
    Ok(DeflateOptions {
        level: 1 + flags % 9,
        threshold: 8,
        own_context_takeover: flags & 1 != 0,
        peer_context_takeover: flags & 2 != 0,
        own_max_window_bits: 9 + (flags >> 2) % 7,
        peer_max_window_bits: 9 + (flags >> 5) % 7,
    })
}

struct Pair {
    client: Endpoint,
    server: Endpoint,
    now: Time,
}

impl Pair {
    /// Executes one action. Breaks if the close of an end has timed out.
    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<ControlFlow<()>> {
        let (from, to) = if choices.arbitrary()? {
            (&mut self.server, &mut self.client)
        } else {
            (&mut self.client, &mut self.server)
        };
        match choices.int_in_range(0..=7_u8)? {
            0 => from.send_message(choices)?,
            1 => from.send_fragment(choices)?,
            2 => from.ping(choices)?,
            3 => from.close(choices, self.now)?,
            4 => from.transmit(),
            5 | 6 => {
                let len: u8 = choices.arbitrary()?;
                from.deliver(to, len.into(), self.now);
            }
            _ => {
                self.now = self.now + Duration::from_millis(choices.int_in_range(0..=12_000)?);
                if self.client.is_out_of_patience(self.now) || self.server.is_out_of_patience(self.now) {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Delivers everything in flight, and checks the final state.
    fn settle(mut self) {
        loop {
            self.client.transmit();
            self.server.transmit();
            if self.client.wire.is_empty() && self.server.wire.is_empty() {
                break;
            }
            self.client.deliver(&mut self.server, usize::MAX, self.now);
            self.server.deliver(&mut self.client, usize::MAX, self.now);
        }
        let closed = !self.client.connection.can_send();
        for mut end in [self.client, self.server] {
            assert_eq!(end.expected, [], "everything that was written has been received");
            let connection = &mut end.connection;
            assert_eq!(
                (connection.can_send(), connection.is_closed()),
                (!closed, closed),
                "both ends have the same state"
            );
            if !closed {
                assert_eq!(end.unanswered, None, "the last ping has its pong");
            }
            let expected = if closed { EofKind::Clean } else { EofKind::Abnormal };
            assert_eq!(connection.handle_eof(), expected);
        }
    }
}

struct Endpoint {
    connection: Connection,
    role: Role,
    deflater: Option<Deflater>,
    key: u32,
    /// The bytes that have been written and not delivered.
    wire: Vec<u8>,
    /// The events that the other end must still receive.
    expected: VecDeque<Event<'static>>,
    unfinished: Option<Unfinished>,
    /// The payload of the last ping that has no pong yet.
    unanswered: Option<ControlPayload>,
    /// Whether the end has sent a message of the longest length form. One is enough, because it is slow.
    was_large: bool,
    closing: Option<Closing>,
}

/// A message whose fragments have been written in part.
struct Unfinished {
    message: Message,
    written: usize,
}

/// A message that is being sent.
struct Message {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
    /// The event that the other end must receive.
    event: Event<'static>,
}

/// A close that either end has started.
struct Closing {
    since: Time,
    /// It was long overdue once.
    restarted: bool,
    /// The content of our close frame.
    frame: Option<CloseFrame>,
}

impl Endpoint {
    fn new(role: Role, compression: Option<&DeflateOptions>) -> Self {
        let agreement = compression.map(|options| agreement(role, options));
        let connection = Connection::new(role, &Limits::default());
        Endpoint {
            connection: match &agreement {
                Some(agreement) => connection.with_deflate(agreement),
                None => connection,
            },
            role,
            deflater: agreement.as_ref().map(Deflater::new),
            key: 0x37fa_213d,
            wire: Vec::new(),
            expected: VecDeque::new(),
            unfinished: None,
            unanswered: None,
            was_large: false,
            closing: None,
        }
    }

    /// As in every driver, the sender must check whether it may send, and must finish a message that it has started.
    fn send_message(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        if self.connection.can_send() && self.unfinished.is_none() {
            let message = self.message(choices)?;
            self.write(true, message.compressed, message.opcode, &message.payload);
            self.expected.push_back(message.event);
        }
        Ok(())
    }

    fn send_fragment(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        if !self.connection.can_send() {
            return Ok(());
        }
        let (unfinished, begins) = match self.unfinished.take() {
            Some(unfinished) => (unfinished, false),
            None => (Unfinished { message: self.message(choices)?, written: 0 }, true),
        };
        let Unfinished { message, written } = unfinished;
        let fin = choices.ratio(1_u8, 3)?;
        let end = message.payload.len();
        let end = if fin { end } else { choices.int_in_range(written..=end)? };
        let opcode = if begins { message.opcode } else { Opcode::Continuation };
        self.write(fin, begins && message.compressed, opcode, &message.payload[written..end]);
        if fin {
            self.expected.push_back(message.event);
        } else {
            self.unfinished = Some(Unfinished { message, written: end });
        }
        Ok(())
    }

    /// Returns a message of any length, often near a change of the header's length form.
    fn message(&mut self, choices: &mut Unstructured<'_>) -> Result<Message> {
        let len = match choices.arbitrary::<u8>()? {
            255 if !self.was_large => {
                self.was_large = true;
                65_530 + choices.int_in_range(0..=10_usize)?
            }
            len => len.into(),
        };
        let text = TEXT.repeat(len / TEXT.len() + 1);
        let end = (0..=len).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        let (opcode, event) = if choices.arbitrary()? {
            (Opcode::Text, Event::Text(text[..end].to_owned().into()))
        } else {
            (Opcode::Binary, Event::Binary(text.as_bytes()[..len].to_vec().into()))
        };
        let mut payload = Vec::new();
        let plain = match &event {
            Event::Text(text) => text.as_bytes(),
            Event::Binary(bytes) => bytes,
            _ => &[],
        };
        let compressed =
            self.deflater.as_mut().is_some_and(|deflater| deflater.compress(plain, &mut payload));
        if !compressed {
            payload = plain.to_vec();
        }
        Ok(Message { opcode, compressed, payload, event })
    }

    fn ping(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let len = choices.int_in_range(0..=MAX_CONTROL_PAYLOAD + 1)?;
        let queued = self.connection.ping(&vec![0xe9; len]);
        assert_eq!(queued.is_ok(), len <= MAX_CONTROL_PAYLOAD);
        Ok(())
    }

    fn close(&mut self, choices: &mut Unstructured<'_>, now: Time) -> Result<()> {
        let code = CloseCode::new(*choices.choose(&[0, 1000, 1001, 1011, 3000, 4999])?);
        let frame = code.map(|code| CloseFrame::new(code, "schöne Grüße 😀"));
        self.connection.close(frame.clone(), now);
        self.closing.get_or_insert(Closing { since: now, restarted: false, frame });
        Ok(())
    }

    /// Writes the pending control frames.
    fn transmit(&mut self) {
        while let Some(control) = self.connection.poll_transmit() {
            self.write(true, false, control.opcode(), control.payload());
            let event = self.announced(&control);
            self.expected.push_back(event);
        }
        assert_eq!(self.connection.can_send(), self.closing.is_none());
    }

    /// Returns the event that the other end must receive for a control frame, and checks that this frame was due.
    fn announced(&mut self, control: &ControlFrame) -> Event<'static> {
        let payload = ControlPayload::new(control.payload()).expect("it has the length of a control frame");
        match control.opcode() {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => {
                assert_eq!(
                    self.unanswered.take().as_ref(),
                    Some(&payload),
                    "the pong has the payload of the last ping"
                );
                Event::Pong(payload)
            }
            opcode => {
                assert_eq!(opcode, Opcode::Close);
                Event::Close(self.closing.as_ref().expect("a close has begun").frame.clone())
            }
        }
    }

    /// Delivers up to `len` bytes to the other end, in one read.
    fn deliver(&mut self, to: &mut Endpoint, len: usize, now: Time) {
        let len = len.min(self.wire.len());
        let mut bytes: Vec<u8> = self.wire.drain(..len).collect();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = to.connection.decode(&mut input, now).expect("what we write is valid") {
            let event = event.into_owned();
            to.see(&event, now);
            assert_eq!(Some(event), self.expected.pop_front());
        }
        assert!(input.is_empty());
    }

    fn see(&mut self, event: &Event<'static>, now: Time) {
        match event {
            Event::Ping(payload) if self.closing.is_none() => self.unanswered = Some(payload.clone()),
            Event::Close(frame) => {
                let echo = frame.as_ref().map(|frame| frame.code.into());
                self.closing.get_or_insert(Closing { since: now, restarted: false, frame: echo });
            }
            _ => {}
        }
    }

    /// Returns whether the close has timed out, which ends the connection.
    fn is_out_of_patience(&mut self, now: Time) -> bool {
        let deadline = self.closing.as_ref().map(|closing| closing.since + Limits::default().close_timeout);
        assert_eq!(self.connection.poll_timeout(), deadline);
        let event = self.connection.handle_timeout(now);
        let restarted = self.closing.as_ref().is_some_and(|closing| closing.restarted);
        let period = Limits::default().close_timeout;
        let extended = deadline.filter(|_| !restarted).and_then(|deadline| deadline.extension(period, now));
        assert_eq!(event.is_some(), deadline.is_some_and(|deadline| deadline <= now) && extended.is_none());
        if let (Some(extension), Some(closing)) = (extended, &mut self.closing) {
            (closing.since, closing.restarted) = (started_before(now + extension, period), true);
        }
        if event.is_some() {
            assert!(self.connection.is_closed() && !self.connection.can_send());
            assert_eq!(self.connection.poll_transmit(), None);
        }
        event.is_some()
    }

    fn write(&mut self, fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) {
        assert!(
            !self.connection.is_closed() || opcode == Opcode::Close,
            "nothing is written after the close frame"
        );
        let key = (self.role == Role::Client).then(|| {
            self.key = self.key.rotate_left(5).wrapping_mul(0x9e37_79b1);
            self.key.to_be_bytes()
        });
        let header =
            FrameHeader { fin, rsv1, masking_key: key, ..FrameHeader::unfragmented(opcode, payload.len()) };
        self.wire.extend_from_slice(&header.encode());
        let start = self.wire.len();
        self.wire.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut self.wire[start..], key);
        }
    }
}
