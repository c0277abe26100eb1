//! Hot path. Turns frames into messages: complete, assembled, inflated, or in chunks.

use std::borrow::Cow;

use super::Connection;
use super::frames::Frame;
use crate::assembly::Assembly;
use crate::chunked_message::ChunkedMessage;
use crate::deflate::InflateStream;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::{FrameHeader, Opcode};
use crate::inflate_assembly::{InflateAssembly, STREAMING_INFLATE_THRESHOLD};
use crate::input::Input;
use crate::message_buffer::push_bytes;

/// The minimum length of a message that is handed out [in memory of its own](Connection::with_owned_long_messages).
/// Shorter messages fit into the nearest cache anyway. For long ones, a single pass that unmasks, validates and
/// copies takes a fifth less time than three passes.
pub(super) const OWNED_MESSAGE_THRESHOLD: usize = 16 * 1024;

impl Connection {
    /// Checks the header of a data frame against the current message: order (§5.4), number of fragments, size.
    pub(super) fn check_data_header(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let is_possible = usize::try_from(header.payload_len).is_ok();
        let assembled = match &self.message {
            Some(Assembly::Chunked(chunks)) if is_possible && header.opcode == Opcode::Continuation => {
                return chunks.check_size(header.payload_len);
            }
            None if header.opcode == Opcode::Continuation => {
                return Err(ProtocolError::UnexpectedContinuation);
            }
            None if self.in_chunks && is_possible => return Ok(()),
            None => {
                self.fragments = 1;
                0
            }
            Some(_) if header.opcode != Opcode::Continuation => {
                return Err(ProtocolError::ExpectedContinuation(header.opcode));
            }
            Some(message) => {
                self.fragments = self.fragments.saturating_add(1);
                if self.fragments > self.max_fragments {
                    return Err(ProtocolError::TooManyFragments { limit: self.max_fragments });
                }
                message.len() as u64
            }
        };
        // Both terms are below 2⁶³: the frame format bounds the length, and this check bounds the assembly.
        let announced = assembled + header.payload_len;
        let limit = self.max_message_size;
        if announced > limit {
            return Err(ProtocolError::MessageTooBig { size: announced, limit });
        }
        Ok(())
    }

