//! Sections 4, 9 and 11.3: the opening handshake of a server. Each request differs in one part from the example of
//! §1.3.

use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use tidewire_ws_proto::{
    DeflateOptions, HandshakeError as Error, VerifiedRequest, accept_key, verify_upgrade_request,
};

use crate::support::offer;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Returns the headers of the request of §1.3, with these values (none or several) for one header.
fn request(name: &str, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let example = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("origin", "http://example.com"),
    ];
    let kept = example.into_iter().filter(|(other, _)| *other != name);
    for (name, value) in kept.chain(values.iter().map(|value| (name, *value))) {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    headers
}

fn verdict(headers: &HeaderMap) -> Result<VerifiedRequest, Error> {
    verify_upgrade_request(&Method::GET, &Uri::from_static("/chat"), Version::HTTP_11, headers)
}

/// Asserts that the request is accepted with each of these values for one header.
#[track_caller]
fn accepts(name: &str, cases: &[&[&str]]) {
    for values in cases {
        assert_eq!(verdict(&request(name, values)).err(), None, "{name}: {values:?}");
    }
}

/// Asserts that the request is rejected with each of these values for one header. The error has this status, and the
/// response closes the connection (§7.2.2).
#[track_caller]
fn refuses(name: &str, error: Error, status: u16, cases: &[&[&str]]) {
    for values in cases {
        assert_eq!(verdict(&request(name, values)).err(), Some(error), "{name}: {values:?}");
    }
    assert_eq!(error.response().status(), status);
    let connection = error.response().headers()["connection"].to_str().expect("text").to_owned();
    assert!(connection.split(", ").any(|option| option == "close"), "{connection}");
}

#[test]
fn section_4_2_1_must_1_item_1_a_get_request_of_http_1_1_for_a_resource() {
    let headers = request("", &[]);
    for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT, Method::PUT] {
        let refused = verify_upgrade_request(&method, &Uri::from_static("/chat"), Version::HTTP_11, &headers);
        assert_eq!(refused, Err(Error::MethodNotGet), "{method}");
    }
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let refused = verify_upgrade_request(&Method::GET, &Uri::from_static("/chat"), version, &headers);
        assert_eq!(refused, Err(Error::HttpVersion), "{version:?}");
    }
    for target in ["/", "/chat?room=1", "http://server.example.com/chat", "HTTPS://server.example.com"] {
        let target: Uri = target.parse().expect("a request target");
        let accepted = verify_upgrade_request(&Method::GET, &target, Version::HTTP_11, &headers);
        assert_eq!(accepted.err(), None, "{target}");
    }
    for target in
        ["ws://server.example.com/chat", "ftp://server.example.com/chat", "server.example.com:80", "*"]
    {
        let target: Uri = target.parse().expect("a request target");
        let refused = verify_upgrade_request(&Method::GET, &target, Version::HTTP_11, &headers);
        assert_eq!(refused, Err(Error::InvalidTarget), "{target}");
    }
    assert_eq!(Error::MethodNotGet.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(Error::MethodNotGet.response().headers()["allow"], "GET"); // RFC 9110 §15.5.6
    assert_eq!([Error::HttpVersion, Error::InvalidTarget].map(|error| error.status().as_u16()), [400, 400]);
}

#[test]
fn section_4_2_1_must_1_item_2_a_host() {
    let host = "a.example";
    accepts("host", &[&["localhost:3000"], &["my_server.example:"], &["192.0.2.1:80"], &["%C3%A4.example"]]);
    accepts("host", &[&["[2001:db8::7]"], &["[::1]:8080"]]);
    refuses("host", Error::HostMissing, 400, &[&[], &[""], &[" "]]);
    refuses("host", Error::HostRepeated, 400, &[&[host, host]]);
    // RFC 9112 §3.2: "an invalid field value".
    refuses("host", Error::InvalidHost, 400, &[&["a.example/"], &["http://a.example"], &["me@a.example"]]);
    refuses("host", Error::InvalidHost, 400, &[&["a.example b.example"], &["ä.example"], &["a[::1]"]]);
    refuses("host", Error::InvalidHost, 400, &[&["a.example:http"], &["a.example:80:80"], &[":80"]]);
    refuses("host", Error::InvalidHost, 400, &[&["::1"], &["[::1"], &["[]"], &["[::1]80"]]);
}

