//! The responses of the engine.

use bytes::Bytes;
use engineio_proto::{CloseReason, ContentType, RequestError, ResponseBody};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use net::{MEMORY_BUDGET_EXCEEDED, count_unread_response};

use super::Engine;
use crate::compression::Encoding;
use crate::connection_error::ConnectionError;
use crate::handler::Application;
use crate::session::{Command, Session};

impl<A: Application> Engine<A> {
    /// Returns the response to a GET, compressed with `encoding` if it is long enough and the engine has the capacity. If
    /// its connection must end because the client does not read it, the session ends too: its packets are lost.
    pub(super) async fn payload_response(
        &self,
        body: ResponseBody,
        encoding: Option<Encoding>,
        session: &Session,
    ) -> Response<Full<Bytes>> {
        let ResponseBody { mut bytes, content_type, compress } = body;
        let mut content_encoding = None;
        if let (Some(options), Some(encoding)) = (&self.0.options.http_compression, encoding)
            && compress
            && options.applies_to(bytes.len())
            && let Some(compressed) =
                encoding.compress(&bytes, options.level(), &self.0.compression_capacity).await
        {
            bytes = compressed;
            content_encoding = Some(encoding.header_value());
        }
        let mut response = Response::new(Full::default());
        let (budget, session) = (&self.0.options.memory_budget, session.clone());
        let on_end = move || {
            session.describe_close(MEMORY_BUDGET_EXCEEDED);
            session.send_command(Command::Close(CloseReason::TransportError));
        };
        let bytes = count_unread_response(bytes, response.extensions_mut(), budget, on_end);
        *response.body_mut() = Full::new(bytes);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type.as_str()));
        if content_type == ContentType::Script {
            // A browser must not take the script for a page: it contains text of other clients.
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        // No `Vary` is needed: no cache stores the response.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(encoding) = content_encoding {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        response
    }
}

/// Returns whether a response is one of a session, and neither a refusal nor the response to a preflight request.
pub(super) fn is_session_response(request: &Parts, status: StatusCode) -> bool {
    request.method != Method::OPTIONS && (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
}

pub(super) fn empty_response(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Returns a response with a line of text, and with `Retry-After` in seconds if that is known.
pub(super) fn text_response(
    status: StatusCode,
    text: impl Into<Full<Bytes>>,
    retry_after: Option<u64>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns the response to a rejected request: JSON for a polling request; plain text and `Connection: close` for a
/// WebSocket handshake.
pub(super) fn rejection_response(error: &ConnectionError, upgrade: bool) -> Response<Full<Bytes>> {
    let (kind, message) = (error.kind(), error.own_message());
    let (status, content_type, body) = if upgrade {
        (StatusCode::BAD_REQUEST, "text/html", message.unwrap_or(kind.message()).to_owned())
    } else {
        let status =
            if kind == RequestError::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
        (status, "application/json", kind.body(message))
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if upgrade {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
