//! A second implementation of RFC 6455 §5, for a complete input. It is slow, and short enough to compare with the RFC.

use ws_proto::{CloseCode, CloseFrame, ControlPayload, DeflateAgreement, Event, Limits, Role};

use super::inflate::{self, inflate};

/// What a receiver must observe.
pub(super) struct Model {
    pub(super) events: Vec<Event<'static>>,
    pub(super) ending: Ending,
}

/// The state after the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection is open.
    Open,
    /// The peer's close frame has arrived.
    Closed,
    /// The peer violated the protocol. The close frame to the peer has this code.
    Refused(u16),
}

/// Why no further event follows: the input ends, or it is rejected with this code.
enum Stop {
    Incomplete,
    Refused(u16),
}

const PROTOCOL_ERROR: Stop = Stop::Refused(1002);
const NO_UTF8: Stop = Stop::Refused(1007);
const TOO_MANY_FRAGMENTS: Stop = Stop::Refused(1008);
const TOO_BIG: Stop = Stop::Refused(1009);

impl Model {
    pub(super) fn of(role: Role, limits: &Limits, deflate: Option<&DeflateAgreement>, wire: &[u8]) -> Self {
        let mut receiver = Receiver { role, limits, deflate, history: Vec::new(), rest: wire, message: None };
        let mut events = Vec::new();
        let ending = loop {
            match receiver.frame() {
                Ok(None) => {}
                Ok(Some(event)) => {
                    let last = matches!(event, Event::Close(_));
                    events.push(event);
                    if last {
                        break Ending::Closed;
                    }
                }
                Err(Stop::Incomplete) => break Ending::Open,
                Err(Stop::Refused(code)) => break Ending::Refused(code),
            }
        };
        Model { events, ending }
    }
}

struct Receiver<'w> {
    role: Role,
    limits: &'w Limits,
    deflate: Option<&'w DeflateAgreement>,
    /// The data that compressed messages may refer to.
    history: Vec<u8>,
    rest: &'w [u8],
    message: Option<Message>,
}

/// A message that has started.
struct Message {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
    fragments: u32,
}

