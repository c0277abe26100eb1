//! RFC 8441, WebSocket over HTTP/2: the requirements on a server's handshake, by section. Tests that need a network
//! connection are in `rfc8441.rs` of the crate `ws`. Each request differs in one part from the example of §5.1.

use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tidewire_ws_proto::{
    AllowedOrigins, DeflateOptions, HandshakeError as Error, VerifiedRequest, is_connect_request,
    is_upgrade_request, verify_connect_request, verify_upgrade_request,
};

const TARGET: &str = "https://server.example.com/chat";

/// Returns the headers of the request of §5.1, with these values (none or several) for one header.
fn headers(name: &str, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let example = [
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-version", "13"),
        ("origin", "http://www.example.com"),
    ];
    let kept = example.into_iter().filter(|(other, _)| *other != name);
    for (name, value) in kept.chain(values.iter().map(|value| (name, *value))) {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    headers
}

fn verdict(headers: &HeaderMap) -> Result<VerifiedRequest, Error> {
    verify_connect_request(
        &Method::CONNECT,
        Some("websocket"),
        &Uri::from_static(TARGET),
        Version::HTTP_2,
        headers,
    )
}

#[track_caller]
fn refuses(name: &str, error: Error, status: u16, cases: &[&[&str]]) {
    for values in cases {
        assert_eq!(verdict(&headers(name, values)).err(), Some(error), "{name}: {values:?}");
    }
    assert_eq!(error.response().status(), status);
}

#[test]
fn section_4_the_request_is_a_connect_with_a_protocol_in_http_2() {
    let headers = headers("", &[]);
    let target = Uri::from_static(TARGET);
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let refused = verify_connect_request(&method, Some("websocket"), &target, Version::HTTP_2, &headers);
        assert_eq!(refused, Err(Error::NotExtendedConnect), "{method}");
        assert!(!is_connect_request(&method, Some("websocket")));
    }
    // A plain CONNECT (RFC 9113 §8.5), which requests a tunnel to another host.
    let plain = verify_connect_request(&Method::CONNECT, None, &target, Version::HTTP_2, &headers);
    assert_eq!(plain, Err(Error::NotExtendedConnect));
    assert!(!is_connect_request(&Method::CONNECT, None));
    for version in [Version::HTTP_10, Version::HTTP_11] {
        let refused = verify_connect_request(&Method::CONNECT, Some("websocket"), &target, version, &headers);
        assert_eq!(refused, Err(Error::HttpVersion), "{version:?}");
    }
    assert_eq!(
        [Error::NotExtendedConnect, Error::HttpVersion].map(|error| error.status().as_u16()),
        [400, 400]
    );
}

#[test]
fn section_4_must_1_scheme_path_and_authority_are_there() {
    let headers = headers("", &[]);
    let verdict = |target: &str| {
        let target: Uri = target.parse().expect("a URI");
        verify_connect_request(&Method::CONNECT, Some("websocket"), &target, Version::HTTP_2, &headers).err()
    };
    for target in [TARGET, "http://localhost:3000/chat?room=1", "https://[::1]:8443/"] {
        assert_eq!(verdict(target), None, "{target}");
    }
    for target in
        ["/chat", "*", "server.example.com:443", "wss://server.example.com/chat", "ftp://a.example/"]
    {
        assert_eq!(verdict(target), Some(Error::InvalidTarget), "{target}");
    }
    assert_eq!(verdict("https://me@server.example.com/chat"), Some(Error::InvalidTarget)); // RFC 9113 §8.3.1
}

#[test]
fn section_5_must_1_the_protocol_is_websocket() {
    let target = Uri::from_static(TARGET);
    for (protocol, is_websocket) in [
        ("websocket", true),
        ("WebSocket", true),
        ("webtransport", false),
        ("connect-udp", false),
        ("", false),
    ] {
        let headers = headers("", &[]);
        let verdict =
            verify_connect_request(&Method::CONNECT, Some(protocol), &target, Version::HTTP_2, &headers)
                .err();
        assert_eq!(verdict, (!is_websocket).then_some(Error::UnsupportedConnectProtocol), "{protocol}");
        assert_eq!(is_connect_request(&Method::CONNECT, Some(protocol)), is_websocket);
    }
    assert_eq!(Error::UnsupportedConnectProtocol.response().status(), 501); // RFC 9220 §3
}

