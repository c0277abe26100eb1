//! Which kind of request the engine has received, and whether it is allowed.

use std::fmt;

use engineio_proto::jsonp::Index;
use engineio_proto::{Framing, Revision, Transport, WireFormat};
use http::{Method, Version, request::Parts};

use crate::connection_error::ConnectionError;
use crate::options::{AsyncCheck, Options};
use crate::registry::Registry;
use crate::session::Session;

/// A request that has passed every check.
#[derive(Debug)]
pub(crate) enum RequestKind {
    /// Opens a new session.
    Open(SessionRequest),
    /// Opens a new session, if the application's check allows it.
    OpenIfAllowed(PendingOpen),
    /// A GET or a POST of this session.
    Poll(Session),
    Post(Session),
    /// A WebSocket handshake for this polling session. Outgoing packets take this form after the upgrade.
    Upgrade(Session, Framing),
    /// A method that no transport uses, for a session that exists.
    UnsupportedMethod,
}

/// What a request for a new session asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    pub(crate) transport: Transport,
    pub(crate) format: WireFormat,
}

/// A request that opens a session once the application has decided.
pub(crate) struct PendingOpen {
    /// Has not started: the engine first looks whether it can open a session at all.
    pub(crate) check: AsyncCheck,
    /// The session, or the error if the request has another defect, which Node looks for after the check.
    pub(crate) requested: Result<SessionRequest, ConnectionError>,
}

impl fmt::Debug for PendingOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingOpen").field("requested", &self.requested).finish_non_exhaustive()
    }
}

/// The message for pages whose origin is not in [`Options::allow_origins`].
const ORIGIN_NOT_ALLOWED: &str = "pages of this origin may not connect";

/// The message for JSONP if [`Options::allow_origins`] has a list and the browser does not say which page polls.
const SCRIPT_ORIGIN_UNKNOWN: &str = "JSONP needs a browser that says which page polls";

/// The error for requests of the transport `websocket` that are no WebSocket handshakes.
const PLAIN_WEBSOCKET: &str = "a plain HTTP request for the transport websocket";

/// The query parameters that the engine reads. If a parameter occurs twice, the last value counts.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    revision: Revision,
    transport: Option<String>,
    /// An empty session id is none, as in Node.
    sid: Option<String>,
    /// The client wants binary data as base64, on WebSocket too. Any value but the empty one says so, as in Node.
    base64: bool,
    /// The client polls with JSONP.
    jsonp: Option<String>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let revision = Revision::from_parameter(None);
        let mut parsed = Self { revision, transport: None, sid: None, base64: false, jsonp: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "EIO" => parsed.revision = Revision::from_parameter(Some(&value)),
                "transport" => parsed.transport = Some(value.into_owned()),
                "sid" => parsed.sid = Some(value.into_owned()).filter(|id| !id.is_empty()),
                "b64" => parsed.base64 = !value.is_empty(),
                "j" => parsed.jsonp = Some(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }

    /// Returns what a request without a session id asks for.
    fn into_session_request(
        self,
        transport: Transport,
        allow_eio3: bool,
    ) -> Result<SessionRequest, ConnectionError> {
        let Self { revision, base64, jsonp, .. } = self;
        if revision == Revision::V3 && !allow_eio3 {
            let protocol = revision.number();
            return Err(ConnectionError::UnsupportedProtocolVersion { protocol });
        }
        let jsonp = match jsonp.filter(|_| allow_eio3 && transport == Transport::Polling) {
            Some(index) => {
                let index = Index::from_parameter(&index);
                Some(index.ok_or_else(|| handshake_error("the parameter `j` has more than 20 digits"))?)
            }
            None => None,
        };
        Ok(SessionRequest { transport, format: WireFormat { revision, base64, jsonp } })
    }
}

