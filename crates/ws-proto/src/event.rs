//! What a connection has to tell its driver.

use std::borrow::Cow;

use crate::close::CloseFrame;
use crate::control::ControlPayload;
use crate::copy::{append_str, to_vec};

/// Something whole that the peer sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'b> {
    /// A text message: borrowed from the input if it lay there whole, owned if it had to be assembled.
    Text(Cow<'b, str>),
    /// A binary message, borrowed or owned likewise.
    Binary(Cow<'b, [u8]>),
    /// A piece of a text message that is handed out as it comes, see
    /// [`Connection::receive_in_chunks`](crate::Connection::receive_in_chunks). It consists of whole characters, and may
    /// be empty.
    TextChunk {
        /// The piece.
        text: Cow<'b, str>,
        /// Whether the message ends with it.
        is_last: bool,
    },
    /// A piece of a binary message likewise.
    BinaryChunk {
        /// The piece.
        bytes: Cow<'b, [u8]>,
        /// Whether the message ends with it.
        is_last: bool,
    },
    /// A Ping. The Pong is queued already.
    Ping(ControlPayload),
    /// A Pong, asked for or not.
    Pong(ControlPayload),
    /// The peer's Close; it sends nothing after it. The reply is queued already.
    Close(Option<CloseFrame>),
    /// The close was not over within [`Limits::close_timeout`](crate::Limits::close_timeout): drop the stream.
    /// Comes from [`Connection::handle_timeout`](crate::Connection::handle_timeout) only.
    CloseTimedOut,
}

impl Event<'_> {
    /// Bytes of the message or chunk; of a control frame none.
    #[inline]
    pub fn payload_len(&self) -> usize {
        match self {
            Event::Text(text) | Event::TextChunk { text, .. } => text.len(),
            Event::Binary(bytes) | Event::BinaryChunk { bytes, .. } => bytes.len(),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) | Event::CloseTimedOut => 0,
        }
    }

    /// The same event, free of the input; copies the message if it was borrowed.
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

/// What the end of the peer's stream means.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum EndOfStream {
    /// The peer had sent its Close.
    Clean,
    /// The peer is gone without a Close: what RFC 6455 §7.1.5 calls code 1006, which is never on the wire.
    Abnormal,
}
