//! How a server responds to offers of compression (RFC 7692 §7.1).

use ws_proto::{DeflateOptions, VerifiedRequest};

use crate::fields::Fields;
use crate::grammar::{self, Extension};

/// The number of offers that a server checks.
const MAX_OFFERS: usize = 16;

/// Checks the response to the first offer that a server can accept. If there is no such offer, there must be no
/// agreement.
pub(super) fn check(fields: &Fields, accepted: &VerifiedRequest) {
    let offers = fields.values("sec-websocket-extensions").filter_map(grammar::extensions).flatten();
    let offers = offers.filter(|(name, _)| name == "permessage-deflate").take(MAX_OFFERS);
    let offer = offers.filter_map(|offer| Parameters::new(&offer)).find(|offer| offer.server_bits != Some(8));
    for takeover in [false, true] {
        for bits in [9, 12, 15] {
            let options = DeflateOptions {
                own_context_takeover: takeover,
                peer_context_takeover: takeover,
                own_max_window_bits: bits,
                peer_max_window_bits: bits,
                ..DeflateOptions::default()
            };
            check_options(offer.as_ref(), accepted, &options);
        }
    }
}

fn check_options(offer: Option<&Parameters>, accepted: &VerifiedRequest, options: &DeflateOptions) {
    let agreement = accepted.deflate(options);
    assert_eq!(agreement.is_some(), offer.is_some(), "{offer:?}");
    let (Some(agreement), Some(offer)) = (agreement, offer) else { return };
    let response = accepted.response(None, Some(&agreement));
    let answer = grammar::extensions(response.headers()["sec-websocket-extensions"].as_bytes());
    let Some([answer]) = answer.as_deref() else { panic!("{response:?}") };
    assert_eq!(answer.0, "permessage-deflate");
    let answer = Parameters::new(answer).expect("each parameter occurs once, and its value is valid");

    // §7.1.1.1 and §7.1.2.1: the server grants what the client requested.
    assert!(answer.server_no_takeover || !offer.server_no_takeover);
    assert!(answer.server_bits.unwrap_or(15) <= offer.server_bits.unwrap_or(15));
    // §7.1.2.2: the response limits the client's window only if the offer allows this, and never to a larger window
    // than the offer.
    let told = answer.client_bits.map(|bits| bits.expect("the parameter has a number in a response"));
    if let Some(told) = told {
        assert!(offer.client_bits.is_some_and(|most| told <= most.unwrap_or(15)));
    }
    // The agreement is the same as the response.
    assert_eq!(agreement.own_context_takeover(), !answer.server_no_takeover);
    assert_eq!(agreement.peer_context_takeover(), !answer.client_no_takeover);
    assert_eq!(agreement.own_window_bits(), answer.server_bits.unwrap_or(15));
    assert!(agreement.own_window_bits() <= options.own_max_window_bits);
    assert!(options.own_context_takeover || answer.server_no_takeover);
    assert!(options.peer_context_takeover || answer.client_no_takeover);
    // The client keeps the limit of the response, or else the limit of its own offer, or else it uses any window.
    let expected = told.or(offer.client_bits.flatten()).unwrap_or(15);
    assert_eq!(agreement.peer_window_bits(), expected, "{offer:?} with the response {answer:?}");
}

/// The parameters of an offer or of a response.
#[derive(Debug, Default)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Returns `None` if a parameter is unknown, occurs twice, or has an invalid value.
    fn new((_, list): &Extension) -> Option<Self> {
        let mut parameters = Self::default();
        for (index, (name, value)) in list.iter().enumerate() {
            if list[..index].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            let number = |digits: &str| (8..=15).find(|bits: &u8| bits.to_string() == digits);
            let bits = || value.as_deref().and_then(number);
            match name.as_str() {
                "server_no_context_takeover" if value.is_none() => parameters.server_no_takeover = true,
                "client_no_context_takeover" if value.is_none() => parameters.client_no_takeover = true,
                "server_max_window_bits" => parameters.server_bits = Some(bits()?),
                "client_max_window_bits" if value.is_none() => parameters.client_bits = Some(None),
                "client_max_window_bits" => parameters.client_bits = Some(Some(bits()?)),
                _ => return None,
            }
        }
        Some(parameters)
    }
}