#[test]
fn section_4_2_1_must_1_item_3_an_upgrade_to_websocket() {
    accepts("upgrade", &[&["WebSocket"], &["h2c,\tWEBSOCKET "], &["h2c", "websocket"]]);
    let others: &[&[&str]] = &[&[], &[""], &["h2c"], &["websockets"], &["websocket/13"], &["web socket"]];
    refuses("upgrade", Error::UpgradeMissing, 426, others);
    assert_eq!(Error::UpgradeMissing.response().headers()["upgrade"], "websocket"); // RFC 9110 §15.5.22
}

#[test]
fn section_4_2_1_must_1_item_4_a_connection_that_lists_the_upgrade() {
    accepts("connection", &[&["upgrade"], &["keep-alive, Upgrade"], &["keep-alive", "UPGRADE"]]);
    let others: &[&[&str]] = &[&[], &["keep-alive"], &["not-upgrade"], &["keep-alive upgrade"]];
    refuses("connection", Error::ConnectionWithoutUpgrade, 400, others);
}

#[test]
fn section_4_2_1_must_1_item_5_a_key_of_sixteen_bytes() {
    let name = "sec-websocket-key";
    accepts(name, &[&["AAAAAAAAAAAAAAAAAAAAAA=="], &[" AAAAAAAAAAAAAAAAAAAAAA==\t"]]);
    accepts(name, &[&["AQIDBAUGBwgJCgsMDQ4PEC=="]]); // the example of §4.1, 7
    refuses(name, Error::KeyMissing, 400, &[&[]]);
    refuses(name, Error::InvalidKey, 400, &[&[""], &["c2hvcnQ="], &["dGhlIHNhbXBsZSBub25jZQ"]]);
    refuses(name, Error::InvalidKey, 400, &[&["BwcHBwcHBwcHBwcHBwcH"], &["BwcHBwcHBwcHBwcHBwcHBwc="]]); // 15 and 17
    refuses(name, Error::InvalidKey, 400, &[&["dGhlIHNhbXBsZSBub25-_Q=="], &["dGhlIHNhbXBsZSBub25jZQ==,"]]);
}

#[test]
fn section_4_2_1_must_1_item_6_version_13() {
    let name = "sec-websocket-version";
    refuses(name, Error::UnsupportedVersion, 426, &[&[], &[""], &["8"], &["013"], &["13, 8"], &["256"]]);
}

#[test]
fn section_4_2_1_must_1_items_7_to_10_what_is_optional_may_be_missing_and_what_is_unknown_is_ignored() {
    accepts("origin", &[&[], &["null"], &["https://another.example"]]);
    accepts("sec-websocket-protocol", &[&[]]);
    accepts("sec-websocket-extensions", &[&[], &["x-unknown; a=1"]]);
    accepts("cookie", &[&["a=1"]]);
    accepts("sec-websocket-something", &[&["\"(anything"]]);
}

#[test]
fn section_4_1_must_30_31_subprotocols_are_tokens_and_unique() {
    let name = "sec-websocket-protocol";
    accepts(name, &[&["chat"], &["chat, superchat", "v10.stomp"], &["chat, CHAT"]]);
    refuses(name, Error::InvalidProtocol, 400, &[&[","], &["chat,"], &["chat,,superchat"]]);
    refuses(name, Error::InvalidProtocol, 400, &[&["super chat"], &["chat;v=1"], &["\"chat\""]]);
    refuses(name, Error::ProtocolRepeated, 400, &[&["chat, chat"], &["chat", "chat"]]);
}