impl Receiver<'_> {
    /// Reads one frame, and returns the event that it completes.
    fn frame(&mut self) -> Result<Option<Event<'static>>, Stop> {
        let first = self.byte()?;
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode & 0x8 != 0;
        // RFC 7692 §6.1: the first reserved bit, in the first frame of a message.
        let is_compressed = first & 0x40 != 0;
        let may_be_compressed = self.deflate.is_some() && matches!(opcode, 1 | 2);
        if first & 0x30 != 0
            || is_compressed && !may_be_compressed
            || !matches!(opcode, 0..=2 | 8..=10)
            || is_control && !fin
        {
            return Err(PROTOCOL_ERROR); // §5.2, §5.5
        }
        let second = self.byte()?;
        let must_be_masked = self.role == Role::Server;
        if (second & 0x80 != 0) != must_be_masked || is_control && second & 0x7f > 125 {
            return Err(PROTOCOL_ERROR); // §5.1, §5.5
        }
        let len = self.length(second & 0x7f)?;
        let mut key = [0; 4];
        if must_be_masked {
            for byte in &mut key {
                *byte = self.byte()?;
            }
        }
        if !is_control {
            self.begin(opcode, is_compressed, len)?;
        }
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(self.rest.len());
        let (payload, rest) = self.rest.split_at(here);
        self.rest = rest;
        let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let whole = here as u64 == len;
        if is_control {
            return if whole { control(opcode, &payload).map(Some) } else { Err(Stop::Incomplete) };
        }
        self.data(fin, whole, &payload)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.rest.split_first().ok_or(Stop::Incomplete)?;
        self.rest = rest;
        Ok(byte)
    }

    /// §5.2: the length uses the fewest bytes, and its highest bit is zero. An error is reported at the byte that shows
    /// it.
    fn length(&mut self, short: u8) -> Result<u64, Stop> {
        let (bytes, least) = match short {
            126 => (2, 126),
            127 => (8, 0x1_0000),
            _ => return Ok(short.into()),
        };
        let mut len = 0_u64;
        for index in 0..bytes {
            let byte = self.byte()?;
            len = len << 8 | u64::from(byte);
            if bytes == 8 && (index == 0 && byte & 0x80 != 0 || index == 5 && len == 0) {
                return Err(PROTOCOL_ERROR);
            }
        }
        if len < least { Err(PROTOCOL_ERROR) } else { Ok(len) }
    }

    /// §5.4, and the limits.
    fn begin(&mut self, opcode: u8, is_compressed: bool, len: u64) -> Result<(), Stop> {
        match (&mut self.message, opcode) {
            (None, 0) | (Some(_), 1 | 2) => return Err(PROTOCOL_ERROR),
            (None, _) => {
                let is_text = opcode == 1;
                self.message = Some(Message { is_text, is_compressed, bytes: vec![], fragments: 1 });
            }
            (Some(message), _) => {
                message.fragments += 1;
                if message.fragments > self.limits.max_fragments {
                    return Err(TOO_MANY_FRAGMENTS);
                }
            }
        }
        let so_far = self.message.as_ref().map_or(0, |message| message.bytes.len() as u64);
        if so_far + len > self.limits.max_message_size as u64 { Err(TOO_BIG) } else { Ok(()) }
    }

    /// §8.1: text is rejected as soon as no further bytes can make it valid UTF-8.
    fn data(&mut self, fin: bool, whole: bool, payload: &[u8]) -> Result<Option<Event<'static>>, Stop> {
        let Some(message) = &mut self.message else { return Err(PROTOCOL_ERROR) };
        message.bytes.extend_from_slice(payload);
        if message.is_text
            && !message.is_compressed
            && let Err(error) = std::str::from_utf8(&message.bytes)
            && (error.error_len().is_some() || fin && whole)
        {
            return Err(NO_UTF8);
        }
        if !whole {
            return Err(Stop::Incomplete);
        }
        if !fin {
            return Ok(None);
        }
        self.message.take().map(|message| self.finish(message)).transpose()
    }

    fn finish(&mut self, mut message: Message) -> Result<Event<'static>, Stop> {
        if message.is_compressed {
            message.bytes = self.inflate(&message.bytes)?;
        }
        if !message.is_text {
            return Ok(Event::Binary(message.bytes.into()));
        }
        String::from_utf8(message.bytes).map(|text| Event::Text(text.into())).map_err(|_| NO_UTF8)
    }

    /// RFC 7692 §7.2.2.
    fn inflate(&mut self, payload: &[u8]) -> Result<Vec<u8>, Stop> {
        let message =
            inflate(&self.history, payload, self.limits.max_message_size).map_err(|stop| match stop {
                inflate::Stop::TooBig => TOO_BIG,
                _ => Stop::Refused(1007),
            })?;
        if let Some(deflate) = self.deflate
            && deflate.peer_context_takeover()
        {
            self.history.extend_from_slice(&message);
            let excess = self.history.len().saturating_sub(1 << deflate.peer_window_bits());
            self.history.drain(..excess);
        }
        Ok(message)
    }
}

/// §5.5.
fn control(opcode: u8, payload: &[u8]) -> Result<Event<'static>, Stop> {
    if opcode != 8 {
        let payload = ControlPayload::new(payload).map_err(|_| PROTOCOL_ERROR)?;
        return Ok(if opcode == 9 { Event::Ping(payload) } else { Event::Pong(payload) });
    }
    match payload {
        [] => Ok(Event::Close(None)),
        [_] => Err(PROTOCOL_ERROR),
        [high, low, reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(PROTOCOL_ERROR)?;
            let reason = std::str::from_utf8(reason).map_err(|_| NO_UTF8)?;
            Ok(Event::Close(Some(CloseFrame::new(code, reason))))
        }
    }
}
