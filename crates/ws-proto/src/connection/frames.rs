//! Hot path. Turns bytes into frames: headers, control frames, and the payloads of data frames as far as they have
//! arrived.

use std::time::Duration;

use super::{Connection, RecvState};
use crate::close::CloseFrame;
use crate::control::ControlPayload;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::{FrameHeader, HeaderRules, MAX_HEADER_LEN, Opcode};
use crate::input::Input;
use crate::mask::mask;
use crate::time::Time;

/// The time in which the allowance of control frames refills completely.
const CONTROL_RATE_WINDOW_MICROS: u64 = 10_000_000;

impl Connection {
    /// Implements `decode` while the peer may still send.
    pub(super) fn decode_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Time,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
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

    /// Returns the next header. If the header is not complete, stores its beginning and consumes the input.
    #[inline]
    fn receive_header(&mut self, input: &mut Input<'_>) -> Result<Option<FrameHeader>, ProtocolError> {
        let rules = HeaderRules::Receiver { role: self.role, deflate: self.inflater.is_some() };
        if self.partial_header_len == 0
            && let Some((header, len)) = FrameHeader::parse_with_rules(rules, input.bytes())?
        {
            input.take(len);
            return Ok(Some(header));
        }
        if input.is_empty() {
            return Ok(None);
        }
        self.receive_partial_header(rules, input)
    }

    /// Receives a header of which only a part is in the input. In a function of its own, so that the other headers are
    /// parsed in registers.
    #[inline(never)]
    fn receive_partial_header(
        &mut self,
        rules: HeaderRules,
        input: &mut Input<'_>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let kept = usize::from(self.partial_header_len);
        // The header is not complete in the input alone. No header is longer than the spill buffer. So either the
        // header becomes complete there, or the spill buffer takes all of the input.
        let copied = input.len().min(MAX_HEADER_LEN - kept);
        let filled = kept + copied;
        let spill = &mut self.control_mut().partial_header;
        spill[kept..filled].copy_from_slice(&input.bytes()[..copied]);
        if let Some((header, len)) = FrameHeader::parse_with_rules(rules, &spill[..filled])? {
            self.partial_header_len = 0;
            self.release_control();
            input.take(len - kept);
            return Ok(Some(header));
        }
        self.partial_header_len = filled as u8;
        input.take(copied);
        Ok(None)
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<Frame, ProtocolError> {
        if !header.opcode.is_control() {
            self.check_data_header(&header)?;
        }
        // The length is at most 125 bytes, or within a limit that fits into `usize`.
        let remaining = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let FrameHeader { masking_key: key, opcode, fin, rsv1: compressed, .. } = header;
        Ok(Frame { remaining, masking_key: key, opcode, fin, compressed })
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
                self.control_mut().partial_payload.extend_from_slice(payload);
            }
            self.frame = Some(frame);
            return Ok(None);
        }
        let partial = self.control.as_mut().map(|control| std::mem::take(&mut control.partial_payload));
        self.release_control();
        match partial {
            Some(partial) if !partial.is_empty() => {
                let whole = [&partial, &*payload].concat();
                self.handle_control(frame.opcode, &whole, now).map(Some)
            }
            _ => self.handle_control(frame.opcode, payload, now).map(Some),
        }
    }

    fn handle_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        now: Time,
    ) -> Result<Event<'static>, ProtocolError> {
        if opcode == Opcode::Close {
            let frame = CloseFrame::parse(payload)?;
            self.end_receiving(RecvState::Closed);
            // "Typically echoes the status code it received" (§5.5.1). The reason is not echoed.
            let reply = frame.as_ref().map(|frame| CloseFrame::from(frame.code));
            self.queue_close(reply, now);
            return Ok(Event::Close(frame));
        }
        self.check_control_rate(now)?;
        // The header check has already limited the payload to 125 bytes.
        let payload = ControlPayload::new(payload).map_err(|_| ProtocolError::ControlTooLong(opcode))?;
        if opcode == Opcode::Pong {
            return Ok(Event::Pong(payload));
        }
        if self.can_send() {
            self.control_mut().queue_pong(payload.clone());
        }
        Ok(Event::Ping(payload))
    }

    /// Returns whether the peer has used more than half of the allowance of
    /// [`Limits::max_control_frame_burst`](crate::Limits::max_control_frame_burst) at `now`. The driver must then pass the
    /// current time to [`decode`](Self::decode), even if the input was read earlier.
    #[inline]
    #[must_use]
    pub fn is_control_rate_high(&self, now: Time) -> bool {
        // The driver calls this for each message of a backlog. `Duration` would need a division.
        self.control_bucket_empty_at.as_micros()
            > now.as_micros().saturating_add(CONTROL_RATE_WINDOW_MICROS / 2)
    }

    /// Checks the rate of Pings and Pongs against the limit. This is a leaky bucket that drains evenly; only the time
    /// at which it will be empty is stored.
    fn check_control_rate(&mut self, now: Time) -> Result<(), ProtocolError> {
        let limit = self.max_control_frame_burst;
        // The share is in whole microseconds, the resolution of `Time`, so that the shares add up exactly.
        let share = Duration::from_micros(CONTROL_RATE_WINDOW_MICROS / u64::from(limit));
        let until = self.control_bucket_empty_at.max(now) + share;
        if until.saturating_since(now) > share * u32::from(limit) {
            return Err(ProtocolError::TooManyControlFrames { limit });
        }
        self.control_bucket_empty_at = until;
        Ok(())
    }
}

/// A frame whose payload is being received.
#[derive(Debug)]
pub(super) struct Frame {
    /// The number of payload bytes that have not arrived yet.
    pub(super) remaining: usize,
    /// The masking key, rotated so that its first byte belongs to the next byte of the payload.
    masking_key: Option<[u8; 4]>,
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// The message that begins with this frame is compressed.
    pub(super) compressed: bool,
}

impl Frame {
    /// Takes the part of the payload that has arrived, and unmasks it in place.
    #[inline]
    pub(super) fn take_payload<'b>(&mut self, input: &mut Input<'b>) -> &'b mut [u8] {
        let (payload, key) = self.take_masked(input);
        if let Some(key) = key {
            mask(payload, key);
        }
        payload
    }

    /// Takes the part of the payload that has arrived, still masked, and returns the masking key for it.
    #[inline]
    pub(super) fn take_masked<'b>(&mut self, input: &mut Input<'b>) -> (&'b mut [u8], Option<[u8; 4]>) {
        let payload = input.take(self.remaining);
        self.remaining -= payload.len();
        let key = self.masking_key;
        if let Some(key) = &mut self.masking_key {
            // One rotation of a word, where `rotate_left` of a slice is an algorithm for any length.
            *key = u32::from_be_bytes(*key).rotate_left(payload.len() as u32 % 4 * 8).to_be_bytes();
        }
        (payload, key)
    }
}
