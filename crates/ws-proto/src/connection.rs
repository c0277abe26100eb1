//! Hot path. Turns one peer's frames into messages and performs the closing handshake (RFC 6455 §5–§7).

mod frames;
mod messages;

use std::time::Duration;

use crate::assembly::Assembly;
use crate::close::{CloseCode, CloseFrame};
use crate::control::{ControlFrame, ControlPayload, ControlState, ControlTooLong};
use crate::deflate::{DeflateAgreement, Inflater};
use crate::error::ProtocolError;
use crate::event::{EofKind, Event};
use crate::frame::{Opcode, Role};
use crate::input::Input;
use crate::limits::Limits;
use crate::time::{PeerDeadline, Time};
use frames::Frame;

/// One endpoint of a WebSocket connection, after the opening handshake.
///
/// Receiving and sending end independently. The connection is closed when both have ended. Outgoing messages do not
/// pass through the `Connection`; [`can_send`](Self::can_send) returns whether they may still be sent.
///
/// An idle connection takes at most 128 bytes and owns no other memory. With permessage-deflate (RFC 7692) and
/// context takeover it also keeps the data that the peer's next message may refer to.
#[derive(Debug)]
pub struct Connection {
    /// The message that has begun and is not complete. An unfragmented message is stored here only if a read ended
    /// inside it.
    message: Option<Assembly>,
    /// The frame whose header has arrived and whose payload is not complete.
    frame: Option<Frame>,
    control: Option<Box<ControlState>>,
    /// Present if permessage-deflate was negotiated.
    inflater: Option<Box<Inflater>>,
    max_message_size: u64,
    max_fragments: u32,
    fragments: u32,
    close_timeout_millis: u32,
    max_control_frame_burst: u16,
    /// The time at which the bucket of the control frame limit will be empty. Each control frame moves this time by ten
    /// seconds divided by `max_control_frame_burst`.
    control_bucket_empty_at: Time,
    /// The number of header bytes that arrived before a read ended inside the header. The bytes are in `control`.
    partial_header_len: u8,
    role: Role,
    recv_state: RecvState,
    send_state: SendState,
    /// Messages are handed out in chunks as they arrive.
    in_chunks: bool,
    /// Long messages are handed out in memory of their own.
    owns_long_messages: bool,
}

