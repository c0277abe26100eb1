//! Hot path. One peer's frames become messages, and the closing handshake is kept (RFC 6455 §5–§7).

use std::borrow::Cow;
use std::time::Duration;

use crate::assembly::Assembly;
use crate::chunks::Chunks;
use crate::close::{CloseCode, CloseFrame};
use crate::content::push_bytes;
use crate::control::{Control, ControlPayload, ControlState, ControlTooLong};
use crate::deflate::{DeflateAgreement, Inflater, Inflating};
use crate::error::ProtocolError;
use crate::event::{EndOfStream, Event};
use crate::frame::{FrameHeader, MAX_HEADER_LEN, Opcode, Role, Rules};
use crate::inflated::{INFLATED_FROM, Inflated};
use crate::input::Input;
use crate::limits::Limits;
use crate::mask::mask;
use crate::time::Time;

/// The time in which as many control frames may come again as may come at once.
const CONTROL_FRAMES_IN_MICROS: u64 = 10_000_000;

/// How long a message is that is [handed out in memory of its own](Connection::with_long_messages_owned). Shorter ones stay
/// in the nearest cache as they are.
const OWNED_FROM: usize = 16 * 1024;

/// One end of a WebSocket connection, after the opening handshake.
///
/// It is two half-machines: what is received and what is sent end separately, and the connection is closed when
/// both have. User messages do not pass through it on their way out; it only says whether they still may
/// ([`can_send`](Self::can_send)).
///
/// While nothing is under way it owns no memory but itself, at most 128 bytes; with permessage-deflate (RFC 7692) also what
/// the peer's next message may refer to.
#[derive(Debug)]
pub struct Connection {
    /// The message that has begun and is not whole; an unfragmented one appears here only if a read cut it.
    message: Option<Assembly>,
    /// The frame whose header has come and whose payload has not ended.
    frame: Option<Frame>,
    control: Option<Box<ControlState>>,
    /// Where permessage-deflate is in use.
    inflater: Option<Box<Inflater>>,
    max_message_size: u64,
    max_fragments: u32,
    fragments: u32,
    close_timeout_millis: u32,
    max_control_frames: u16,
    /// When the control frames that have come are forgotten: each moves it by its share of [`CONTROL_FRAMES_IN_MICROS`].
    control_frames_until: Time,
    /// How much of a header has come that a read cut; the bytes are with `control`.
    spill_len: u8,
    role: Role,
    receiving: Receiving,
    sending: Sending,
    /// Messages are handed out as they come.
    in_chunks: bool,
    /// Long messages are handed out in memory of their own.
    owns_long_messages: bool,
}

impl Connection {
    /// A connection on which nothing has been sent or received.
    pub fn new(role: Role, limits: &Limits) -> Self {
        // No allocation may be longer than isize::MAX, so a larger limit would be none.
        let max_message_size = limits.max_message_size.min(isize::MAX as usize);
        Connection {
            message: None,
            frame: None,
            control: None,
            inflater: None,
            max_message_size: max_message_size as u64,
            max_fragments: limits.max_fragments,
            fragments: 0,
            close_timeout_millis: u32::try_from(limits.close_timeout.as_millis()).unwrap_or(u32::MAX),
            max_control_frames: limits.max_control_frames.max(1),
            control_frames_until: Time::ZERO,
            spill_len: 0,
            role,
            receiving: Receiving::Open,
            sending: Sending::Open,
            in_chunks: false,
            owns_long_messages: false,
        }
    }

    /// The same connection for a driver that keeps messages longer than their input: long ones are handed out in memory of
    /// their own, even if they lie whole in the input.
    ///
    /// Such a message is unmasked, checked and copied block by block, out of the nearest cache, and that takes a fifth less
    /// time than first unmasking it where it lies, then checking it, then copying it.
    #[must_use]
    pub fn with_long_messages_owned(mut self) -> Self {
        self.owns_long_messages = true;
        self
    }

    /// The same connection with permessage-deflate, as the opening handshake has agreed on it.
    #[must_use]
    pub fn with_deflate(mut self, agreement: &DeflateAgreement) -> Self {
        self.inflater = Some(Box::new(Inflater::new(agreement)));
        self
    }

