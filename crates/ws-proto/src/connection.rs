//! Hot path. One peer's frames become messages, and the closing handshake is kept (RFC 6455 §5–§7).

mod frames;
mod messages;

use std::time::Duration;

use crate::assembly::Assembly;
use crate::close::{CloseCode, CloseFrame};
use crate::control::{ControlFrame, ControlPayload, ControlState, ControlTooLong};
use crate::deflate::{DeflateAgreement, Inflater};
use crate::error::ProtocolError;
use crate::event::{EndOfStream, Event};
use crate::frame::{Opcode, Role};
use crate::input::Input;
use crate::limits::Limits;
use crate::time::Time;
use frames::Frame;

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
    /// When the control frames that have come are forgotten: each moves it by its share of ten seconds.
    control_bucket_empty_at: Time,
    /// How much of a header has come that a read cut; the bytes are with `control`.
    partial_header_len: u8,
    role: Role,
    recv_state: RecvState,
    send_state: SendState,
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
            control_bucket_empty_at: Time::ZERO,
            partial_header_len: 0,
            role,
            recv_state: RecvState::Open,
            send_state: SendState::Open,
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
    pub fn with_owned_long_messages(mut self) -> Self {
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
    /// [long and to be owned](Self::with_owned_long_messages). On `Ok(None)` all of the input has been consumed; what was
    /// unfinished in it has been kept, a message under assembly as one buffer that is handed out with it. Text is validated
    /// as it comes, so that text which can no longer become UTF-8 fails in the middle of a frame.
    ///
    /// A compressed message is inflated once it is whole, and one of more than 64 KiB as it comes, if it does not lie whole
    /// in the input; it is no longer than [`Limits::max_message_size`] compressed, and no longer than that inflated.
    ///
    /// After an error the Close that tells the peer is queued, and further input is discarded, as it is after the
    /// peer's Close.
    ///
    /// `now` is when the input came. If that is long past, see [`restart_close_timeout`](Self::restart_close_timeout); and where
    /// it [`is_control_rate_high`](Self::is_control_rate_high), give the true time: who takes messages slowly reads in one
    /// go what has come in a long time, and its Pings did not come at once.
    #[inline]
    pub fn decode<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Time,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.recv_state != RecvState::Open {
            input.discard();
            return Ok(None);
        }
        let result = self.decode_event(input, now);
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
        if let Some(Assembly::Chunked(chunks)) = &mut self.message {
            chunks.limit(bytes);
        }
    }

    /// Drops what is still to come of the message of which chunks have been handed out, if there is one. It may be as long
    /// as a message may be that is assembled.
    pub fn skip_chunks(&mut self) {
        if let Some(Assembly::Chunked(chunks)) = &mut self.message {
            let inflates = self.inflater.as_ref().is_some_and(|inflater| !inflater.no_context_takeover());
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
            Some(Assembly::Chunked(chunks)) => chunks.has_more(),
            Some(_) => self.in_chunks,
        }
    }

    /// Whether a compressed message is under way that is inflated as it comes, so that each read of it takes a while.
    #[inline]
    pub fn is_inflating(&self) -> bool {
        matches!(self.message, Some(Assembly::Inflating(_)))
    }

    /// How many bytes are still to come of the frame that has begun: 0 between two frames.
    #[inline]
    pub fn frame_remaining(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.remaining)
    }

    /// The next control frame to write: a Pong, a Ping, and the Close after everything else.
    ///
    /// Once the Close has been taken nothing may be written any more.
    pub fn poll_transmit(&mut self) -> Option<ControlFrame> {
        let control = self.control.as_mut()?.pop_queued()?;
        if control.opcode() == Opcode::Close {
            self.send_state = SendState::Closed;
        }
        self.release_control();
        Some(control)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something: for most of the time not even the question costs
    /// more than this.
    #[inline]
    pub fn wants_transmit(&self) -> bool {
        self.control.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do. There is a deadline from the beginning
    /// of a close, whoever began it, to the end of the stream; a driver that drops the stream earlier forgets it.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.control.as_ref()?.close_deadline
    }

    /// Has the close, if it has begun, take its time from `now` on: for a driver to which [`decode`](Self::decode) has just
    /// given the end, out of input that came a while ago.
    pub fn restart_close_timeout(&mut self, now: Time) {
        let deadline = self.close_deadline(now);
        if let Some(until) = self.control.as_mut().and_then(|control| control.close_deadline.as_mut()) {
            *until = deadline;
        }
    }

    /// [`Event::CloseTimedOut`], once, if the close should have been over by `now`; the connection is closed then, and
    /// the stream is to be dropped.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Event<'static>> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.abandon();
        Some(Event::CloseTimedOut)
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
            self.control_mut().queue_ping(payload);
        }
        Ok(())
    }

    /// Whether messages may still be sent: no longer once a Close has been queued, ours or the reply to the peer's.
    pub fn can_send(&self) -> bool {
        self.send_state == SendState::Open
    }

    /// Whether both directions are done: once what has been written is flushed, the stream may be shut down (by
    /// the server first, §7.1.1). After an error of the peer's this does not wait for its Close.
    pub fn is_closed(&self) -> bool {
        self.recv_state != RecvState::Open && self.send_state == SendState::Closed
    }

    /// The peer's stream has ended. If its Close had come before, a queued reply may still be written; otherwise
    /// the connection is closed.
    pub fn handle_eof(&mut self) -> EndOfStream {
        match self.recv_state {
            RecvState::Closed => EndOfStream::Clean,
            RecvState::Failed => EndOfStream::Abnormal,
            RecvState::Open => {
                self.abandon();
                EndOfStream::Abnormal
            }
        }
    }

    /// The peer broke the protocol: "fail the connection" (§7.1.7), and say why.
    fn fail(&mut self, code: CloseCode, now: Time) {
        self.end_receiving(RecvState::Failed);
        if let Some(control) = &mut self.control {
            control.clear_ping_pong();
        }
        self.queue_close(Some(code.into()), now);
    }

    /// Nothing can be sent or received any more.
    fn abandon(&mut self) {
        self.end_receiving(RecvState::Failed);
        self.send_state = SendState::Closed;
        self.control = None;
    }

    /// Discards whatever is half received, so that a connection on its way out holds no message's memory.
    fn end_receiving(&mut self, receiving: RecvState) {
        self.recv_state = receiving;
        self.message = None;
        self.frame = None;
        self.inflater = None;
        self.partial_header_len = 0;
        if let Some(control) = &mut self.control {
            control.partial_payload = Vec::new();
        }
    }

    /// Queues a Close unless one has been queued (§5.5.1: only one is sent), and starts the deadline unless it runs.
    fn queue_close(&mut self, frame: Option<CloseFrame>, now: Time) {
        let deadline = self.close_deadline(now);
        let before = std::mem::replace(&mut self.send_state, SendState::CloseQueued);
        let control = self.control_mut();
        control.close_deadline.get_or_insert(deadline);
        match before {
            SendState::Open => control.queue_close(frame),
            SendState::CloseQueued | SendState::Closed => self.send_state = before,
        }
    }

    fn close_deadline(&self, now: Time) -> Time {
        now + Duration::from_millis(self.close_timeout_millis.into())
    }

    fn control_mut(&mut self) -> &mut ControlState {
        self.control.get_or_insert_default()
    }

    fn release_control(&mut self) {
        if self.partial_header_len == 0 && self.control.as_ref().is_some_and(|control| control.is_empty()) {
            self.control = None;
        }
    }
}

/// What we may still receive.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum RecvState {
    Open,
    /// The peer's Close has come; it must send nothing more, and if it does, it is discarded.
    Closed,
    /// The peer broke the protocol or went away without a Close; what comes is discarded.
    Failed,
}

/// What we may still send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum SendState {
    Open,
    /// A Close waits for `poll_transmit`; messages must not be sent behind it.
    CloseQueued,
    /// The Close has been taken, or the stream is lost.
    Closed,
}

#[cfg(test)]
mod tests;
