//! The events that a connection reports to its driver.

use std::borrow::Cow;

use crate::close::CloseFrame;
use crate::control::ControlPayload;
use crate::copy::{append_str, to_vec};

/// A complete message, chunk or control frame from the peer, or the timeout of a close.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'b> {
    /// A text message. It is borrowed from the input if it is complete there, and owned if it had to be assembled.
    Text(Cow<'b, str>),
    /// A binary message, borrowed or owned as a text message is.
    Binary(Cow<'b, [u8]>),
    /// A piece of a text message that is handed out in chunks, see
    /// [`Connection::receive_in_chunks`](crate::Connection::receive_in_chunks). It consists of whole characters and
    /// may be empty.
    TextChunk {
        /// The piece.
        text: Cow<'b, str>,
        /// Whether this is the last piece of the message.
        is_last: bool,
    },
    /// A piece of a binary message that is handed out in chunks. It may be empty.
    BinaryChunk {
        /// The piece.
        bytes: Cow<'b, [u8]>,
        /// Whether this is the last piece of the message.
        is_last: bool,
    },
    /// A Ping. The Pong is already queued.
    Ping(ControlPayload),
    /// A Pong, solicited or not.
    Pong(ControlPayload),
    /// The peer's Close. The peer sends nothing after it. The reply is already queued.
    Close(Option<CloseFrame>),
    /// The close did not finish within [`Limits::close_timeout`](crate::Limits::close_timeout): drop the stream. Only
    /// [`Connection::handle_timeout`](crate::Connection::handle_timeout) returns this event.
    CloseTimedOut,
}

impl Event<'_> {
    /// Returns the length of the message or chunk in bytes, and 0 for control frames.
    #[inline]
    pub fn payload_len(&self) -> usize {
        match self {
            Event::Text(text) | Event::TextChunk { text, .. } => text.len(),
            Event::Binary(bytes) | Event::BinaryChunk { bytes, .. } => bytes.len(),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) | Event::CloseTimedOut => 0,
        }
    }

    /// Converts to an event that does not borrow from the input. Copies the message if it was borrowed.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Event::Text(text) => Event::Text(owned_text(text)),
            Event::Binary(bytes) => Event::Binary(owned_bytes(bytes)),
            Event::TextChunk { text, is_last } => Event::TextChunk { text: owned_text(text), is_last },
            Event::BinaryChunk { bytes, is_last } => {
                Event::BinaryChunk { bytes: owned_bytes(bytes), is_last }
            }
            Event::Ping(payload) => Event::Ping(payload),
            Event::Pong(payload) => Event::Pong(payload),
            Event::Close(frame) => Event::Close(frame),
            Event::CloseTimedOut => Event::CloseTimedOut,
        }
    }
}

fn owned_text(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(match text {
        Cow::Borrowed(text) => {
            let mut copy = String::with_capacity(text.len());
            append_str(&mut copy, text);
            copy
        }
        Cow::Owned(text) => text,
    })
}

fn owned_bytes(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(match bytes {
        Cow::Borrowed(bytes) => to_vec(bytes),
        Cow::Owned(bytes) => bytes,
    })
}

/// The way in which the peer's stream ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum EofKind {
    /// The peer sent its Close before the stream ended.
    Clean,
    /// The stream ended without a Close from the peer. RFC 6455 §7.1.5 calls this code 1006, which is never sent.
    Abnormal,
}