/// Checks a request, in the same order as the Node server. Inserts the address of the client into a request that opens
/// a session.
pub(crate) fn check_request(
    request: &mut Parts,
    upgrade: bool,
    options: &Options,
    registry: &Registry,
) -> Result<RequestKind, ConnectionError> {
    let query = Query::parse(request.uri.query().unwrap_or_default());
    let named = query.transport.as_deref().and_then(Transport::from_name);
    let transport = named
        .filter(|transport| options.protocol.transports.contains(transport))
        .ok_or_else(|| ConnectionError::UnknownTransport { transport: query.transport.clone() })?;
    // Before the session id, so that a page of another origin does not learn which sessions exist.
    if options.allow_origins.as_ref().is_some_and(|list| !list.allows(&request.uri, &request.headers)) {
        return Err(ConnectionError::Forbidden { message: ORIGIN_NOT_ALLOWED.to_owned() });
    }
    let asks_for_script = options.allow_eio3 && transport == Transport::Polling && query.jsonp.is_some();
    if asks_for_script && !may_get_script(request, options) {
        return Err(ConnectionError::Forbidden { message: SCRIPT_ORIGIN_UNKNOWN.to_owned() });
    }
    let session = match &query.sid {
        Some(id) => Some(registry.find(id).ok_or_else(|| ConnectionError::UnknownSid { sid: id.clone() })?),
        None => None,
    };
    if upgrade != (transport == Transport::WebSocket) && (upgrade || session.is_none()) {
        // This is a WebSocket handshake with `transport=polling`, or a plain request that opens a session with
        // `transport=websocket`. For the plain request, the Node server checks the method first.
        return Err(match upgrade {
            false if request.method != Method::GET => {
                ConnectionError::BadHandshakeMethod { method: request.method.clone() }
            }
            false => handshake_error(PLAIN_WEBSOCKET),
            true => handshake_error("a WebSocket handshake for the transport polling"),
        });
    }
    if let Some(session) = session {
        let previous_transport = session.transport();
        if !upgrade && transport != previous_transport {
            return Err(ConnectionError::TransportMismatch { transport, previous_transport });
        }
        if !upgrade && transport == Transport::WebSocket {
            // Packets of a session on WebSocket come over the WebSocket only. Node never responds to this request.
            return Err(handshake_error(PLAIN_WEBSOCKET));
        }
        let (revision, previous) = (query.revision, session.format().revision);
        if revision != previous {
            let (protocol, previous_protocol) = (revision.number(), previous.number());
            return Err(ConnectionError::ProtocolMismatch { protocol, previous_protocol });
        }
        // The first request has decided that the responses are scripts, whatever this one says.
        if session.format().jsonp.is_some() && !upgrade && !may_get_script(request, options) {
            return Err(ConnectionError::Forbidden { message: SCRIPT_ORIGIN_UNKNOWN.to_owned() });
        }
        return Ok(match request.method {
            _ if upgrade => RequestKind::Upgrade(session, revision.framing(transport, query.base64)),
            Method::GET => RequestKind::Poll(session),
            Method::POST => RequestKind::Post(session),
            _ => RequestKind::UnsupportedMethod,
        });
    }
    // Over HTTP/2, a WebSocket handshake is an extended CONNECT (RFC 8441).
    let method = if upgrade && request.version == Version::HTTP_2 { Method::CONNECT } else { Method::GET };
    if request.method != method {
        return Err(ConnectionError::BadHandshakeMethod { method: request.method.clone() });
    }
    let requested = query.into_session_request(transport, options.allow_eio3);
    options.trusted_proxies.insert_client_address(request);
    if let Some(allow) = &options.allow_request {
        match allow.check(request) {
            Ok(decision) => decision.map_err(|message| ConnectionError::Forbidden { message })?,
            Err(check) => return Ok(RequestKind::OpenIfAllowed(PendingOpen { check, requested })),
        }
    }
    requested.map(RequestKind::Open)
}

/// Returns whether the response may be a script. The page of any origin can read a script, and its browser sends no
/// `Origin`, and over plain `http` no `Sec-Fetch-Site`. So if the origins are limited, the request must say which page
/// sends it. This concerns GETs: the response to a form says nothing, and browsers send its `Origin`.
fn may_get_script(request: &Parts, options: &Options) -> bool {
    request.method != Method::GET
        || options.allow_origins.as_ref().is_none_or(|list| {
            list.clone().allow_missing_origin(false).allows(&request.uri, &request.headers)
        })
}