    /// Which end of the connection this is.
    #[inline]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Takes the next event out of `input`, as soon as it is whole.
    ///
    /// A message that lies whole in the input is unmasked where it lies and borrowed: no copy, no allocation, unless it is
    /// [long and to be owned](Self::with_long_messages_owned). On `Ok(None)` all of the input has been consumed; what was
    /// unfinished in it has been kept, a message under assembly as one buffer that is handed out with it. Text is validated
    /// as it comes, so that text which can no longer become UTF-8 fails in the middle of a frame.
    ///
    /// A compressed message is inflated once it is whole, and one of more than 64 KiB as it comes, if it does not lie whole
    /// in the input; it is no longer than [`Limits::max_message_size`] compressed, and no longer than that inflated.
    ///
    /// After an error the Close that tells the peer is queued, and further input is discarded, as it is after the
    /// peer's Close.
    #[inline]
    pub fn decode<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Time,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.receiving != Receiving::Open {
            input.discard();
            return Ok(None);
        }
        let result = self.receive(input, now);
        if let Err(error) = &result {
            self.fail(error.close_code(), now);
            input.discard();
        }
        result
    }

    /// Whether messages are handed out in chunks from now on, as they come: those that do not lie whole in the input. What has
    /// been assembled of one is its first chunk.
    ///
    /// [`Limits::max_message_size`] and [`Limits::max_fragments`] are no limits for them, since they take no memory that
    /// grows: a compressed one takes about 80 KiB while it is under way, and a chunk is no longer than the input, or than 64
    /// KiB of what was inflated. Text is checked as it comes. The first chunk may be empty, and so may the last; a message
    /// that has begun as chunks ends as chunks.
    pub fn receive_in_chunks(&mut self, in_chunks: bool) {
        self.in_chunks = in_chunks;
    }

    /// At most so many further bytes may come of the message that is handed out in chunks; more are
    /// [`ProtocolError::MessageTooBig`].
    pub fn limit_chunks(&mut self, bytes: u64) {
        if let Some(Assembly::Chunks(chunks)) = &mut self.message {
            chunks.limit(bytes);
        }
    }

    /// Drops what is still to come of the message of which chunks have been handed out, if there is one. It may be as long
    /// as a message may be that is assembled.
    pub fn skip_chunks(&mut self) {
        if let Some(Assembly::Chunks(chunks)) = &mut self.message {
            let inflates = self.inflater.as_ref().is_some_and(|inflater| !inflater.forgets());
            chunks.skip(self.max_message_size, inflates);
        }
    }

    /// Whether [`decode`](Self::decode) has a chunk to hand out without further input.
    #[inline]
    pub fn has_chunk(&self) -> bool {
        self.message.is_some() && self.message_has_chunk()
    }

    #[inline(never)]
    fn message_has_chunk(&self) -> bool {
        match &self.message {
            None => false,
            Some(Assembly::Chunks(chunks)) => chunks.has_more(),
            Some(_) => self.in_chunks,
        }
    }

    /// Whether a compressed message is under way that is inflated as it comes, so that each read of it takes a while.
    #[inline]
    pub fn is_inflating(&self) -> bool {
        matches!(self.message, Some(Assembly::Inflated(_)))
    }

    /// How many bytes are still to come of the frame that has begun: 0 between two frames.
    #[inline]
    pub fn frame_remaining(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.remaining)
    }

    /// The next control frame to write: a Pong, a Ping, and the Close after everything else.
    ///
    /// Once the Close has been taken nothing may be written any more.
    pub fn poll_transmit(&mut self) -> Option<Control> {
        let control = self.control.as_mut()?.take_owed()?;
        if control.opcode() == Opcode::Close {
            self.sending = Sending::Closed;
        }
        self.release_control();
        Some(control)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something: for most of the time not even the question costs
    /// more than this.
    #[inline]
    pub fn may_transmit(&self) -> bool {
        self.control.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do. There is a deadline from the beginning
    /// of a close, whoever began it, to the end of the stream; a driver that drops the stream earlier forgets it.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.control.as_ref()?.deadline
    }

    /// [`Event::TimedOut`], once, if the close should have been over by `now`; the connection is closed then, and
    /// the stream is to be dropped.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Event<'static>> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.abandon();
        Some(Event::TimedOut)
    }

    /// Begins the closing handshake (§7.1.2): queues a Close, behind which nothing may be sent, and gives the peer
    /// [`Limits::close_timeout`] to end the stream. What the peer still sends until its own Close is decoded as
    /// before. Does nothing if a Close has been queued already.
    pub fn close(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.queue_close(frame, now);
    }

    /// Queues a Ping. It replaces an earlier one that has not been taken yet; once a Close is queued it is dropped.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ControlTooLong> {
        let payload = ControlPayload::new(payload)?;
        if self.can_send() {
            self.control_mut().owe_ping(payload);
        }
        Ok(())
    }

    /// Whether messages may still be sent: no longer once a Close has been queued, ours or the reply to the peer's.
    pub fn can_send(&self) -> bool {
        self.sending == Sending::Open
    }

    /// Whether both directions are done: once what has been written is flushed, the stream may be shut down (by
    /// the server first, §7.1.1). After an error of the peer's this does not wait for its Close.
    pub fn is_closed(&self) -> bool {
        self.receiving != Receiving::Open && self.sending == Sending::Closed
    }

    /// The peer's stream has ended. If its Close had come before, a queued reply may still be written; otherwise
    /// the connection is closed.
    pub fn handle_eof(&mut self) -> EndOfStream {
        match self.receiving {
            Receiving::Closed => EndOfStream::Clean,
            Receiving::Failed => EndOfStream::Abnormal,
            Receiving::Open => {
                self.abandon();
                EndOfStream::Abnormal
            }
        }
    }

    /// `decode` while the peer may send.
    fn receive<'b>(&mut self, input: &mut Input<'b>, now: Time) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.message.is_some()
            && let Some(chunk) = self.next_chunk()?
        {
            return Ok(Some(chunk));
        }
        if input.is_empty() {
            return Ok(None);
        }
        loop {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.receive_header(input)? {
                    Some(header) => self.begin_frame(header)?,
                    None => return Ok(None),
                },
            };
            let event = if frame.opcode.is_control() {
                self.receive_control(frame, input, now)?
            } else {
                self.receive_data(frame, input)?
            };
            if event.is_some() || input.is_empty() {
                return Ok(event);
            }
        }
    }

    /// The next header; if it is not whole, its beginning goes into the spill and the input is empty.
    fn receive_header(&mut self, input: &mut Input<'_>) -> Result<Option<FrameHeader>, ProtocolError> {
        let rules = Rules::ReceivedBy { role: self.role, deflate: self.inflater.is_some() };
        let kept = usize::from(self.spill_len);
        if kept == 0
            && let Some((header, len)) = FrameHeader::parse_by(rules, input.bytes())?
        {
            input.take(len);
            return Ok(Some(header));
        }
        if input.is_empty() {
            return Ok(None);
        }
        // The header is not whole in the input alone. No header is longer than the spill, so either it becomes
        // whole there, or the spill takes all of the input.
        let copied = input.len().min(MAX_HEADER_LEN - kept);
        let filled = kept + copied;
        let spill = &mut self.control_mut().spill;
        spill[kept..filled].copy_from_slice(&input.bytes()[..copied]);
        if let Some((header, len)) = FrameHeader::parse_by(rules, &spill[..filled])? {
            self.spill_len = 0;
            self.release_control();
            input.take(len - kept);
            return Ok(Some(header));
        }
        self.spill_len = filled as u8;
        input.take(copied);
        Ok(None)
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<Frame, ProtocolError> {
        if !header.opcode.is_control() {
            self.admit_data(&header)?;
        }
        // At most 125, or within a limit that is a possible length.
        let remaining = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let FrameHeader { mask: key, opcode, fin, rsv1: compressed, .. } = header;
        Ok(Frame { remaining, key, opcode, fin, compressed })
    }

    /// Holds a data frame's header against the message under way: order (§5.4), number of fragments, size.
    fn admit_data(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let is_possible = usize::try_from(header.payload_len).is_ok();
        let assembled = match &self.message {
            Some(Assembly::Chunks(chunks)) if is_possible && header.opcode == Opcode::Continuation => {
                return chunks.admits(header.payload_len);
            }
            None if header.opcode == Opcode::Continuation => return Err(ProtocolError::NothingToContinue),
            None if self.in_chunks && is_possible => return Ok(()),
            None => {
                self.fragments = 1;
                0
            }
            Some(_) if header.opcode != Opcode::Continuation => {
                return Err(ProtocolError::MessageUnfinished(header.opcode));
            }
            Some(message) => {
                self.fragments = self.fragments.saturating_add(1);
                if self.fragments > self.max_fragments {
                    return Err(ProtocolError::TooManyFragments { limit: self.max_fragments });
                }
                message.len() as u64
            }
        };
        // Both terms are below 2⁶³: the length by its format, the assembly by this very check.
        let announced = assembled + header.payload_len;
        let limit = self.max_message_size;
        if announced > limit {
            return Err(ProtocolError::MessageTooBig { announced, limit });
        }
        Ok(())
    }

    fn receive_data<'b>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if frame.fin && frame.remaining <= input.len() && self.message.is_none() {
            if frame.compressed {
                if !self.in_chunks {
                    return self.inflate(frame.opcode, frame.take_payload(input)).map(Some);
                }
            } else if frame.remaining < OWNED_FROM || !self.owns_long_messages || self.in_chunks {
                return whole_message(frame.opcode, frame.take_payload(input)).map(Some);
            }
        }
        if input.is_empty() && frame.remaining > 0 {
            // Only the header was there. Without an assembly, the message can still come whole in the next read.
            self.frame = Some(frame);
            return Ok(None);
        }
        if self.in_chunks || matches!(self.message, Some(Assembly::Chunks(_))) {
            let payload = frame.take_payload(input);
            return self.receive_chunk(frame, payload);
        }
        if self.inflates_as_it_comes(frame.remaining.min(input.len())) {
            let payload = frame.take_payload(input);
            return self.receive_inflated(frame, payload);
        }
        // What is to come of the message, as far as that is known, and before this piece is taken away from it.
        let expected = if frame.fin { frame.remaining } else { usize::MAX };
        let (payload, key) = frame.take_masked(input);
        let message = self.message.get_or_insert_with(|| Assembly::new(frame.opcode, frame.compressed));
        match message {
            Assembly::Content(content) => content.push(payload, key, expected)?,
            Assembly::Compressed(_, bytes) => push_bytes(bytes, payload, key, expected),
            // They went another way above.
            Assembly::Inflated(_) | Assembly::Chunks(_) => {}
        }
        if frame.remaining > 0 {
            self.frame = Some(frame);
            return Ok(None);
        }
        if !frame.fin {
            return Ok(None);
        }
        match self.message.take() {
            Some(Assembly::Compressed(opcode, bytes)) => self.inflate(opcode, &bytes).map(Some),
            Some(Assembly::Content(content)) => content.finish().map(Some),
            Some(Assembly::Inflated(_) | Assembly::Chunks(_)) | None => Ok(None),
        }
    }

    /// Whether what is `arriving` belongs to a compressed message that is too long to be inflated in one go.
    #[inline]
    fn inflates_as_it_comes(&self, arriving: usize) -> bool {
        match &self.message {
            Some(Assembly::Compressed(_, bytes)) => bytes.len() + arriving > INFLATED_FROM,
            Some(Assembly::Inflated(_)) => true,
            _ => false,
        }
    }

    /// A piece of a long compressed message.
    #[inline(never)]
    fn receive_inflated<'b>(
        &mut self,
        frame: Frame,
        payload: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let is_last = frame.fin && frame.remaining == 0;
        let limit = self.max_message_size;
        let mut message = match self.message.take() {
            Some(Assembly::Inflated(message)) => message,
            Some(Assembly::Compressed(opcode, bytes)) => {
                let mut message = Box::new(Inflated::new(opcode, self.begin_inflating()?));
                message.push(&bytes, false, limit)?;
                message
            }
            other => {
                self.message = other;
                return Ok(None);
            }
        };
        message.push(payload, is_last, limit)?;
        if is_last {
            let (event, inflating) = message.finish()?;
            if let Some(inflater) = &mut self.inflater {
                inflater.finish(inflating);
            }
            return Ok(Some(event));
        }
        self.message = Some(Assembly::Inflated(message));
        if frame.remaining > 0 {
            self.frame = Some(frame);
        }
        Ok(None)
    }

    /// A piece of a message that is handed out as it comes.
    #[inline(never)]
    fn receive_chunk<'b>(
        &mut self,
        frame: Frame,
        payload: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.message.is_none() {
            let inflating = if frame.compressed { Some(self.begin_inflating()?) } else { None };
            self.message = Some(Assembly::Chunks(Box::new(Chunks::new(frame.opcode, inflating))));
        }
        let is_last = frame.fin && frame.remaining == 0;
        if frame.remaining > 0 {
            self.frame = Some(frame);
        }
        let Some(Assembly::Chunks(chunks)) = &mut self.message else { return Ok(None) };
        match chunks.push(payload, is_last)? {
            Some(chunk) => {
                self.end_chunks();
                Ok(Some(chunk))
            }
            None => self.next_chunk(),
        }
    }

    /// A chunk that takes no further input to make.
    #[inline(never)]
    fn next_chunk(&mut self) -> Result<Option<Event<'static>>, ProtocolError> {
        if self.in_chunks && !matches!(self.message, Some(Assembly::Chunks(_))) {
            let Some(assembly) = self.message.take() else { return Ok(None) };
            let chunks = Chunks::continuing(assembly, || self.begin_inflating())?;
            self.message = Some(Assembly::Chunks(chunks));
        }
        let Some(Assembly::Chunks(chunks)) = &mut self.message else { return Ok(None) };
        let chunk = chunks.next()?;
        self.end_chunks();
        Ok(chunk)
    }

    /// Forgets the message if all of it has been handed out.
    fn end_chunks(&mut self) {
        match self.message.take() {
            Some(Assembly::Chunks(chunks)) if chunks.is_over() => {
                if let (Some(inflater), Some(inflating)) = (&mut self.inflater, chunks.into_inflating()) {
                    inflater.finish(inflating);
                }
            }
            message => self.message = message,
        }
    }

    fn begin_inflating(&self) -> Result<Inflating, ProtocolError> {
        // Without it no frame is taken for compressed.
        self.inflater.as_ref().ok_or(ProtocolError::InvalidCompression)?.begin()
    }

    /// The message that is compressed in `payload`.
    fn inflate(&mut self, opcode: Opcode, payload: &[u8]) -> Result<Event<'static>, ProtocolError> {
        // Without it no frame is taken for compressed.
        let Some(inflater) = &mut self.inflater else { return Err(ProtocolError::InvalidCompression) };
        let limit = usize::try_from(self.max_message_size).unwrap_or(usize::MAX);
        inflater.inflate(payload, limit, |message| whole_message(opcode, message).map(Event::into_owned))
    }

    fn receive_control<'b>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'b>,
        now: Time,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let payload = frame.take_payload(input);
        if frame.remaining > 0 {
            if !payload.is_empty() {
                self.control_mut().partial.extend_from_slice(payload);
            }
            self.frame = Some(frame);
            return Ok(None);
        }
        let partial = self.control.as_mut().map(|control| std::mem::take(&mut control.partial));
        self.release_control();
        match partial {
            Some(partial) if !partial.is_empty() => {
                let whole = [&partial, &*payload].concat();
                self.receive_whole_control(frame.opcode, &whole, now).map(Some)
            }
            _ => self.receive_whole_control(frame.opcode, payload, now).map(Some),
        }
    }

    fn receive_whole_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        now: Time,
    ) -> Result<Event<'static>, ProtocolError> {
        if opcode == Opcode::Close {
            let frame = CloseFrame::parse(payload)?;
            self.end_receiving(Receiving::Closed);
            // "Typically echoes the status code it received" (§5.5.1); the reason was for us.
            let reply = frame.as_ref().map(|frame| CloseFrame::from(frame.code));
            self.queue_close(reply, now);
            return Ok(Event::Close(frame));
        }
        self.admit_control(now)?;
        // The header has been held against the 125 bytes already.
        let payload = ControlPayload::new(payload).map_err(|_| ProtocolError::ControlTooLong(opcode))?;
        if opcode == Opcode::Pong {
            return Ok(Event::Pong(payload));
        }
        if self.can_send() {
            self.control_mut().owe_pong(payload.clone());
        }
        Ok(Event::Ping(payload))
    }

    /// Holds the rate of Pings and Pongs against the limit: a bucket that empties evenly, kept as the time when it will
    /// be empty.
    fn admit_control(&mut self, now: Time) -> Result<(), ProtocolError> {
        let limit = self.max_control_frames;
        // In whole microseconds, as time is, so that shares add up to what they are shares of.
        let share = Duration::from_micros(CONTROL_FRAMES_IN_MICROS / u64::from(limit));
        let until = self.control_frames_until.max(now) + share;
        if until.saturating_since(now) > share * u32::from(limit) {
            return Err(ProtocolError::TooManyControlFrames { limit });
        }
        self.control_frames_until = until;
        Ok(())
    }

    /// The peer broke the protocol: "fail the connection" (§7.1.7), and say why.
    fn fail(&mut self, code: CloseCode, now: Time) {
        self.end_receiving(Receiving::Failed);
        if let Some(control) = &mut self.control {
            control.drop_answers();
        }
        self.queue_close(Some(code.into()), now);
    }

    /// Nothing can be sent or received any more.
    fn abandon(&mut self) {
        self.end_receiving(Receiving::Failed);
        self.sending = Sending::Closed;
        self.control = None;
    }

    /// Discards whatever is half received, so that a connection on its way out holds no message's memory.
    fn end_receiving(&mut self, receiving: Receiving) {
        self.receiving = receiving;
        self.message = None;
        self.frame = None;
        self.inflater = None;
        self.spill_len = 0;
        if let Some(control) = &mut self.control {
            control.partial = Vec::new();
        }
    }

    /// Queues a Close unless one has been queued (§5.5.1: only one is sent), and starts the deadline unless it runs.
    fn queue_close(&mut self, frame: Option<CloseFrame>, now: Time) {
        let deadline = now + Duration::from_millis(self.close_timeout_millis.into());
        let before = std::mem::replace(&mut self.sending, Sending::CloseQueued);
        let control = self.control_mut();
        control.deadline.get_or_insert(deadline);
        match before {
            Sending::Open => control.owe_close(frame),
            Sending::CloseQueued | Sending::Closed => self.sending = before,
        }
    }

    fn control_mut(&mut self) -> &mut ControlState {
        self.control.get_or_insert_default()
    }

    fn release_control(&mut self) {
        if self.spill_len == 0 && self.control.as_ref().is_some_and(|control| control.is_empty()) {
            self.control = None;
        }
    }
}

