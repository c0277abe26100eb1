//! The opening handshake on the client's side: any URI, and any response.

use http::{HeaderMap, StatusCode};
use ws_proto::{ClientHandshake, WebSocketUri, accept_key, verify_upgrade_request};

use crate::fields::{Fields, MAX_FIELDS};
use crate::{grammar, memory};

const PROTOCOLS: [&str; 2] = ["chat", "superchat"];
/// `[7; 16]` in base64, which is the `Sec-WebSocket-Key` of the offer.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBw==";

/// The input is a URI, a line feed, and the head of a response.
pub fn client_handshake(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let offer = PROTOCOLS
        .into_iter()
        .try_fold(ClientHandshake::new([7; 16]), ClientHandshake::protocol)
        .expect("two tokens");
    check_uri(&offer, &String::from_utf8_lossy(&data[..end]));
    // Completes a head that was cut off, so that nearly every input reaches the handshake.
    let answer = [data.get(end + 1..).unwrap_or_default(), b"\r\n\r\n"].concat();
    check_answer(&offer, &answer);
}

/// If a URI can be opened, our server must accept the request, and its response must lead to an agreement.
fn check_uri(offer: &ClientHandshake, text: &str) {
    let Ok(uri) = WebSocketUri::parse(text) else { return };
    let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    assert_eq!(uri.is_secure(), matches!(scheme.as_str(), "wss" | "https"));
    let authority =
        text.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = uri.host_header();
    assert!(grammar::is_host(authority.as_bytes()) && grammar::is_host(host.as_bytes()), "{uri:?}");

    let scheme = if uri.is_secure() { "wss" } else { "ws" };
    let written = format!("{scheme}://{}{}", host.to_str().unwrap_or_default(), uri.resource_name());
    assert_eq!(WebSocketUri::parse(&written).as_ref(), Ok(&uri), "{text:?} as {written:?}");

    let request = offer.request(&uri, &HeaderMap::new()).expect("nothing was added");
    let accepted =
        verify_upgrade_request(request.method(), request.uri(), request.version(), request.headers());
    let accepted = accepted.unwrap_or_else(|error| panic!("{request:?}: {error}"));
    assert_eq!(accepted.protocols(), PROTOCOLS);
    for selected in [None, Some("chat"), Some("superchat")] {
        let response = accepted.response(selected, None);
        let agreed = offer
            .verify_response(response.status(), response.headers())
            .expect("our server's response is valid");
        assert_eq!(agreed.protocol(), selected);
    }
}

/// A response must be accepted exactly if a second reading of RFC 6455 §4.1 accepts it.
fn check_answer(offer: &ClientHandshake, answer: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(_)) = head.parse(answer) else { return };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), Some(fields)) = (status, Fields::new(head.headers)) else { return };
    let headers = fields.map(false);
    let mut verdict = None;
    let held = memory::peak(|| verdict = Some(offer.verify_response(status, &headers)));
    assert!(held <= 8 * answer.len(), "{held} bytes are held for {} received", answer.len());
    let Some(verdict) = verdict else { return };
    assert_eq!(offer.verify_response(status, &fields.map(true)), verdict, "headers reordered");

    let upgrade = fields.only("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"websocket"));
    let selected: Vec<&[u8]> = fields.values("sec-websocket-protocol").collect();
    let selected = match selected[..] {
        [] => Some(None),
        [selected] => PROTOCOLS.into_iter().find(|offered| offered.as_bytes() == selected).map(Some),
        _ => None,
    };
    let acceptable = status == 101
        && upgrade
        && fields.lists("connection", "upgrade")
        && fields.only("sec-websocket-accept") == Some(accept_key(KEY).as_bytes())
        && fields
            .values("sec-websocket-extensions")
            .all(|value| grammar::extensions(value).is_some_and(|extensions| extensions.is_empty()));
    let expected = selected.filter(|_| acceptable);
    assert_eq!(verdict.as_ref().ok().map(|agreed| agreed.protocol()), expected, "{fields:?}");
}