#[test]
fn section_8_1_must_1_a_value_that_is_no_text_fails_the_handshake() {
    for (name, error) in [
        ("host", Error::InvalidHost),
        ("upgrade", Error::UpgradeMissing),
        ("connection", Error::ConnectionWithoutUpgrade),
        ("sec-websocket-key", Error::InvalidKey),
        ("sec-websocket-version", Error::UnsupportedVersion),
        ("sec-websocket-protocol", Error::InvalidProtocol),
        ("sec-websocket-extensions", Error::InvalidExtensions),
    ] {
        let mut headers = request(name, &[]);
        let name: HeaderName = name.parse().expect("a header name");
        headers.insert(name.clone(), HeaderValue::from_bytes(b"\xff\xfe").expect("obs-text"));
        assert_eq!(verdict(&headers), Err(error), "{name}");
    }
}

#[test]
fn section_4_2_2_must_1_10_the_example_is_answered_as_in_the_rfc() {
    assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // §1.3
    let response = verdict(&request("", &[])).expect("a handshake").response(None, None);
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let sent: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let expected = [
        ("upgrade", &HeaderValue::from_static("websocket")),
        ("connection", &HeaderValue::from_static("Upgrade")),
        ("sec-websocket-accept", &HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
    ];
    assert_eq!(sent, expected);
}

#[test]
fn section_4_2_2_must_4_section_4_4_must_1_another_version_is_told_which_one_is_spoken() {
    for version in ["0", "7", "8", "12", "14", "255"] {
        let error = verdict(&request("sec-websocket-version", &[version])).expect_err("another version");
        let response = error.response();
        assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
        let spoken: Vec<_> = response.headers().get_all(SEC_WEBSOCKET_VERSION).iter().collect();
        assert_eq!(spoken, ["13"]);
    }
}

#[test]
fn section_4_2_2_must_6_7_a_subprotocol_is_answered_only_if_it_was_offered() {
    let offers = verdict(&request("sec-websocket-protocol", &["b, a", "c"])).expect("a handshake");
    assert_eq!(offers.protocols(), ["b", "a", "c"]); // "ordered by preference"
    let none = verdict(&request("", &[])).expect("a handshake");
    let selected = |accepted: &VerifiedRequest, protocol| {
        accepted.response(protocol, None).headers().get(SEC_WEBSOCKET_PROTOCOL).cloned()
    };
    assert_eq!(selected(&offers, Some("a")), Some(HeaderValue::from_static("a")));
    for protocol in [None, Some("never-offered"), Some("A"), Some(""), Some("x\r\nevil: 1")] {
        assert_eq!(selected(&offers, protocol), None, "{protocol:?}");
    }
    assert_eq!(selected(&none, Some("a")), None);
}

#[test]
fn section_4_2_2_must_8_9_section_5_8_must_1_section_9_must_1_only_what_was_offered_and_is_wanted_is_agreed_to()
 {
    let wanted = DeflateOptions::default();
    for (offer, is_known) in [
        ("permessage-deflate; client_max_window_bits", true),
        ("foo, permessage-deflate, bar", true),
        ("foo, bar; baz=2", false),
        ("x-webkit-deflate-frame", false),
    ] {
        let accepted = verdict(&request("sec-websocket-extensions", &[offer])).expect("a handshake");
        assert_eq!(accepted.response(None, None).headers().get(SEC_WEBSOCKET_EXTENSIONS), None);
        let agreement = accepted.deflate(&wanted);
        assert_eq!(agreement.is_some(), is_known, "{offer}");
        let response = accepted.response(None, agreement.as_ref());
        assert_eq!(response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS), is_known, "{offer}");
    }
}

#[test]
fn section_9_must_2_section_9_1_must_3_4_extensions_are_named_as_registered_with_the_parameters_of_theirs() {
    let parameters = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    ];
    for takeover in [false, true] {
        for bits in [9, 15] {
            let options = DeflateOptions {
                own_context_takeover: takeover,
                peer_context_takeover: takeover,
                own_max_window_bits: bits,
                peer_max_window_bits: bits,
                ..DeflateOptions::default()
            };
            let (_, asked) = offer(&options);
            let offer = asked.headers()[SEC_WEBSOCKET_EXTENSIONS].to_str().expect("text");
            let accepted = verdict(&request("sec-websocket-extensions", &[offer])).expect("a handshake");
            let agreement = accepted.deflate(&options).expect("an agreement");
            let response = accepted.response(None, Some(&agreement));
            let response = response.headers()[SEC_WEBSOCKET_EXTENSIONS].to_str().expect("text");
            for (value, is_response) in [(offer, false), (response, true)] {
                let mut parts = value.split("; ");
                assert_eq!(parts.next(), Some("permessage-deflate"), "{value}");
                for part in parts {
                    let (name, bits) =
                        part.split_once('=').map_or((part, None), |(name, bits)| (name, Some(bits)));
                    assert!(parameters.contains(&name), "{value}");
                    // RFC 7692 §7.1: window parameters have a number, except that a client may leave its own window
                    // to the server.
                    let is_window = name.ends_with("_bits");
                    let may_be_bare = !is_window || (!is_response && name == "client_max_window_bits");
                    assert!(bits.is_some() == is_window || may_be_bare && bits.is_none(), "{value}");
                }
            }
        }
    }
}