fn handshake_error(error: &str) -> ConnectionError {
    ConnectionError::TransportHandshakeError { error: error.to_owned() }
}

#[cfg(test)]
mod tests {
    use engineio_proto::{RequestError, SessionId};

    use super::*;
    use crate::options::AllowRequest;

    fn check(method: Method, query: &str, upgrade: bool) -> Result<RequestKind, RequestError> {
        let registry = Registry::default();
        let on = |byte, transport| {
            let framing = Framing::of(transport, false);
            Session::new(
                SessionId::from_random([byte; 15]),
                transport,
                framing,
                WireFormat::default(),
                1,
                net::MemoryBudget::new(0),
                None,
            )
        };
        registry.insert(on(0, Transport::Polling));
        registry.insert(on(255, Transport::WebSocket));
        let uri = format!("/socket.io/?{query}");
        let (mut parts, ()) = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        check_request(&mut parts, upgrade, &Options::default(), &registry).map_err(|refused| refused.kind())
    }

    const POLLING: &str = "AAAAAAAAAAAAAAAAAAAA";
    const WEBSOCKET: &str = "____________________";

    #[test]
    fn good_requests_are_told_apart() {
        let session = format!("EIO=4&transport=polling&sid={POLLING}");
        let upgrade = format!("EIO=4&transport=websocket&sid={POLLING}");
        assert!(matches!(
            check(Method::GET, "EIO=4&transport=polling&t=x", false),
            Ok(RequestKind::Open(SessionRequest { transport: Transport::Polling, format })) if format == WireFormat::default()
        ));
        assert!(matches!(
            check(Method::GET, "transport=websocket&EIO=4", true),
            Ok(RequestKind::Open(SessionRequest { transport: Transport::WebSocket, format })) if format == WireFormat::default()
        ));
        assert!(matches!(check(Method::GET, &session, false), Ok(RequestKind::Poll(_))));
        assert!(matches!(check(Method::POST, &session, false), Ok(RequestKind::Post(_))));
        assert!(matches!(check(Method::PUT, &session, false), Ok(RequestKind::UnsupportedMethod)));
        assert!(matches!(
            check(Method::GET, &upgrade, true),
            Ok(RequestKind::Upgrade(_, Framing::WebSocket))
        ));
    }

    #[test]
    fn bad_requests_are_refused_with_the_code_of_the_first_thing_that_is_wrong() {
        let of = |sid: &str, rest: &str| format!("sid={sid}&{rest}");
        for (method, query, upgrade, refusal) in [
            (Method::GET, "EIO=4".to_owned(), false, RequestError::UnknownTransport),
            (Method::GET, "EIO=4&transport=__proto__".into(), false, RequestError::UnknownTransport),
            (Method::GET, "EIO=4&transport=webtransport".into(), false, RequestError::UnknownTransport),
            (Method::GET, "EIO=4&transport=".into(), false, RequestError::UnknownTransport),
            (Method::GET, "EIO=&transport=polling".into(), false, RequestError::UnsupportedProtocolVersion),
            (Method::GET, "EIO=4&transport=polling&sid=unknown".into(), false, RequestError::UnknownSid),
            (Method::GET, "EIO=4&transport=polling&sid=%20".into(), false, RequestError::UnknownSid),
            (Method::POST, "EIO=4&transport=polling&sid=".into(), false, RequestError::BadHandshakeMethod),
            (Method::POST, "EIO=4&transport=polling".into(), false, RequestError::BadHandshakeMethod),
            (Method::OPTIONS, "EIO=4&transport=polling".into(), false, RequestError::BadHandshakeMethod),
            (Method::POST, "EIO=4&transport=websocket".into(), false, RequestError::BadHandshakeMethod),
            (Method::GET, "EIO=4&transport=websocket".into(), false, RequestError::BadRequest),
            (Method::GET, "EIO=4&transport=polling".into(), true, RequestError::BadRequest),
            (Method::GET, "EIO=3&transport=polling".into(), false, RequestError::UnsupportedProtocolVersion),
            (Method::GET, "transport=websocket".into(), true, RequestError::UnsupportedProtocolVersion),
            // After the upgrade to WebSocket, the session does not poll any more.
            (Method::GET, of(WEBSOCKET, "EIO=4&transport=polling"), false, RequestError::BadRequest),
            (Method::GET, of(POLLING, "EIO=3&transport=polling"), false, RequestError::BadRequest),
            (Method::GET, of(WEBSOCKET, "EIO=4&transport=websocket"), false, RequestError::BadRequest),
            (Method::POST, of(WEBSOCKET, "EIO=4&transport=websocket"), false, RequestError::BadRequest),
            (Method::GET, of(POLLING, "EIO=4&transport=websocket"), false, RequestError::BadRequest),
            (Method::GET, of(POLLING, "EIO=4&transport=polling"), true, RequestError::BadRequest),
            (Method::GET, of("unknown", "EIO=4&transport=polling"), true, RequestError::UnknownSid),
        ] {
            let refused = check(method.clone(), &query, upgrade).unwrap_err();
            assert_eq!(refused, refusal, "{method} {query}");
        }
    }

