//! What an end wants of permessage-deflate, and what it offers.

use std::fmt::Write;

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::agreement::DeflateAgreement;
use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS, NAME};
use crate::frame::Role;
use crate::handshake::{ExtensionListItem, HandshakeError, parse_extension_list};

/// Offers of one handshake that are looked at. Browsers make one.
const MAX_OFFERS: usize = 16;

/// How an end compresses, and what it lets its peer do.
///
/// "Own" is the direction in which this end sends. A number out of its range is taken for the nearest one within.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateOptions {
    /// zlib's level, 1 (fast) to 9 (small). Default: 1, which on short messages is hardly larger than 6 and takes half the
    /// time.
    pub level: u8,

    /// Messages of fewer bytes are sent as they are. Default: 1,024, as in Node's `ws`.
    pub threshold: usize,

    /// Whether what was sent before helps to compress what is sent next. Default: no.
    ///
    /// It makes small messages much smaller that resemble each other, and costs about 380 KiB for each connection. A
    /// message that goes to many connections must then be compressed for each of them.
    pub own_context_takeover: bool,

    /// Whether the peer may do the same. Default: no. It costs up to the peer's window for each connection.
    pub peer_context_takeover: bool,

    /// The largest own window, as a power of two, 9 to 15. Default: 15, which is 32 KiB. The peer may demand a smaller one.
    pub own_max_window_bits: u8,

    /// The largest window of the peer, 9 to 15, if it can be told. Default: 15.
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
    /// Within what zlib can do.
    fn clamped(self) -> Self {
        let bits = |bits: u8| bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        Self {
            level: self.level.clamp(1, 9),
            own_max_window_bits: bits(self.own_max_window_bits),
            peer_max_window_bits: bits(self.peer_max_window_bits),
            ..self
        }
    }

    /// The client's offer: the value of `Sec-WebSocket-Extensions` (§7.1).
    pub(crate) fn offer_header(&self) -> HeaderValue {
        let options = self.clamped();
        let mut offer = NAME.to_owned();
        if !options.peer_context_takeover {
            offer.push_str("; server_no_context_takeover");
        }
        if !options.own_context_takeover {
            offer.push_str("; client_no_context_takeover");
        }
        if options.peer_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(offer, "; server_max_window_bits={}", options.peer_max_window_bits);
        }
        // Always there: it says that we would obey.
        offer.push_str("; client_max_window_bits");
        if options.own_max_window_bits < MAX_WINDOW_BITS {
            let _ = write!(offer, "={}", options.own_max_window_bits);
        }
        HeaderValue::from_str(&offer).unwrap_or(HeaderValue::from_static(NAME))
    }

    /// Holds a server's answer against [`offer_header`](Self::offer_header): what was agreed, or `None` where the server declined.
    ///
    /// # Errors
    /// The server has accepted what was not offered, or in a way that it must not (§7.1, RFC 6455 §9.1): the connection is to
    /// be failed.
    pub(crate) fn accept_response(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<DeflateAgreement>, HandshakeError> {
        let answers = parse_responses(headers)?;
        let answer = match answers.as_slice() {
            [] => return Ok(None),
            [Some(answer)] => answer,
            _ => return Err(HandshakeError::InvalidExtensions),
        };
        let options = self.clamped();
        let server_bits = answer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        let client_bits = match answer.client_max_window_bits {
            None => options.own_max_window_bits,
            Some(Some(bits)) => bits.min(options.own_max_window_bits),
            // In an answer it has a value.
            Some(None) => return Err(HandshakeError::InvalidExtensions),
        };
        let broken = (!options.peer_context_takeover && !answer.server_no_context_takeover)
            || server_bits > options.peer_max_window_bits;
        if broken {
            return Err(HandshakeError::InvalidExtensions);
        }
        Ok(Some(DeflateAgreement {
            role: Role::Client,
            server_context_takeover: !answer.server_no_context_takeover,
            client_context_takeover: options.own_context_takeover && !answer.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            send_client_max_window_bits: false,
            level: options.level,
            threshold: options.threshold,
        }))
    }

    /// The server's choice among offers: the first one that can be kept (§5.1).
    pub(crate) fn negotiate(&self, offers: &[DeflateParams]) -> Option<DeflateAgreement> {
        let options = self.clamped();
        offers.iter().find_map(|offer| {
            let server_bits =
                offer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS).min(options.own_max_window_bits);
            // zlib cannot compress with a window of 8 bits, although it takes that number.
            if server_bits < MIN_WINDOW_BITS {
                return None;
            }
            // Only a client that has said so can be told (§7.1.2.2).
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

/// One offer of the extension, or an answer to one, with parameters as they may stand there (§7.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct DeflateParams {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Option<u8>>,
}

impl DeflateParams {
    /// `None`: unknown, twice, or with a value that it must not have.
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
                // A value that is none is as bad as an unknown parameter.
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

/// 8 to 15, without leading zeros.
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

/// A client's offers of the extension. One with parameters that a server cannot accept is left out (§7.1).
pub(crate) fn parse_offers(headers: &HeaderMap) -> Result<Vec<DeflateParams>, HandshakeError> {
    let mut offers = Vec::new();
    parse_deflate_params(headers, |_| true, &mut offers)?;
    Ok(offers.into_iter().flatten().collect())
}

/// What a server has accepted. Anything but this extension was not offered.
fn parse_responses(headers: &HeaderMap) -> Result<Vec<Option<DeflateParams>>, HandshakeError> {
    let mut answers = Vec::new();
    parse_deflate_params(headers, |other| other == NAME, &mut answers)?;
    Ok(answers)
}

fn parse_deflate_params(
    headers: &HeaderMap,
    mut may_be_there: impl FnMut(&str) -> bool,
    offers: &mut Vec<Option<DeflateParams>>,
) -> Result<(), HandshakeError> {
    let mut well_formed = true;
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut inside = false;
        well_formed &= parse_extension_list(value.as_bytes(), |part| match part {
            ExtensionListItem::Extension(name) => {
                well_formed &= may_be_there(name);
                inside = name == NAME && offers.len() < MAX_OFFERS;
                if inside {
                    offers.push(Some(DeflateParams::default()));
                }
            }
            ExtensionListItem::Parameter(name, value) if inside => {
                if let Some(offer) = offers.last_mut() {
                    *offer = offer.and_then(|offer| offer.with_param(name, value));
                }
            }
            ExtensionListItem::Parameter(..) => {}
        });
    }
    if well_formed { Ok(()) } else { Err(HandshakeError::InvalidExtensions) }
}
