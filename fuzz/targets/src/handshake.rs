//! Parses the head of an HTTP/1.1 request from bytes, and compares the result with a second reading of RFC 6455 §4.2.1.
//! Does the same for the fields in HTTP/2, with RFC 8441 §5.

mod deflate;

use engineio_proto::{RequestError, SessionId};
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Method, Uri, Version};
use ws_proto::{
    HandshakeError, MAX_OFFERED_PROTOCOLS, VerifiedRequest, accept_key, is_upgrade_request,
    verify_connect_request, verify_upgrade_request,
};

use crate::fields::{Fields, MAX_FIELDS};
use crate::{grammar, memory};

/// The input is a request head. After it come the subprotocol that the application selects, and the message with which
/// it rejects.
pub fn handshake(data: &[u8]) {
    // Completes a head that was cut off, so that nearly every input reaches the handshake.
    let ended = [data, b"\r\n\r\n"].concat();
    let Some((request, rest)) = Request::parse(data).or_else(|| Request::parse(&ended)) else { return };
    let headers = request.fields.map(false);
    let mut verdict = None;
    let held = memory::peak(|| verdict = Some(request.verify(&headers)));
    let Some(verdict) = verdict else { return };
    // Only the offered protocols are stored: a list that doubles, and a few bytes for each.
    let allowed = 2 * data.len() + 64 * MAX_OFFERED_PROTOCOLS;
    assert!(held <= allowed, "{held} bytes are held for {} received", data.len());

    assert_eq!(request.verify(&request.fields.map(true)), verdict, "headers reordered");
    assert_eq!(is_upgrade_request(&headers), request.fields.lists("upgrade", "websocket"));
    let rest = String::from_utf8_lossy(rest);
    check_words(&rest);
    check_http2(&request, &headers);
    match verdict {
        Ok(accepted) => {
            assert_eq!(request.offers_by_the_rfc().as_deref(), Some(accepted.protocols()), "{request:?}");
            check_answer(&request, &accepted, &rest);
            deflate::check(&request.fields, &accepted);
        }
        Err(error) => {
            assert_eq!(request.offers_by_the_rfc(), None, "refused as {error:?}: {request:?}");
            check_refusal(error);
        }
    }
}

fn check_answer(request: &Request, accepted: &VerifiedRequest, selected: &str) {
    let key = request
        .fields
        .only("sec-websocket-key")
        .and_then(|key| std::str::from_utf8(key).ok())
        .unwrap_or_default();
    let accept_key = accept_key(key);
    assert_eq!(accepted.accept_key(), Some(&*accept_key));
    assert_eq!(accept_key.len(), 28);
    let offered = accepted.protocols();
    for selected in offered.iter().map(String::as_str).chain([selected]).map(Some).chain([None]) {
        let response = accepted.response(selected, None);
        assert_eq!(response.status(), 101);
        let headers = response.headers();
        assert_eq!(headers["upgrade"], "websocket");
        assert_eq!(headers["connection"], "Upgrade");
        assert_eq!(headers["sec-websocket-accept"], accept_key);
        let expected = selected.filter(|selected| offered.iter().any(|offer| offer == selected));
        let answered = headers.get(SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes);
        assert_eq!(answered, expected.map(str::as_bytes));
        assert_eq!(headers.len(), 3 + usize::from(expected.is_some()));
    }
}

/// Checks an extended CONNECT with these fields.
fn check_http2(request: &Request, headers: &HeaderMap) {
    let target = Uri::from_static("https://server.example/chat");
    let protocol = Some("websocket");
    match verify_connect_request(&Method::CONNECT, protocol, &target, Version::HTTP_2, headers) {
        Ok(accepted) => {
            assert_eq!(request.offers_by_rfc_8441().as_deref(), Some(accepted.protocols()), "{request:?}");
            assert_eq!(accepted.accept_key(), None);
            for offer in accepted.protocols() {
                let response = accepted.response(Some(offer), None);
                assert_eq!((response.status().as_u16(), response.headers().len()), (200, 1));
                assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], offer.as_str());
            }
        }
        Err(error) => {
            assert_eq!(request.offers_by_rfc_8441(), None, "refused as {error:?}: {request:?}");
            check_refusal(error);
        }
    }
}

fn check_refusal(error: HandshakeError) {
    let response = error.response();
    assert!(response.status().is_client_error());
    assert_eq!(response.headers()["content-length"], response.body().len().to_string());
    assert!(response.headers()["connection"].as_bytes().starts_with(b"close"));
}

/// The message with which an application rejects an Engine.IO session must reach the client unchanged. A text is parsed
/// as a session id only if it is one.
fn check_words(words: &str) {
    let body = RequestError::Forbidden.body(Some(words));
    let body: serde_json::Value = serde_json::from_str(&body).expect("the body is JSON");
    assert_eq!(body["message"], words);
    let is_id =
        words.len() == 20 && words.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    assert_eq!(SessionId::parse(words).is_some_and(|id| id.as_str() == words), is_id);
}

/// A request as hyper passes it on.
#[derive(Debug)]
struct Request {
    method: Method,
    target: Uri,
    version: Version,
    fields: Fields,
}

impl Request {
    /// Returns the request, and the bytes after its head.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(len) = head.parse(bytes).ok()? else { return None };
        let request = Request {
            method: Method::from_bytes(head.method?.as_bytes()).ok()?,
            target: head.path?.parse().ok()?,
            version: if head.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 },
            fields: Fields::new(head.headers)?,
        };
        Some((request, &bytes[len..]))
    }

    fn verify(&self, headers: &HeaderMap) -> Result<VerifiedRequest, HandshakeError> {
        verify_upgrade_request(&self.method, &self.target, self.version, headers)
    }

    /// Returns the offered subprotocols if the request may be accepted.
    fn offers_by_the_rfc(&self) -> Option<Vec<String>> {
        let target = self.target.to_string().to_ascii_lowercase();
        let acceptable = self.method == "GET"
            && ["/", "http://", "https://"].iter().any(|beginning| target.starts_with(beginning))
            && self.version == Version::HTTP_11
            && self.fields.only("host").is_some_and(grammar::is_host)
            && self.fields.lists("upgrade", "websocket")
            && self.fields.lists("connection", "upgrade")
            && self.fields.only("sec-websocket-key").is_some_and(grammar::is_key);
        if acceptable { self.offers_of_either_version() } else { None }
    }

    /// Like `offers_by_the_rfc`, for an extended CONNECT.
    fn offers_by_rfc_8441(&self) -> Option<Vec<String>> {
        let has = |name| self.fields.values(name).next().is_some();
        let acceptable = !has("upgrade")
            && !has("connection")
            && (!has("host") || self.fields.only("host").is_some_and(grammar::is_host));
        if acceptable { self.offers_of_either_version() } else { None }
    }

    fn offers_of_either_version(&self) -> Option<Vec<String>> {
        let offers = self.fields.list("sec-websocket-protocol");
        let unique = offers.iter().enumerate().all(|(index, offer)| !offers[..index].contains(offer));
        let acceptable = self.fields.values("content-length").all(|length| length == b"0")
            && self.fields.values("transfer-encoding").next().is_none()
            && self.fields.only("sec-websocket-version") == Some(b"13")
            && self
                .fields
                .values("sec-websocket-extensions")
                .all(|value| grammar::extensions(value).is_some())
            && offers.iter().all(|offer| grammar::is_token(offer))
            && unique
            && offers.len() <= MAX_OFFERED_PROTOCOLS;
        let offers = offers.into_iter().map(|offer| String::from_utf8(offer).ok());
        acceptable.then(|| offers.collect()).flatten()
    }
}