    pub(super) fn receive_data<'b>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if frame.fin && frame.remaining <= input.len() && self.message.is_none() {
            if frame.compressed {
                if !self.in_chunks {
                    return self.inflate(frame.opcode, frame.take_payload(input)).map(Some);
                }
            } else if frame.remaining < OWNED_MESSAGE_THRESHOLD || !self.owns_long_messages || self.in_chunks
            {
                return whole_message(frame.opcode, frame.take_payload(input)).map(Some);
            }
        }
        self.receive_partial_data(frame, input)
    }

    /// Receives a piece of a message that cannot be handed out directly from the input. This is a separate function
    /// so that the path of a complete message stays short.
    #[inline(never)]
    fn receive_partial_data<'b>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if input.is_empty() && frame.remaining > 0 {
            // Only the header has arrived. No assembly is started, since the payload may still be complete in the
            // next read.
            self.frame = Some(frame);
            return Ok(None);
        }
        if self.in_chunks || matches!(self.message, Some(Assembly::Chunked(_))) {
            let payload = frame.take_payload(input);
            return self.receive_chunk(frame, payload);
        }
        if self.uses_streaming_inflate(frame.remaining.min(input.len())) {
            let payload = frame.take_payload(input);
            return self.receive_compressed(frame, payload);
        }
        // The number of bytes until the end of the message, this piece included, if the end is known.
        let expected = frame.fin.then_some(frame.remaining);
        let (payload, key) = frame.take_masked(input);
        let message = self.message.get_or_insert_with(|| Assembly::new(frame.opcode, frame.compressed));
        match message {
            Assembly::Uncompressed(content) => content.push(payload, key, expected)?,
            Assembly::Compressed(_, bytes) => push_bytes(bytes, payload, key, expected),
            // Handled above.
            Assembly::Inflating(_) | Assembly::Chunked(_) => {}
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
            Some(Assembly::Uncompressed(content)) => content.finish().map(Some),
            Some(Assembly::Inflating(_) | Assembly::Chunked(_)) | None => Ok(None),
        }
    }

    /// Returns whether the `arriving` bytes belong to a compressed message that is too long to be inflated in one go.
    #[inline]
    fn uses_streaming_inflate(&self, arriving: usize) -> bool {
        match &self.message {
            Some(Assembly::Compressed(_, bytes)) => bytes.len() + arriving > STREAMING_INFLATE_THRESHOLD,
            Some(Assembly::Inflating(_)) => true,
            _ => false,
        }
    }

    /// Receives a piece of a long compressed message.
    #[inline(never)]
    fn receive_compressed<'b>(
        &mut self,
        frame: Frame,
        payload: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let is_last = frame.fin && frame.remaining == 0;
        let limit = self.max_message_size;
        let mut message = match self.message.take() {
            Some(Assembly::Inflating(message)) => message,
            Some(Assembly::Compressed(opcode, bytes)) => {
                let mut message = Box::new(InflateAssembly::new(opcode, self.start_inflate_stream()?));
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
        self.message = Some(Assembly::Inflating(message));
        if frame.remaining > 0 {
            self.frame = Some(frame);
        }
        Ok(None)
    }

    /// Receives a piece of a message that is handed out in chunks.
    #[inline(never)]
    fn receive_chunk<'b>(
        &mut self,
        frame: Frame,
        payload: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.message.is_none() {
            let inflating = if frame.compressed { Some(self.start_inflate_stream()?) } else { None };
            self.message = Some(Assembly::Chunked(Box::new(ChunkedMessage::new(frame.opcode, inflating))));
        }
        let is_last = frame.fin && frame.remaining == 0;
        if frame.remaining > 0 {
            self.frame = Some(frame);
        }
        let Some(Assembly::Chunked(chunks)) = &mut self.message else { return Ok(None) };
        match chunks.push(payload, is_last)? {
            Some(chunk) => {
                self.end_chunks();
                Ok(Some(chunk))
            }
            None => self.next_chunk(),
        }
    }

    /// Returns the next chunk that needs no further input.
    #[inline(never)]
    pub(super) fn next_chunk(&mut self) -> Result<Option<Event<'static>>, ProtocolError> {
        if self.in_chunks && !matches!(self.message, Some(Assembly::Chunked(_))) {
            let Some(assembly) = self.message.take() else { return Ok(None) };
            let chunks = ChunkedMessage::from_assembly(assembly, || self.start_inflate_stream())?;
            self.message = Some(Assembly::Chunked(chunks));
        }
        let Some(Assembly::Chunked(chunks)) = &mut self.message else { return Ok(None) };
        let chunk = chunks.next()?;
        self.end_chunks();
        Ok(chunk)
    }

    /// Drops the message if all of it has been handed out.
    fn end_chunks(&mut self) {
        match self.message.take() {
            Some(Assembly::Chunked(chunks)) if chunks.is_finished() => {
                if let (Some(inflater), Some(inflating)) = (&mut self.inflater, chunks.into_inflate_stream())
                {
                    inflater.finish(inflating);
                }
            }
            message => self.message = message,
        }
    }

    fn start_inflate_stream(&self) -> Result<InflateStream, ProtocolError> {
        // A frame is marked as compressed only if there is an inflater.
        self.inflater.as_ref().ok_or(ProtocolError::InvalidCompression)?.start_stream()
    }

    /// Inflates `payload` to a message.
    fn inflate(&mut self, opcode: Opcode, payload: &[u8]) -> Result<Event<'static>, ProtocolError> {
        // A frame is marked as compressed only if there is an inflater.
        let Some(inflater) = &mut self.inflater else { return Err(ProtocolError::InvalidCompression) };
        let limit = usize::try_from(self.max_message_size).unwrap_or(usize::MAX);
        inflater.inflate(payload, limit, |message| whole_message(opcode, message).map(Event::into_owned))
    }
}

/// Returns the event of a message that is contiguous in memory.
#[inline]
fn whole_message(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    if opcode == Opcode::Text {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidText)?;
        return Ok(Event::Text(Cow::Borrowed(text)));
    }
    Ok(Event::Binary(Cow::Borrowed(payload)))
}
