//! [`Upgrade`] as an axum extractor.

use std::error::Error;
use std::fmt;
use std::mem;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::Request;
use http::request::Parts;
use ws_proto::HandshakeError;

use crate::server::{Upgrade, upgrade};

/// Extracts a WebSocket handshake from a request, and rejects any other request.
///
/// ```
/// use axum::response::Response;
/// use axum::routing::any;
/// use tidewire_ws::{Upgrade, WebSocket};
///
/// async fn chat(upgrade: Upgrade) -> Response {
///     upgrade.on_upgrade(async |mut socket: WebSocket| {
///         let _ = socket.send("hello").await;
///     })
/// }
///
/// let app: axum::Router = axum::Router::new().route("/chat", any(chat));
/// ```
///
/// Use a route for `any` method: a handshake is a `GET` in HTTP/1.1 and a `CONNECT` in HTTP/2.
impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = UpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, UpgradeRejection> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        // The headers and extensions are moved out only for this call, so that other extractors still find them.
        mem::swap(request.headers_mut(), &mut parts.headers);
        mem::swap(request.extensions_mut(), &mut parts.extensions);
        let upgrade = upgrade(&mut request);
        mem::swap(request.headers_mut(), &mut parts.headers);
        mem::swap(request.extensions_mut(), &mut parts.extensions);
        upgrade.map_err(UpgradeRejection)
    }
}

/// Why [`Upgrade`] could not be extracted. Its response is [`HandshakeError::response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeRejection(
    /// The error of the handshake. `?` converts it into this type, for example in `upgrade.allow_origins(..)?`.
    pub HandshakeError,
);

impl fmt::Display for UpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for UpgradeRejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<HandshakeError> for UpgradeRejection {
    fn from(error: HandshakeError) -> Self {
        Self(error)
    }
}

impl IntoResponse for UpgradeRejection {
    fn into_response(self) -> Response {
        self.0.response().into_response()
    }
}