/// What we may still receive.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Receiving {
    Open,
    /// The peer's Close has come; it must send nothing more, and if it does, it is discarded.
    Closed,
    /// The peer broke the protocol or went away without a Close; what comes is discarded.
    Failed,
}

/// What we may still send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Sending {
    Open,
    /// A Close waits for `poll_transmit`; messages must not be sent behind it.
    CloseQueued,
    /// The Close has been taken, or the stream is lost.
    Closed,
}

/// A frame whose payload is being received.
#[derive(Debug)]
struct Frame {
    /// How much of the payload is still to come.
    remaining: usize,
    /// The mask, turned so that it fits the next byte of the payload.
    key: Option<[u8; 4]>,
    opcode: Opcode,
    fin: bool,
    /// The message that begins with it is.
    compressed: bool,
}

impl Frame {
    /// The payload as far as it has come, unmasked in place.
    #[inline]
    fn take_payload<'b>(&mut self, input: &mut Input<'b>) -> &'b mut [u8] {
        let (payload, key) = self.take_masked(input);
        if let Some(key) = key {
            mask(payload, key, 0);
        }
        payload
    }

    /// The payload as far as it has come, and the key that it is still masked with.
    #[inline]
    fn take_masked<'b>(&mut self, input: &mut Input<'b>) -> (&'b mut [u8], Option<[u8; 4]>) {
        let payload = input.take(self.remaining);
        self.remaining -= payload.len();
        let key = self.key;
        if let Some(key) = &mut self.key {
            key.rotate_left(payload.len() % 4);
        }
        (payload, key)
    }
}

/// A message that lies in memory as one piece.
#[inline]
fn whole_message(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    if opcode == Opcode::Text {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidText)?;
        return Ok(Event::Text(Cow::Borrowed(text)));
    }
    Ok(Event::Binary(Cow::Borrowed(payload)))
}

#[cfg(test)]
mod tests;