    #[test]
    fn over_http_2_only_connect_opens_a_websocket() {
        let asked = |method, upgrade| {
            let uri = "https://example.com/socket.io/?EIO=4&transport=websocket";
            let request = http::Request::builder().method(method).version(Version::HTTP_2).uri(uri);
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let asked = check_request(&mut parts, upgrade, &Options::default(), &Registry::default());
            asked.map_err(|refused| refused.kind())
        };
        assert!(matches!(
            asked(Method::CONNECT, true),
            Ok(RequestKind::Open(SessionRequest { transport: Transport::WebSocket, .. }))
        ));
        assert!(matches!(asked(Method::GET, true), Err(RequestError::BadHandshakeMethod)));
        assert!(matches!(asked(Method::CONNECT, false), Err(RequestError::BadHandshakeMethod)));
    }

    #[test]
    fn an_empty_session_id_is_none() {
        for (query, upgrade) in [
            ("EIO=4&transport=polling&sid=", false),
            ("EIO=4&transport=polling&sid", false),
            ("EIO=4&transport=polling&sid=unknown&sid=", false),
            ("EIO=4&transport=websocket&sid=", true),
        ] {
            assert!(matches!(check(Method::GET, query, upgrade), Ok(RequestKind::Open(..))), "{query}");
        }
    }

    #[test]
    fn b64_chooses_base64_on_a_websocket_unless_it_is_empty() {
        for (b64, framing) in [
            ("b64=1", Framing::WebSocketBase64),
            ("b64=0", Framing::WebSocketBase64),
            ("b64=1&b64=", Framing::WebSocket),
            ("b64", Framing::WebSocket),
        ] {
            let query = format!("EIO=4&transport=websocket&{b64}");
            let open = check(Method::GET, &query, true);
            assert!(
                matches!(&open, Ok(RequestKind::Open(open)) if open.format.framing(open.transport) == framing),
                "{b64}: {open:?}"
            );
            let upgrade = check(Method::GET, &format!("{query}&sid={POLLING}"), true);
            assert!(
                matches!(upgrade, Ok(RequestKind::Upgrade(_, of)) if of == framing),
                "{b64}: {upgrade:?}"
            );
        }
        let open = check(Method::GET, "EIO=4&transport=polling&b64=1", false);
        assert!(matches!(&open, Ok(RequestKind::Open(open)) if open.format.base64), "{open:?}");
    }

    #[test]
    fn of_a_parameter_that_comes_twice_the_last_one_counts() {
        assert!(check(Method::GET, "EIO=3&EIO=4&transport=polling", false).is_ok());
    }

    #[test]
    fn the_program_may_forbid_a_session_in_its_own_words() {
        let options = Options {
            allow_request: Some(AllowRequest::new(|_| Err("not today".into()))),
            ..Options::default()
        };
        let (mut parts, ()) =
            http::Request::get("/socket.io/?EIO=4&transport=polling").body(()).unwrap().into_parts();
        let refused = check_request(&mut parts, false, &options, &Registry::default()).unwrap_err();
        assert_eq!(refused, ConnectionError::Forbidden { message: "not today".into() });
    }
}
