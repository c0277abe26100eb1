//! The offer of a client, and the check of what the server has accepted.

use std::fmt::Write;

use http::{HeaderMap, HeaderValue};

use super::{DeflateOptions, DeflateParams, parse_deflate_params};
use crate::deflate::agreement::DeflateAgreement;
use crate::deflate::{EXTENSION_NAME, MAX_WINDOW_BITS};
use crate::frame::Role;
use crate::handshake::HandshakeError;

impl DeflateOptions {
    /// Returns the client's offer: the value of `Sec-WebSocket-Extensions` (§7.1).
    pub(crate) fn offer_header(&self) -> HeaderValue {
        let options = self.clamped();
        let mut offer = EXTENSION_NAME.to_owned();
        if !options.peer_context_takeover {
            offer.push_str("; server_no_context_takeover");
        }
        if !options.own_context_takeover {
            offer.push_str("; client_no_context_takeover");
        }
        if options.peer_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(offer, "; server_max_window_bits={}", options.peer_max_window_bits);
        }
        // Always included: it tells the server that this client can limit its window.
        offer.push_str("; client_max_window_bits");
        if options.own_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(offer, "={}", options.own_max_window_bits);
        }
        HeaderValue::from_str(&offer).unwrap_or(HeaderValue::from_static(EXTENSION_NAME))
    }

    /// Checks a server's response against [`offer_header`](Self::offer_header). Returns the agreement, or `None` if
    /// the server declined.
    ///
    /// # Errors
    ///
    /// The server has accepted something that was not offered, or with parameters that it must not use (§7.1, RFC
    /// 6455 §9.1). The connection must then be failed.
    pub(crate) fn accept_response(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<DeflateAgreement>, HandshakeError> {
        let responses = parse_responses(headers)?;
        let response = match responses.as_slice() {
            [] => return Ok(None),
            [Some(response)] => response,
            _ => return Err(HandshakeError::InvalidExtensions),
        };
        let options = self.clamped();
        let server_bits = response.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        let client_bits = match response.client_max_window_bits {
            None => options.own_max_window_bits,
            Some(Some(bits)) => bits.min(options.own_max_window_bits),
            // In a response this parameter must have a value.
            Some(None) => return Err(HandshakeError::InvalidExtensions),
        };
        let broken = (!options.peer_context_takeover && !response.server_no_context_takeover)
            || server_bits > options.peer_max_window_bits;
        if broken {
            return Err(HandshakeError::InvalidExtensions);
        }
        Ok(Some(DeflateAgreement {
            role: Role::Client,
            server_context_takeover: !response.server_no_context_takeover,
            client_context_takeover: options.own_context_takeover && !response.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            send_client_max_window_bits: false,
            level: options.level,
            threshold: options.threshold,
        }))
    }
}

/// Returns what a server has accepted. Any other extension is an error, since it was not offered.
fn parse_responses(headers: &HeaderMap) -> Result<Vec<Option<DeflateParams>>, HandshakeError> {
    let mut responses = Vec::new();
    parse_deflate_params(headers, |other| other == EXTENSION_NAME, &mut responses)?;
    Ok(responses)
}