#[test]
fn section_5_must_not_2_there_is_no_upgrade_and_no_connection() {
    refuses("upgrade", Error::UpgradeInHttp2, 400, &[&["websocket"], &[""]]);
    refuses("connection", Error::UpgradeInHttp2, 400, &[&["Upgrade"], &["keep-alive"]]);
    let response = verdict(&headers("", &[])).expect("a handshake").response(None, None);
    assert_eq!(response.status(), 200);
    assert!(response.headers().is_empty(), "{:?}", response.headers());
}

#[test]
fn section_5_no_host_is_needed_and_one_that_is_there_has_to_be_one() {
    assert_eq!(verdict(&headers("host", &["server.example.com"])).err(), None);
    refuses("host", Error::InvalidHost, 400, &[&["server.example.com/"], &[""]]);
    refuses("host", Error::HostRepeated, 400, &[&["server.example.com", "server.example.com"]]);
}

#[test]
fn section_5_the_origin_is_held_against_the_authority() {
    let accepted = verdict(&headers("origin", &["https://server.example.com"])).expect("a handshake");
    assert_eq!(accepted.verify_origin(&AllowedOrigins::same_host()), Ok(()));
    // A `Host` header has no influence.
    let mut headers = headers("host", &["www.example.com"]);
    headers.insert("origin", HeaderValue::from_static("https://www.example.com"));
    let accepted = verdict(&headers).expect("a handshake");
    assert_eq!(accepted.verify_origin(&AllowedOrigins::same_host()), Err(Error::OriginNotAllowed));
}

#[test]
fn section_5_the_key_is_not_processed() {
    for values in [&["dGhlIHNhbXBsZSBub25jZQ=="][..], &["no key"], &["two", "keys"]] {
        let accepted = verdict(&headers("sec-websocket-key", values)).expect("a handshake");
        assert_eq!(accepted.accept_key(), None);
        assert!(accepted.response(None, None).headers().is_empty());
    }
}

#[test]
fn section_5_version_protocol_and_extensions_are_those_of_rfc_6455() {
    let name = "sec-websocket-version";
    refuses(name, Error::UnsupportedVersionInHttp2, 400, &[&[], &["8"], &["13, 8"]]);
    refuses(name, Error::VersionRepeated, 400, &[&["13", "13"]]);
    for error in [Error::UnsupportedVersionInHttp2, Error::VersionRepeated] {
        assert_eq!(error.response().headers()[name], "13"); // RFC 6455 §4.4
        assert_eq!(error.response().headers().get("upgrade"), None);
    }
    refuses("sec-websocket-protocol", Error::InvalidProtocol, 400, &[&["a b"], &["a,,b"]]);
    refuses("sec-websocket-protocol", Error::ProtocolRepeated, 400, &[&["a", "a"]]);
    refuses("sec-websocket-extensions", Error::InvalidExtensions, 400, &[&["foo; =1"]]);

    let accepted = verdict(&headers("", &[])).expect("a handshake");
    assert_eq!(accepted.protocols(), ["chat", "superchat"]);
    let deflate = accepted.deflate(&DeflateOptions::default()).expect("it is offered");
    let response = accepted.response(Some("superchat"), Some(&deflate));
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "superchat");
    let extensions = response.headers()[SEC_WEBSOCKET_EXTENSIONS].to_str().expect("text");
    assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
    assert_eq!(response.headers().len(), 2);
}

#[test]
fn section_5_a_connect_has_no_body() {
    refuses("content-length", Error::BodyNotAllowed, 400, &[&["1"]]);
    assert_eq!(verdict(&headers("content-length", &["0"])).err(), None);
}

#[test]
fn a_request_of_one_version_is_no_handshake_of_the_other() {
    let headers = headers("", &[]);
    let refused =
        verify_upgrade_request(&Method::CONNECT, &Uri::from_static(TARGET), Version::HTTP_2, &headers);
    assert_eq!(refused, Err(Error::MethodNotGet));
    assert!(!is_upgrade_request(&headers));
}
