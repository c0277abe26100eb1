//! What both ends have agreed on.

use std::fmt::Write;

use http::HeaderValue;

use super::{MAX_WINDOW_BITS, NAME};
use crate::frame::Role;

/// permessage-deflate as both ends of a connection have agreed on it in the opening handshake.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateAgreement {
    pub(super) role: Role,
    pub(super) server_context_takeover: bool,
    pub(super) client_context_takeover: bool,
    pub(super) server_max_window_bits: u8,
    pub(super) client_max_window_bits: u8,
    /// The client has said that it can be told.
    pub(super) send_client_max_window_bits: bool,
    pub(super) level: u8,
    pub(super) threshold: usize,
}

impl DeflateAgreement {
    /// Whether messages of this end refer to those before them.
    #[must_use]
    pub fn own_context_takeover(&self) -> bool {
        match self.role {
            Role::Server => self.server_context_takeover,
            Role::Client => self.client_context_takeover,
        }
    }

    /// Whether messages of the peer refer to those before them.
    #[must_use]
    pub fn peer_context_takeover(&self) -> bool {
        match self.role {
            Role::Server => self.client_context_takeover,
            Role::Client => self.server_context_takeover,
        }
    }

    /// How far back messages of this end refer, as a power of two.
    #[must_use]
    pub fn own_window_bits(&self) -> u8 {
        match self.role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
    }

    /// How far back messages of the peer refer, as a power of two.
    #[must_use]
    pub fn peer_window_bits(&self) -> u8 {
        match self.role {
            Role::Server => self.client_max_window_bits,
            Role::Client => self.server_max_window_bits,
        }
    }

    /// The server's answer: the value of `Sec-WebSocket-Extensions`.
    pub(crate) fn response_header(&self) -> HeaderValue {
        let mut answer = NAME.to_owned();
        if !self.server_context_takeover {
            answer.push_str("; server_no_context_takeover");
        }
        if !self.client_context_takeover {
            answer.push_str("; client_no_context_takeover");
        }
        if self.server_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(answer, "; server_max_window_bits={}", self.server_max_window_bits);
        }
        if self.send_client_max_window_bits {
            let _ = write!(answer, "; client_max_window_bits={}", self.client_max_window_bits);
        }
        HeaderValue::from_str(&answer).unwrap_or(HeaderValue::from_static(NAME))
    }
}
