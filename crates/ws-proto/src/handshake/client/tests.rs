//! Behavior that the RFC does not require. The requirements of the RFC are tested in `tests/rfc6455/client.rs`.

use super::*;

fn offer() -> ClientHandshake {
    ClientHandshake::new([7; 16])
}

fn uri() -> WebSocketUri {
    WebSocketUri::parse("ws://server.example.com/chat").expect("a URI")
}

fn headers(list: &[(&str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn headers_of_the_handshake_cannot_be_set() {
    for name in [
        "connection",
        "upgrade",
        "content-length",
        "transfer-encoding",
        "trailer",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-accept",
        "sec-websocket-anything",
    ] {
        let refused = offer().request(&uri(), &headers(&[(name, "1")])).map(|_| ());
        assert_eq!(refused, Err(ClientHandshakeError::ReservedHeader(name.parse().unwrap())), "{name}");
    }
}

#[test]
fn a_host_of_the_program_replaces_that_of_the_uri() {
    let host = |values: &[(&str, &'static str)]| {
        let request = offer().request(&uri(), &headers(values))?;
        Ok::<Vec<_>, ClientHandshakeError>(request.headers().get_all(HOST).iter().cloned().collect())
    };
    assert_eq!(host(&[]), Ok(vec![HeaderValue::from_static("server.example.com")]));
    assert_eq!(host(&[("host", "other.example:81")]), Ok(vec![HeaderValue::from_static("other.example:81")]));
    assert_eq!(host(&[("host", "")]), Err(ClientHandshakeError::InvalidHost));
    assert_eq!(host(&[("host", "http://a")]), Err(ClientHandshakeError::InvalidHost));
    assert_eq!(host(&[("host", "a"), ("host", "b")]), Err(ClientHandshakeError::InvalidHost));
}

#[test]
fn headers_of_the_program_may_be_repeated() {
    let cookies = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
    let request = offer().request(&uri(), &cookies).unwrap();
    assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn no_more_is_offered_than_a_server_takes() {
    let many = |count: usize| (0..count).try_fold(offer(), |offer, n| offer.protocol(&format!("p{n}")));
    assert!(many(MAX_OFFERED_PROTOCOLS).is_ok());
    assert_eq!(many(MAX_OFFERED_PROTOCOLS + 1), Err(ClientHandshakeError::TooManyProtocols));
}
