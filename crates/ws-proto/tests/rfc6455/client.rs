//! Sections 3 and 4.1: the opening handshake of a client. Each response differs in one part from the example of §1.3.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tidewire_ws_proto::{
    ClientHandshake, ClientHandshakeError, DeflateOptions, HandshakeResponseError as Error, Negotiated,
    UriError, WebSocketUri, verify_upgrade_request,
};

/// The base64 of this nonce is the key of §1.3.
const NONCE: [u8; 16] = *b"the sample nonce";

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    headers
}

/// Returns the response of §1.3 without its subprotocol, with these values (none or several) for one header.
fn response_with(name: &str, values: &[&str]) -> HeaderMap {
    let example = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", ACCEPT)];
    let kept = example.into_iter().filter(|(other, _)| *other != name);
    headers(&kept.chain(values.iter().map(|value| (name, *value))).collect::<Vec<_>>())
}

fn offer(protocols: &[&str]) -> Result<ClientHandshake, ClientHandshakeError> {
    protocols.iter().try_fold(ClientHandshake::new(NONCE), |offer, protocol| offer.protocol(protocol))
}

fn verdict(headers: &HeaderMap) -> Result<Negotiated, Error> {
    let offer = offer(&["chat", "superchat"]).expect("tokens");
    offer.verify_response(StatusCode::SWITCHING_PROTOCOLS, headers)
}

/// Asserts that the response is accepted with each of these values for one header.
#[track_caller]
fn accepts(name: &str, cases: &[&[&str]]) {
    for values in cases {
        assert_eq!(verdict(&response_with(name, values)).err(), None, "{name}: {values:?}");
    }
}

/// Asserts that the response is rejected with each of these values for one header.
#[track_caller]
fn refuses(name: &str, error: &Error, cases: &[&[&str]]) {
    for values in cases {
        assert_eq!(verdict(&response_with(name, values)).as_ref(), Err(error), "{name}: {values:?}");
    }
}

