//! Behavior that the RFC does not require. The requirements of the RFC are tested in `tests/rfc6455/handshake.rs`.

use super::*;

/// The request of RFC 6455 §1.3 with one additional header.
fn request(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("server.example.com"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
    headers
}

fn verdict(headers: &HeaderMap) -> Result<(), HandshakeError> {
    verify_upgrade_request(&Method::GET, &Uri::from_static("/chat"), Version::HTTP_11, headers).map(|_| ())
}

#[test]
fn a_request_with_a_body_is_no_handshake() {
    assert_eq!(verdict(&request("content-length", "0")), Ok(()));
    for (name, value) in [
        ("content-length", "1"),
        ("content-length", "+0"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(verdict(&request(name, value)), Err(HandshakeError::BodyNotAllowed), "{name}: {value}");
    }
    let mut twice = request("content-length", "0");
    twice.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
    assert_eq!(verdict(&twice), Err(HandshakeError::BodyNotAllowed));
}

#[test]
fn a_long_offer_is_rejected_before_it_costs_quadratic_time() {
    let offer = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
    let verdict = |count| verdict(&request("sec-websocket-protocol", &offer(count)));
    assert_eq!(verdict(MAX_OFFERED_PROTOCOLS), Ok(()));
    assert_eq!(verdict(MAX_OFFERED_PROTOCOLS + 1), Err(HandshakeError::TooManyProtocols));
}

#[test]
fn a_refusal_says_why_and_ends_the_connection() {
    for error in
        [HandshakeError::MethodNotGet, HandshakeError::UnsupportedVersion, HandshakeError::InvalidKey]
    {
        let response = error.response();
        assert_eq!(response.status(), error.status());
        assert!(lists_token(response.headers(), &CONNECTION, "close"), "{error}");
        assert_eq!(response.headers()[CONTENT_LENGTH], response.body().len().to_string());
        assert_eq!(*response.body(), format!("{error}\n"));
    }
}

#[test]
fn an_invalid_upgrade_request_is_still_an_upgrade_request() {
    let asks =
        |name, value| is_upgrade_request(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]));
    assert!(asks(UPGRADE, "foo, WebSocket"));
    assert!(!asks(CONNECTION, "upgrade"));
    assert!(!asks(UPGRADE, "h2c"));
}
