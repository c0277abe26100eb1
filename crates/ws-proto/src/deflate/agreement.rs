//! The negotiated parameters.

use std::fmt::Write;

use http::HeaderValue;

use super::{EXTENSION_NAME, MAX_WINDOW_BITS};
use crate::frame::Role;

/// The permessage-deflate parameters that both endpoints have negotiated in the opening handshake.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateAgreement {
    pub(super) role: Role,
    pub(super) server_context_takeover: bool,
    pub(super) client_context_takeover: bool,
    pub(super) server_max_window_bits: u8,
    pub(super) client_max_window_bits: u8,
    /// Whether the response limits the client's window. The client must have offered that.
    pub(super) send_client_max_window_bits: bool,
    pub(super) level: u8,
    pub(super) threshold: usize,
}

impl DeflateAgreement {
    /// Returns whether this endpoint uses context takeover, that is, whether its messages may refer to earlier ones.
    #[must_use]
    pub fn own_context_takeover(&self) -> bool {
        match self.role {
            Role::Server => self.server_context_takeover,
            Role::Client => self.client_context_takeover,
        }
    }

    /// Returns whether the peer uses context takeover, that is, whether its messages may refer to earlier ones.
    #[must_use]
    pub fn peer_context_takeover(&self) -> bool {
        match self.role {
            Role::Server => self.client_context_takeover,
            Role::Client => self.server_context_takeover,
        }
    }

    /// Returns the window size of this endpoint as a power of two, that is, how far back its messages may refer.
    #[must_use]
    pub fn own_window_bits(&self) -> u8 {
        match self.role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
    }

    /// Returns the window size of the peer as a power of two, that is, how far back its messages may refer.
    #[must_use]
    pub fn peer_window_bits(&self) -> u8 {
        match self.role {
            Role::Server => self.client_max_window_bits,
            Role::Client => self.server_max_window_bits,
        }
    }

    /// Returns the server's response: the value of `Sec-WebSocket-Extensions`.
    pub(crate) fn response_header(&self) -> HeaderValue {
        let mut response = EXTENSION_NAME.to_owned();
        if !self.server_context_takeover {
            response.push_str("; server_no_context_takeover");
        }
        if !self.client_context_takeover {
            response.push_str("; client_no_context_takeover");
        }
        if self.server_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(response, "; server_max_window_bits={}", self.server_max_window_bits);
        }
        if self.send_client_max_window_bits {
            let _ = write!(response, "; client_max_window_bits={}", self.client_max_window_bits);
        }
        HeaderValue::from_str(&response).unwrap_or(HeaderValue::from_static(EXTENSION_NAME))
    }
}
