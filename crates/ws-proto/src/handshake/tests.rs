//! A table of requests, each one step away from the one in RFC 6455 §1.3.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The request of §1.3.
const GOOD: &[(&str, &str)] = &[
    ("host", "server.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", KEY),
    ("sec-websocket-version", "13"),
];

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    headers
}

/// `GOOD` with these values, none or several, for one header.
fn good_with(name: &str, values: &[&str]) -> HeaderMap {
    let mut list: Vec<_> = GOOD.iter().copied().filter(|(other, _)| *other != name).collect();
    list.extend(values.iter().map(|value| (name, *value)));
    headers(&list)
}

fn verified(headers: &HeaderMap) -> Result<Accepted, HandshakeError> {
    verify(&Method::GET, &Uri::from_static("/chat"), Version::HTTP_11, headers)
}

fn verdict(headers: &HeaderMap) -> Result<(), HandshakeError> {
    verified(headers).map(|_| ())
}

#[test]
fn the_rfc_example_is_answered_as_in_the_rfc() {
    let accepted = verified(&headers(GOOD)).unwrap();
    assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // §1.3
    assert_eq!(accepted.accept_key(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(accepted.protocols().is_empty());

    let response = accepted.response(None);
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let sent: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(
        sent,
        [
            ("upgrade", &HeaderValue::from_static("websocket")),
            ("connection", &HeaderValue::from_static("Upgrade")),
            ("sec-websocket-accept", &HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ]
    );
}

#[test]
fn every_header_is_held_against_section_4_2_1() {
    use HandshakeError as Error;
    let long_key = STANDARD.encode([7; 32]);
    let short_key = STANDARD.encode([7; 15]);
    let cases: &[(&str, &[&str], Result<(), Error>)] = &[
        // 2. Host
        ("host", &["localhost:3000"], Ok(())),
        ("host", &["my_server.example:"], Ok(())), // the port may be empty
        ("host", &["192.0.2.1:80"], Ok(())),
        ("host", &["[2001:db8::7]"], Ok(())),
        ("host", &["[::1]:8080"], Ok(())),
        ("host", &["%C3%A4.example"], Ok(())),
        ("host", &[], Err(Error::HostMissing)),
        ("host", &[""], Err(Error::HostMissing)),
        ("host", &["a.example/path"], Err(Error::InvalidHost)),
        ("host", &["http://a.example"], Err(Error::InvalidHost)),
        ("host", &["user@a.example"], Err(Error::InvalidHost)),
        ("host", &["a.example b.example"], Err(Error::InvalidHost)),
        ("host", &["ä.example"], Err(Error::InvalidHost)),
        ("host", &["a.example:http"], Err(Error::InvalidHost)),
        ("host", &["a.example:80:80"], Err(Error::InvalidHost)),
        ("host", &["::1"], Err(Error::InvalidHost)),
        ("host", &["[::1"], Err(Error::InvalidHost)),
        ("host", &["[]"], Err(Error::InvalidHost)),
        ("host", &["[::1]80"], Err(Error::InvalidHost)),
        ("host", &["a[::1]"], Err(Error::InvalidHost)),
        ("host", &[":80"], Err(Error::InvalidHost)),
        ("host", &["a.example", "a.example"], Err(Error::HostRepeated)),
        // 3. Upgrade: a list of any length and case that contains the token
        ("upgrade", &["WebSocket"], Ok(())),
        ("upgrade", &["h2c,\tWEBSOCKET "], Ok(())),
        ("upgrade", &["h2c", "websocket"], Ok(())),
        ("upgrade", &[], Err(Error::UpgradeMissing)),
        ("upgrade", &[""], Err(Error::UpgradeMissing)),
        ("upgrade", &["websockets"], Err(Error::UpgradeMissing)),
        ("upgrade", &["websocket/13"], Err(Error::UpgradeMissing)),
        ("upgrade", &["web socket"], Err(Error::UpgradeMissing)),
        // 4. Connection likewise
        ("connection", &["upgrade"], Ok(())),
        ("connection", &["keep-alive, Upgrade"], Ok(())), // Firefox
        ("connection", &["keep-alive", "UPGRADE"], Ok(())),
        ("connection", &[], Err(Error::ConnectionWithoutUpgrade)),
        ("connection", &["keep-alive"], Err(Error::ConnectionWithoutUpgrade)),
        ("connection", &["not-upgrade"], Err(Error::ConnectionWithoutUpgrade)),
        ("connection", &["keep-alive upgrade"], Err(Error::ConnectionWithoutUpgrade)),
        // 5. Sec-WebSocket-Key: sixteen bytes
        ("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAAAA=="], Ok(())),
        ("sec-websocket-key", &[" AAAAAAAAAAAAAAAAAAAAAA==\t"], Ok(())),
        ("sec-websocket-key", &["AQIDBAUGBwgJCgsMDQ4PEC=="], Ok(())), // the example of §4.1, not canonical
        ("sec-websocket-key", &[], Err(Error::KeyMissing)),
        ("sec-websocket-key", &[KEY, KEY], Err(Error::KeyRepeated)),
        ("sec-websocket-key", &[""], Err(Error::InvalidKey)),
        ("sec-websocket-key", &["c2hvcnQ="], Err(Error::InvalidKey)),
        ("sec-websocket-key", &[&short_key], Err(Error::InvalidKey)),
        ("sec-websocket-key", &[&long_key], Err(Error::InvalidKey)),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], Err(Error::InvalidKey)), // without padding
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25-_Q=="], Err(Error::InvalidKey)), // the other alphabet
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==,"], Err(Error::InvalidKey)),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZé=="], Err(Error::InvalidKey)),
        // 6. Sec-WebSocket-Version
        ("sec-websocket-version", &[], Err(Error::UnsupportedVersion)),
        ("sec-websocket-version", &["8"], Err(Error::UnsupportedVersion)),
        ("sec-websocket-version", &["013"], Err(Error::UnsupportedVersion)),
        ("sec-websocket-version", &["13, 8"], Err(Error::UnsupportedVersion)),
        ("sec-websocket-version", &["13", "13"], Err(Error::VersionRepeated)),
        // 8. Sec-WebSocket-Protocol
        ("sec-websocket-protocol", &["chat"], Ok(())),
        ("sec-websocket-protocol", &["chat, superchat", "v10.stomp"], Ok(())),
        ("sec-websocket-protocol", &["chat, CHAT"], Ok(())), // tokens are case-sensitive
        ("sec-websocket-protocol", &[""], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["chat,"], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["chat,,superchat"], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["super chat"], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["chat;v=1"], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["chät"], Err(Error::InvalidProtocol)),
        ("sec-websocket-protocol", &["chat, chat"], Err(Error::ProtocolRepeated)),
        ("sec-websocket-protocol", &["chat", "chat"], Err(Error::ProtocolRepeated)),
        // 9. Sec-WebSocket-Extensions may be ignored, but not whatever is in it (§9.1)
        ("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"], Ok(())),
        (
            "sec-websocket-extensions",
            &["foo, bar; baz=2", "\tmux ; max-channels = 4;flow-control ,x"],
            Ok(()),
        ),
        ("sec-websocket-extensions", &[r#"foo; bar="baz"; qux="\b\a\z""#], Ok(())),
        ("sec-websocket-extensions", &[",, foo, ,"], Ok(())), // RFC 2616 §2.1
        ("sec-websocket-extensions", &[""], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[" , "], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo", ";"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo bar"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo;"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo; =1"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo; bar="], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo=1"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo; bar=1 2"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &["foo; b\u{e4}r"], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="""#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="b z""#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="b\ z""#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="b\"z""#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="baz"#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="baz\"#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#"foo; bar="baz"qux"#], Err(Error::InvalidExtensions)),
        ("sec-websocket-extensions", &[r#""foo""#], Err(Error::InvalidExtensions)),
        // A body
        ("content-length", &["0"], Ok(())),
        ("content-length", &["1"], Err(Error::Body)),
        ("content-length", &["0", "5"], Err(Error::Body)),
        ("content-length", &["+0"], Err(Error::Body)),
        ("transfer-encoding", &["chunked"], Err(Error::Body)),
        ("transfer-encoding", &["identity"], Err(Error::Body)),
    ];
    for (name, values, expected) in cases {
        assert_eq!(verdict(&good_with(name, values)), *expected, "{name}: {values:?}");
    }
}

#[test]
fn only_get_in_http_1_1_is_a_handshake() {
    let headers = headers(GOOD);
    for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT, Method::PUT] {
        let refused = verify(&method, &Uri::from_static("/chat"), Version::HTTP_11, &headers);
        assert_eq!(refused, Err(HandshakeError::MethodNotGet), "{method}");
    }
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let refused = verify(&Method::GET, &Uri::from_static("/chat"), version, &headers);
        assert_eq!(refused, Err(HandshakeError::HttpVersion), "{version:?}");
    }
}

#[test]
fn the_target_is_a_path_or_a_whole_uri() {
    for (target, expected) in [
        ("/", Ok(())),
        ("/chat?room=1", Ok(())),
        ("http://server.example.com/chat", Ok(())),
        ("HTTPS://server.example.com", Ok(())),
        ("ws://server.example.com/chat", Err(HandshakeError::InvalidTarget)),
        ("ftp://server.example.com/chat", Err(HandshakeError::InvalidTarget)),
        ("server.example.com:80", Err(HandshakeError::InvalidTarget)),
        ("*", Err(HandshakeError::InvalidTarget)),
    ] {
        let target: Uri = target.parse().expect("a request target");
        let verdict = verify(&Method::GET, &target, Version::HTTP_11, &headers(GOOD)).map(|_| ());
        assert_eq!(verdict, expected, "{target}");
    }
}

#[test]
fn offers_keep_their_order_over_several_headers_and_one_of_them_is_selected() {
    let headers = good_with("sec-websocket-protocol", &["b, a", "c"]);
    let accepted = verified(&headers).unwrap();
    assert_eq!(accepted.protocols(), ["b", "a", "c"]);
    let selected = |protocol| accepted.response(protocol).headers().get("sec-websocket-protocol").cloned();
    assert_eq!(selected(Some("a")), Some(HeaderValue::from_static("a")));
    assert_eq!(selected(None), None);
    assert_eq!(selected(Some("never-offered")), None); // §4.2.2, and §4.1: the client would have to fail
    assert_eq!(selected(Some("x\r\nevil: 1")), None);
}

#[test]
fn an_endless_offer_is_refused_before_it_costs_its_square() {
    let offer = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
    let verdict = |count| verdict(&good_with("sec-websocket-protocol", &[&offer(count)]));
    assert_eq!(verdict(MAX_OFFERED_PROTOCOLS), Ok(()));
    assert_eq!(verdict(MAX_OFFERED_PROTOCOLS + 1), Err(HandshakeError::TooManyProtocols));
}

#[test]
fn a_refusal_says_why_and_ends_the_connection() {
    let cases = [
        (HandshakeError::MethodNotGet, 405, Some(("allow", "GET"))),
        (HandshakeError::UnsupportedVersion, 426, Some(("sec-websocket-version", "13"))), // §4.2.2, §4.4
        (HandshakeError::UpgradeMissing, 426, Some(("upgrade", "websocket"))),            // RFC 9110 §15.5.22
        (HandshakeError::HttpVersion, 400, None),
        (HandshakeError::InvalidKey, 400, None),
    ];
    for (error, status, header) in cases {
        let response = error.response();
        assert_eq!(response.status(), status, "{error}");
        assert!(lists_token(response.headers(), &CONNECTION, "close"), "{error}");
        assert_eq!(response.headers()[CONTENT_LENGTH], response.body().len().to_string());
        assert_eq!(*response.body(), format!("{error}\n"));
        if let Some((name, value)) = header {
            assert_eq!(response.headers()[name], value, "{error}");
        }
    }
}

#[test]
fn a_request_that_asks_badly_still_asks() {
    assert!(is_upgrade_request(&headers(&[("upgrade", "foo, WebSocket")])));
    assert!(!is_upgrade_request(&headers(&[("connection", "upgrade")])));
    assert!(!is_upgrade_request(&headers(&[("upgrade", "h2c")])));
}