impl Connection {
    /// Creates a connection on which nothing has been sent or received.
    pub fn new(role: Role, limits: &Limits) -> Self {
        // No allocation may be longer than `isize::MAX`, so a larger limit would not limit anything.
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
            max_control_frame_burst: limits.max_control_frame_burst.max(1),
            control_bucket_empty_at: Time::ZERO,
            partial_header_len: 0,
            role,
            recv_state: RecvState::Open,
            send_state: SendState::Open,
            in_chunks: false,
            owns_long_messages: false,
        }
    }

    /// Hands out long messages as owned, even if they are complete in the input. Long means 16 KiB or more.
    ///
    /// Use this if the driver keeps messages after it has reused the input buffer. A long message is then unmasked,
    /// validated and copied block by block while each block is in the cache, which is faster than three passes over
    /// the whole message.
    #[must_use]
    pub fn with_owned_long_messages(mut self) -> Self {
        self.owns_long_messages = true;
        self
    }

    /// Enables permessage-deflate as negotiated in the opening handshake.
    #[must_use]
    pub fn with_deflate(mut self, agreement: &DeflateAgreement) -> Self {
        self.inflater = Some(Box::new(Inflater::new(agreement)));
        self
    }

    /// Returns which endpoint of the connection this is.
    #[inline]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Decodes the next event from `input`. Returns `Ok(None)` if no event is complete; all of the input has then
    /// been consumed.
    ///
    /// A message that is complete in the input is unmasked in place and borrowed, without a copy or an allocation
    /// (but see [`with_owned_long_messages`](Self::with_owned_long_messages)). Unfinished data is kept inside the
    /// connection. A message that spans several reads is assembled in one buffer, and the event owns that buffer.
    /// Text is validated as it arrives: if it can no longer become valid UTF-8, `decode` fails in the middle of the
    /// frame.
    ///
    /// A compressed message is inflated when it is complete. If it does not arrive in one read and is longer than 64
    /// KiB, it is inflated as it arrives. [`Limits::max_message_size`] applies to the compressed length and to the
    /// inflated length.
    ///
    /// `now` is the time at which the input arrived. If that was long ago, see
    /// [`restart_close_timeout`](Self::restart_close_timeout). If [`is_control_rate_high`](Self::is_control_rate_high)
    /// returns `true`, pass the current time instead. Otherwise a program that takes messages slowly would seem to
    /// receive a burst: one read then contains the Pings of a long period, although they did not arrive at once.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or exceeded a limit. The Close frame that tells the peer the reason is then
    /// queued, and further input is discarded, as it is after the peer's Close.
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

    /// Sets whether messages that are not complete in the input are handed out in chunks as they arrive. Default:
    /// `false`.
    ///
    /// If a message is being assembled when this is enabled, the part that has been assembled becomes its first
    /// chunk. A message that has begun in chunks also ends in chunks.
    ///
    /// [`Limits::max_message_size`] and [`Limits::max_fragments`] do not apply to chunks, because chunks do not
    /// accumulate in memory. A compressed message takes about 80 KiB while it is being received. A chunk is no longer
    /// than the input, or than 64 KiB if the message is compressed; only a first chunk that has been assembled before
    /// may be longer. Text is validated as it arrives. The first chunk and the last chunk may be empty.
    pub fn receive_in_chunks(&mut self, in_chunks: bool) {
        self.in_chunks = in_chunks;
    }

    /// Limits the rest of the message that is being handed out in chunks to `bytes` bytes. A longer rest fails with
    /// [`ProtocolError::MessageTooBig`]. The limit can only be lowered. Does nothing if no message is being handed
    /// out in chunks.
    pub fn set_max_chunked_bytes(&mut self, bytes: u64) {
        if let Some(Assembly::Chunked(chunks)) = &mut self.message {
            chunks.limit(bytes);
        }
    }

    /// Discards the rest of the message that is being handed out in chunks. The rest may be up to
    /// [`Limits::max_message_size`] long. Does nothing if no chunk has been handed out.
    pub fn skip_chunks(&mut self) {
        if let Some(Assembly::Chunked(chunks)) = &mut self.message {
            let inflates = self.inflater.as_ref().is_some_and(|inflater| !inflater.no_context_takeover());
            chunks.skip(self.max_message_size, inflates);
        }
    }

    /// Returns whether [`decode`](Self::decode) can return a chunk without further input.
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

    /// Returns whether a compressed message is being inflated as it arrives. Decoding a read of such a message takes
    /// longer.
    #[inline]
    pub fn is_inflating(&self) -> bool {
        matches!(self.message, Some(Assembly::Inflating(_)))
    }

    /// Returns the memory that the message takes which has begun and is not complete, in bytes. A compressed message
    /// counts with what has been inflated.
    #[inline]
    pub fn message_memory(&self) -> usize {
        self.message.as_ref().map_or(0, Assembly::memory)
    }

    /// Returns how many payload bytes of the current frame have not arrived yet. Returns 0 between two frames.
    #[inline]
    pub fn frame_remaining(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.remaining)
    }

    /// Returns the next control frame to write: first a Pong, then a Ping, and the Close after everything else.
    ///
    /// After this method has returned the Close, nothing more may be written.
    pub fn poll_transmit(&mut self) -> Option<ControlFrame> {
        let control = self.control.as_mut()?.pop_queued()?;
        if control.opcode() == Opcode::Close {
            self.send_state = SendState::Closed;
        }
        self.release_control();
        Some(control)
    }

    /// Returns whether [`poll_transmit`](Self::poll_transmit) may return a frame. This check is cheaper than the
    /// call, and most of the time there is no frame.
    #[inline]
    pub fn wants_transmit(&self) -> bool {
        self.control.is_some()
    }

    /// Returns the deadline at which to call [`handle_timeout`](Self::handle_timeout). There is one from the start of
    /// a close, by either endpoint, to the end of the stream. A driver that drops the stream earlier can ignore it.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.control.as_ref()?.close_deadline.map(PeerDeadline::time)
    }

    /// Restarts the close timeout at `now`, if a close has begun. Use this if [`decode`](Self::decode) has just
    /// returned the peer's Close, or an error, for input that arrived some time ago.
    pub fn restart_close_timeout(&mut self, now: Time) {
        let deadline = PeerDeadline::new(now + self.close_timeout());
        if let Some(until) = self.control.as_mut().and_then(|control| control.close_deadline.as_mut()) {
            *until = deadline;
        }
    }

    /// Returns [`Event::CloseTimedOut`] if the deadline of the close has passed at `now`, and `None` otherwise. The
    /// connection is then closed, and the driver must drop the stream. The event is returned once. A deadline that is
    /// [noticed late](Time::extension) starts again once.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Event<'static>> {
        let period = self.close_timeout();
        let expired = self.control.as_mut()?.close_deadline.as_mut()?.expired_or_restart(period, now);
        expired.then(|| {
            self.abandon();
            Event::CloseTimedOut
        })
    }

    /// Starts the closing handshake (§7.1.2). Queues a Close, after which nothing may be sent, and gives the peer
    /// [`Limits::close_timeout`] to end the stream. Frames that the peer sends before its own Close are still
    /// decoded. Does nothing if a Close is already queued or sent.
    pub fn close(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.queue_close(frame, now);
    }

    /// Ends the connection because this endpoint cannot go on, for instance because it has too little memory. Queues a
    /// Close, frees the part of a message that has arrived, and discards further input. Unlike [`close`](Self::close),
    /// this does not wait for the peer's Close, as after an error of the peer (§7.1.7).
    pub fn abort(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.end_receiving(RecvState::Failed);
        if let Some(control) = &mut self.control {
            control.clear_ping_pong();
        }
        self.queue_close(frame, now);
    }

    /// Queues a Ping. It replaces an earlier Ping that [`poll_transmit`](Self::poll_transmit) has not returned yet.
    /// After a Close has been queued, the Ping is dropped.
    ///
    /// # Errors
    ///
    /// `payload` is longer than 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ControlTooLong> {
        let payload = ControlPayload::new(payload)?;
        if self.can_send() {
            self.control_mut().queue_ping(payload);
        }
        Ok(())
    }

    /// Returns whether messages may still be sent. They may not after a Close has been queued, either by this
    /// endpoint or as the reply to the peer's Close.
    pub fn can_send(&self) -> bool {
        self.send_state == SendState::Open
    }

    /// Returns whether both directions have ended. The stream may then be shut down after all written bytes are
    /// flushed; the server shuts it down first (§7.1.1). After an error of the peer, the connection does not wait for
    /// the peer's Close.
    pub fn is_closed(&self) -> bool {
        self.recv_state != RecvState::Open && self.send_state == SendState::Closed
    }

    /// Tells the connection that the peer's stream has ended. If the peer's Close came first, a queued reply may
    /// still be written. Otherwise the connection is closed.
    pub fn handle_eof(&mut self) -> EofKind {
        match self.recv_state {
            RecvState::Closed => EofKind::Clean,
            RecvState::Failed => EofKind::Abnormal,
            RecvState::Open => {
                self.abandon();
                EofKind::Abnormal
            }
        }
    }

    /// Fails the connection after an error of the peer (§7.1.7), and queues a Close with the reason.
    fn fail(&mut self, code: CloseCode, now: Time) {
        self.abort(Some(code.into()), now);
    }

    /// Ends both directions.
    fn abandon(&mut self) {
        self.end_receiving(RecvState::Failed);
        self.send_state = SendState::Closed;
        self.control = None;
    }

    /// Discards partially received data, so that a connection that is closing holds no memory of a message.
    fn end_receiving(&mut self, recv_state: RecvState) {
        self.recv_state = recv_state;
        self.message = None;
        self.frame = None;
        self.inflater = None;
        self.partial_header_len = 0;
        if let Some(control) = &mut self.control {
            control.partial_payload = Vec::new();
        }
    }

    /// Queues a Close unless one has been queued (§5.5.1 allows only one), and starts the deadline unless it is
    /// running.
    fn queue_close(&mut self, frame: Option<CloseFrame>, now: Time) {
        let deadline = PeerDeadline::new(now + self.close_timeout());
        let before = std::mem::replace(&mut self.send_state, SendState::CloseQueued);
        let control = self.control_mut();
        control.close_deadline.get_or_insert(deadline);
        match before {
            SendState::Open => control.queue_close(frame),
            SendState::CloseQueued | SendState::Closed => self.send_state = before,
        }
    }

    fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout_millis.into())
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

/// The state of the receiving direction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum RecvState {
    Open,
    /// The peer's Close has arrived. It must not send anything more; further input is discarded.
    Closed,
    /// The peer broke the protocol, or its stream ended without a Close. Further input is discarded.
    Failed,
}

/// The state of the sending direction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum SendState {
    Open,
    /// A Close waits for `poll_transmit`. Messages must not be sent after it.
    CloseQueued,
    /// `poll_transmit` has returned the Close, or the stream is lost.
    Closed,
}

#[cfg(test)]
mod tests;