fn uri(uri: &str) -> WebSocketUri {
    WebSocketUri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

#[test]
fn section_3_must_1_2_a_uri_has_no_fragment_and_may_have_an_escaped_one() {
    for fragment in ["ws://a/#", "ws://a/b#c", "ws://a#", "wss://a/?b#c"] {
        assert_eq!(WebSocketUri::parse(fragment), Err(UriError::Fragment), "{fragment}");
    }
    assert_eq!(uri("ws://a/b%23c?d%23").resource_name(), "/b%23c?d%23");
}

#[test]
fn section_4_1_must_2_3_what_is_no_websocket_uri_is_told_what_is_wrong_with_it() {
    for (uri, error) in [
        ("", UriError::SchemeMissing),
        ("localhost:9001", UriError::SchemeMissing),
        ("/chat", UriError::SchemeMissing),
        ("ftp://a/", UriError::UnknownScheme("ftp".to_owned())),
        ("ws://:80/", UriError::HostMissing),
        ("ws://[]/", UriError::HostMissing),
        ("ws://a:65536/", UriError::InvalidPort),
        ("ws://a:-1/", UriError::InvalidPort),
        ("ws://a:+1/", UriError::InvalidPort),
        ("ws://a:x/", UriError::InvalidPort),
        ("ws://user:secret@a/", UriError::Credentials),
        ("ws://user@a/", UriError::Credentials),
        ("ws://ä.example/", UriError::NotAscii),
        ("ws://a/ä", UriError::NotAscii),
    ] {
        assert_eq!(WebSocketUri::parse(uri), Err(error), "{uri}");
    }
    for uri in ["ws://", "ws:///chat", "ws://a b/", "ws://a/b c", "ws://a\r\n/", "://a/", "ws://a:80:80/"] {
        assert!(WebSocketUri::parse(uri).is_err(), "{uri:?}");
    }
}

#[test]
fn section_4_1_must_15_16_17_20_21_22_23_24_25_28_29_the_request_is_that_of_the_rfc() {
    let offer = offer(&["chat", "superchat"]).expect("tokens");
    let origin = headers(&[("origin", "http://example.com")]);
    let request = offer.request(&uri("ws://server.example.com/chat"), &origin).expect("a request");
    assert_eq!((request.method(), request.version()), (&Method::GET, Version::HTTP_11));
    let sent = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let expected = [
        ("host", "server.example.com"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, superchat"),
        ("origin", "http://example.com"),
    ];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
    let accepted =
        verify_upgrade_request(request.method(), request.uri(), request.version(), request.headers());
    assert_eq!(accepted.expect("a handshake").protocols(), ["chat", "superchat"]);
}

#[test]
fn section_4_1_must_18_19_the_request_names_the_resource_and_the_host_and_no_default_port() {
    for (text, host, resource) in [
        ("ws://example.com", "example.com", "/"),
        ("wss://example.com", "example.com", "/"),
        ("WSS://Example.com/Chat", "Example.com", "/Chat"),
        ("ws://a:80/", "a", "/"),
        ("wss://a:443/b", "a", "/b"),
        ("ws://a:443/", "a:443", "/"),
        ("wss://a:80/", "a:80", "/"),
        ("ws://a:/", "a", "/"),
        ("ws://a:080/", "a", "/"),
        ("ws://a?x=1", "a", "/?x=1"),
        ("ws://a:8080/b/c?x=%20&y=/", "a:8080", "/b/c?x=%20&y=/"),
        ("ws://192.0.2.1:81/", "192.0.2.1:81", "/"),
        ("wss://[2001:db8::7]/", "[2001:db8::7]", "/"),
        ("ws://[::1]:9001", "[::1]:9001", "/"),
    ] {
        let request = ClientHandshake::new(NONCE).request(&uri(text), &HeaderMap::new()).expect("a request");
        assert_eq!(request.headers()["host"], host, "{text}");
        assert_eq!(*request.uri(), resource, "{text}");
    }
}

#[test]
fn section_4_1_must_30_31_only_different_tokens_are_offered() {
    assert!(offer(&["chat", "chat.v2", "CHAT"]).is_ok()); // tokens are case-sensitive
    assert_eq!(offer(&["a", "chat", "chat"]), Err(ClientHandshakeError::ProtocolRepeated("chat".to_owned())));
    for protocol in ["", "super chat", "a,b", "chat;v=1", "ch\u{e4}t", "chat\r\nevil: 1"] {
        assert_eq!(offer(&[protocol]), Err(ClientHandshakeError::InvalidProtocol(protocol.to_owned())));
    }
}

#[test]
fn section_4_1_must_33_39_another_status_than_101_opens_nothing_whatever_the_headers_say() {
    for status in [StatusCode::OK, StatusCode::FOUND, StatusCode::UNAUTHORIZED, StatusCode::UPGRADE_REQUIRED]
    {
        let verdict = ClientHandshake::new(NONCE).verify_response(status, &response_with("", &[]));
        assert_eq!(verdict, Err(Error::Status(status)));
    }
    accepts("set-cookie", &[&["a=1", "b=2"]]);
}

#[test]
fn section_4_1_must_34_upgrade_is_websocket() {
    accepts("upgrade", &[&["websocket"], &["WebSocket"], &[" websocket\t"]]);
    let cases: &[&[&str]] =
        &[&[], &[""], &["websockets"], &["h2c"], &["h2c, websocket"], &["websocket", "websocket"]];
    refuses("upgrade", &Error::UpgradeMissing, cases);
}

#[test]
fn section_4_1_must_35_connection_has_the_token_upgrade() {
    accepts("connection", &[&["upgrade"], &["keep-alive, UPGRADE"], &["keep-alive", "Upgrade"]]);
    refuses("connection", &Error::ConnectionWithoutUpgrade, &[&[], &["close"], &["keep-alive upgrade"]]);
}

#[test]
fn section_4_1_must_36_accept_is_made_of_our_key() {
    let name = "sec-websocket-accept";
    accepts(name, &[&[ACCEPT], &[" s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\t"]]);
    refuses(name, &Error::AcceptMissing, &[&[]]);
    let cases: &[&[&str]] = &[
        &[""],
        &["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        &["s3pPLMBiTxaQ9kYGzzhZRbK+xOo"],
        &["dGhlIHNhbXBsZSBub25jZQ=="],
        &[ACCEPT, ACCEPT],
    ];
    refuses(name, &Error::InvalidAccept, cases);
    let other = ClientHandshake::new([7; 16])
        .verify_response(StatusCode::SWITCHING_PROTOCOLS, &response_with("", &[]));
    assert_eq!(other, Err(Error::InvalidAccept));
}

#[test]
fn section_4_1_must_37_section_9_1_must_5_an_extension_that_was_not_offered_fails_the_connection() {
    let cases: &[&[&str]] = &[&["permessage-deflate"], &["foo", "bar"], &["", ";"]];
    refuses("sec-websocket-extensions", &Error::ExtensionNotOffered, cases);
    let offer = ClientHandshake::new(NONCE).deflate(DeflateOptions::default());
    let verdict = |value| {
        let response = response_with("sec-websocket-extensions", &[value]);
        offer
            .verify_response(StatusCode::SWITCHING_PROTOCOLS, &response)
            .map(|agreed| agreed.deflate().is_some())
    };
    assert_eq!(verdict("permessage-deflate; server_no_context_takeover"), Ok(true));
    for other in ["foo", "permessage-deflate, foo", "permessage-deflate; bar", "permessage-deflate;"] {
        assert_eq!(verdict(other), Err(Error::ExtensionNotOffered), "{other}");
    }
    let none = offer.verify_response(StatusCode::SWITCHING_PROTOCOLS, &response_with("", &[]));
    assert_eq!(none.expect("none need be accepted").deflate(), None);
    // A proxy may have blanked the header.
    for blank in ["", " , ,"] {
        assert_eq!(verdict(blank), Ok(false));
        let response = response_with("sec-websocket-extensions", &[blank]);
        let without_offer =
            ClientHandshake::new(NONCE).verify_response(StatusCode::SWITCHING_PROTOCOLS, &response);
        assert!(without_offer.is_ok(), "{blank:?}: {without_offer:?}");
    }
}

#[test]
fn extensions_are_offered_in_the_request() {
    let request =
        |offer: ClientHandshake| offer.request(&uri("ws://a/"), &HeaderMap::new()).expect("a request");
    let offered = request(ClientHandshake::new(NONCE).deflate(DeflateOptions::default()));
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    client_max_window_bits";
    assert_eq!(offered.headers()["sec-websocket-extensions"], expected);
    assert_eq!(request(ClientHandshake::new(NONCE)).headers().get("sec-websocket-extensions"), None);
}

#[test]
fn section_4_1_must_38_a_subprotocol_that_was_not_offered_fails_the_connection() {
    let name = "sec-websocket-protocol";
    for (value, selected) in [("chat", "chat"), ("\tsuperchat ", "superchat")] {
        let agreed = verdict(&response_with(name, &[value])).expect("it was offered");
        assert_eq!(agreed.protocol(), Some(selected));
    }
    assert_eq!(verdict(&response_with(name, &[])).expect("none need be selected").protocol(), None);
    for value in ["Chat", "", "chat, superchat", "ch\u{e4}t"] {
        refuses(name, &Error::ProtocolNotOffered(value.to_owned()), &[&[value]]);
    }
    refuses(name, &Error::ProtocolRepeated, &[&["chat", "chat"], &["chat", "superchat"]]);
    let unasked = ClientHandshake::new(NONCE)
        .verify_response(StatusCode::SWITCHING_PROTOCOLS, &response_with(name, &["chat"]));
    assert_eq!(unasked, Err(Error::ProtocolNotOffered("chat".to_owned())));
}
