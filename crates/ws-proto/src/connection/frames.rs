//! Hot path. From bytes to frames: headers, control frames, and the payloads of all others as far as they have come.

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

/// The time in which as many control frames may come again as may come at once.
const CONTROL_RATE_WINDOW_MICROS: u64 = 10_000_000;

impl Connection {
    /// `decode` while the peer may send.
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

    /// The next header; if it is not whole, its beginning goes into the spill and the input is empty.
    fn receive_header(&mut self, input: &mut Input<'_>) -> Result<Option<FrameHeader>, ProtocolError> {
        let rules = HeaderRules::Receiver { role: self.role, deflate: self.inflater.is_some() };
        let kept = usize::from(self.partial_header_len);
        if kept == 0
            && let Some((header, len)) = FrameHeader::parse_with_rules(rules, input.bytes())?
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
        // At most 125, or within a limit that is a possible length.
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
            // "Typically echoes the status code it received" (§5.5.1); the reason was for us.
            let reply = frame.as_ref().map(|frame| CloseFrame::from(frame.code));
            self.queue_close(reply, now);
            return Ok(Event::Close(frame));
        }
        self.check_control_rate(now)?;
        // The header has been held against the 125 bytes already.
        let payload = ControlPayload::new(payload).map_err(|_| ProtocolError::ControlTooLong(opcode))?;
        if opcode == Opcode::Pong {
            return Ok(Event::Pong(payload));
        }
        if self.can_send() {
            self.control_mut().queue_pong(payload.clone());
        }
        Ok(Event::Ping(payload))
    }

    /// Whether half as many control frames as may come at once have come shortly before `now`, so that for older input the true
    /// time counts, see [`decode`](Self::decode).
    #[inline]
    #[must_use]
    pub fn is_control_rate_high(&self, now: Time) -> bool {
        // It is asked for each message of a backlog; `Duration` would divide.
        self.control_bucket_empty_at.as_micros()
            > now.as_micros().saturating_add(CONTROL_RATE_WINDOW_MICROS / 2)
    }

    /// Holds the rate of Pings and Pongs against the limit: a bucket that empties evenly, kept as the time when it will
    /// be empty.
    fn check_control_rate(&mut self, now: Time) -> Result<(), ProtocolError> {
        let limit = self.max_control_frames;
        // In whole microseconds, as time is, so that shares add up to what they are shares of.
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
    /// How much of the payload is still to come.
    pub(super) remaining: usize,
    /// The mask, turned so that it fits the next byte of the payload.
    masking_key: Option<[u8; 4]>,
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// The message that begins with it is.
    pub(super) compressed: bool,
}

impl Frame {
    /// The payload as far as it has come, unmasked in place.
    #[inline]
    pub(super) fn take_payload<'b>(&mut self, input: &mut Input<'b>) -> &'b mut [u8] {
        let (payload, key) = self.take_masked(input);
        if let Some(key) = key {
            mask(payload, key);
        }
        payload
    }

    /// The payload as far as it has come, and the key that it is still masked with.
    #[inline]
    pub(super) fn take_masked<'b>(&mut self, input: &mut Input<'b>) -> (&'b mut [u8], Option<[u8; 4]>) {
        let payload = input.take(self.remaining);
        self.remaining -= payload.len();
        let key = self.masking_key;
        if let Some(key) = &mut self.masking_key {
            key.rotate_left(payload.len() % 4);
        }
        (payload, key)
    }
}