#[test]
fn section_4_3_must_1_section_9_1_must_1_2_a_malformed_offer_of_extensions_fails_the_handshake() {
    let name = "sec-websocket-extensions";
    accepts(name, &[&["foo, bar; baz=2", "\tmux ; max-channels = 4;flow-control ,x"]]);
    accepts(name, &[&[r#"foo; bar="baz"; qux="\b\a\z""#], &[",, foo, ,"]]);
    let malformed = |cases| refuses(name, Error::InvalidExtensions, 400, cases);
    malformed(&[&["", ";"], &["foo", ";"], &["foo bar"], &["foo;"], &["foo=1"], &[r#""foo""#]]);
    malformed(&[&["foo; =1"], &["foo; bar="], &["foo; bar=1 2"], &["foo; bär"]]);
    malformed(&[
        &[r#"foo; bar="""#],
        &[r#"foo; bar="b z""#],
        &[r#"foo; bar="b\ z""#],
        &[r#"foo; bar="b\"z""#],
    ]);
    malformed(&[&[r#"foo; bar="baz"#], &[r#"foo; bar="baz\"#], &[r#"foo; bar="baz"qux"#]]);
}

/// RFC 9110 §5.6.1.2: elements of a list may be empty. Some proxies blank the header.
#[test]
fn a_blank_header_of_extensions_offers_nothing() {
    for blank in [&[""][..], &[" "], &[" , "], &[",\t,"], &["", ""]] {
        let accepted = verdict(&request("sec-websocket-extensions", blank)).expect("a handshake");
        assert_eq!(accepted.deflate(&DeflateOptions::default()), None, "{blank:?}");
    }
    let offers = request("sec-websocket-extensions", &["", ",permessage-deflate,,"]);
    assert!(verdict(&offers).expect("a handshake").deflate(&DeflateOptions::default()).is_some());
}

/// The header cannot be blank (§4.1, 10), but some proxies blank a header instead of removing it.
#[test]
fn a_blank_header_of_subprotocols_offers_nothing() {
    for (values, offered) in [
        (&[""][..], &[][..]),
        (&[" \t"], &[]),
        (&["", ""], &[]),
        (&["chat", "", "superchat"], &["chat", "superchat"]),
    ] {
        let accepted = verdict(&request("sec-websocket-protocol", values)).expect("a handshake");
        assert_eq!(accepted.protocols(), offered, "{values:?}");
    }
}

#[test]
fn section_11_3_1_must_1_a_key_occurs_once() {
    refuses("sec-websocket-key", Error::KeyRepeated, 400, &[&[KEY, KEY]]);
}

#[test]
fn section_11_3_5_must_1_a_version_occurs_once() {
    refuses("sec-websocket-version", Error::VersionRepeated, 400, &[&["13", "13"], &["13", "8"]]);
}

#[test]
fn section_11_3_2_must_1_section_11_3_3_must_1_section_11_3_4_must_1_no_header_of_the_answer_is_repeated() {
    let mut headers = request("sec-websocket-protocol", &["a, b", "c"]);
    headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("foo"));
    headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("bar"));
    let response = verdict(&headers).expect("a handshake").response(Some("c"), None);
    assert_eq!(response.headers().len(), response.headers().keys_len(), "{:?}", response.headers());
    assert_eq!(response.headers().len(), 4);
}
