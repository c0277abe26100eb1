//! The options of an endpoint for permessage-deflate, and the negotiation.

#[cfg(feature = "client")]
mod client;

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::agreement::DeflateAgreement;
use super::{EXTENSION_NAME, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use crate::frame::Role;
use crate::handshake::{ExtensionListItem, HandshakeError, parse_extension_list};

/// The maximum number of offers in one handshake that are considered. Browsers send one.
const MAX_OFFERS: usize = 16;

/// Options for permessage-deflate: how this endpoint compresses, and what it allows its peer.
///
/// "Own" options are for messages that this endpoint sends, "peer" options for messages that it receives. Values out
/// of range are clamped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateOptions {
    /// The compression level of zlib, from 1 (fast) to 9 (small). Default: 1, which compresses short messages nearly
    /// as well as 6, the default of Node's `ws`, in half the time.
    pub level: u8,

    /// Messages shorter than this many bytes are sent uncompressed. Default: 1,024, as in Node's `ws`.
    pub threshold: usize,

    /// Whether messages of this endpoint may refer to earlier ones (context takeover). Default: `false`.
    ///
    /// Context takeover makes small messages much smaller if they resemble each other. It costs about 380 KiB of
    /// memory for each connection. A message to many connections must then be compressed once for each of them.
    pub own_context_takeover: bool,

    /// Whether messages of the peer may refer to earlier ones (context takeover). Default: `false`. It costs memory
    /// of up to the size of the peer's window for each connection.
    pub peer_context_takeover: bool,

    /// The maximum window size of this endpoint, as a power of two from 9 to 15. Default: 15, which is 32 KiB. The
    /// peer may require a smaller window.
    pub own_max_window_bits: u8,

    /// The maximum window size of the peer, as a power of two from 9 to 15. Default: 15. A server can limit the
    /// window only if the client has offered that; otherwise the window is 15.
    pub peer_max_window_bits: u8,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            level: 1,
            threshold: 1_024,
            own_context_takeover: false,
            peer_context_takeover: false,
            own_max_window_bits: MAX_WINDOW_BITS,
            peer_max_window_bits: MAX_WINDOW_BITS,
        }
    }
}

impl DeflateOptions {
    /// Clamps the values to the ranges that zlib supports.
    fn clamped(self) -> Self {
        let bits = |bits: u8| bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        Self {
            level: self.level.clamp(1, 9),
            own_max_window_bits: bits(self.own_max_window_bits),
            peer_max_window_bits: bits(self.peer_max_window_bits),
            ..self
        }
    }

    /// Returns the server's choice: the first offer that it can satisfy (§5.1).
    pub(crate) fn negotiate(&self, offers: &[DeflateParams]) -> Option<DeflateAgreement> {
        let options = self.clamped();
        offers.iter().find_map(|offer| {
            let server_bits =
                offer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS).min(options.own_max_window_bits);
            // zlib accepts a window of 8 bits but cannot compress with it.
            if server_bits < MIN_WINDOW_BITS {
                return None;
            }
            // The server may limit the window only of a client that has offered it (§7.1.2.2).
            let client_bits = offer
                .client_max_window_bits
                .map(|bits| bits.unwrap_or(MAX_WINDOW_BITS).min(options.peer_max_window_bits));
            Some(DeflateAgreement {
                role: Role::Server,
                server_context_takeover: options.own_context_takeover && !offer.server_no_context_takeover,
                client_context_takeover: options.peer_context_takeover && !offer.client_no_context_takeover,
                server_max_window_bits: server_bits,
                client_max_window_bits: client_bits.unwrap_or(MAX_WINDOW_BITS),
                send_client_max_window_bits: client_bits.is_some_and(|bits| bits < MAX_WINDOW_BITS),
                level: options.level,
                threshold: options.threshold,
            })
        })
    }
}

/// The parameters of an offer, or of a response to one (§7.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct DeflateParams {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Option<u8>>,
}

impl DeflateParams {
    /// Adds a parameter. Returns `None` if it is unknown, repeated, or has an invalid value.
    fn with_param(mut self, name: &str, value: Option<&str>) -> Option<Self> {
        let taken = match (name, value) {
            ("server_no_context_takeover", None) => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            ("client_no_context_takeover", None) => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            ("server_max_window_bits", Some(bits)) => {
                self.server_max_window_bits.replace(window_bits(bits)?).is_some()
            }
            ("client_max_window_bits", bits) => {
                let bits = bits.map(window_bits);
                // An invalid value is treated like an unknown parameter.
                if bits == Some(None) {
                    return None;
                }
                self.client_max_window_bits.replace(bits.flatten()).is_some()
            }
            _ => return None,
        };
        (!taken).then_some(self)
    }
}

/// Parses 8 to 15, without leading zeros.
fn window_bits(digits: &str) -> Option<u8> {
    match digits {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// Returns a client's offers of the extension. Offers with parameters that a server cannot accept are left out
/// (§7.1).
pub(crate) fn parse_offers(headers: &HeaderMap) -> Result<Vec<DeflateParams>, HandshakeError> {
    let mut offers = Vec::new();
    parse_deflate_params(headers, |_| true, &mut offers)?;
    Ok(offers.into_iter().flatten().collect())
}

fn parse_deflate_params(
    headers: &HeaderMap,
    mut is_allowed: impl FnMut(&str) -> bool,
    params: &mut Vec<Option<DeflateParams>>,
) -> Result<(), HandshakeError> {
    let mut well_formed = true;
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut inside = false;
        well_formed &= parse_extension_list(value.as_bytes(), |part| match part {
            ExtensionListItem::Extension(name) => {
                well_formed &= is_allowed(name);
                inside = name == EXTENSION_NAME && params.len() < MAX_OFFERS;
                if inside {
                    params.push(Some(DeflateParams::default()));
                }
            }
            ExtensionListItem::Parameter(name, value) if inside => {
                if let Some(offer) = params.last_mut() {
                    *offer = offer.and_then(|offer| offer.with_param(name, value));
                }
            }
            ExtensionListItem::Parameter(..) => {}
        });
    }
    if well_formed { Ok(()) } else { Err(HandshakeError::InvalidExtensions) }
}
