//! Upgrades an HTTP request to a connection.

use std::future::Future;

use http::Extensions;
use http::request::Parts;
use net::metrics::{self, Series};
use net::{ConnectionSpan, MemoryBudget, PendingUpgrade};
use ws_proto::{AllowedOrigins, DeflateAgreement, DeflateOptions, HandshakeError, VerifiedRequest};

use crate::connection::Driver;
use crate::limits::Limits;
use crate::server::HandlerOutput;
use crate::server::refusals::{UPGRADES, log_refusal, peer_address};
use crate::socket::WebSocket;

/// Checks a WebSocket handshake in any server that is built on hyper: hyper itself, axum, or a tower service.
///
/// ```
/// use http::{Request, Response};
/// use tidewire_ws::WebSocket;
///
/// fn chat<B>(mut request: Request<B>) -> Response<String> {
///     match tidewire_ws::upgrade(&mut request) {
///         Ok(upgrade) => upgrade.on_upgrade(async |mut socket: WebSocket| {
///             let _ = socket.send("hello").await;
///         }),
///         Err(error) => error.response(),
///     }
/// }
/// # chat(Request::new(()));
/// ```
///
/// It does not check `Origin`. A browser lets every page connect to every server and sends the cookies of that server
/// along. If your server authenticates by cookies, or trusts clients because they are in its network, restrict the
/// origins with [`Upgrade::allow_origins`].
///
/// The HTTP server must support upgrades: `with_upgrades` in hyper, `serve_connection_with_upgrades` in hyper-util;
/// `axum::serve` supports them by default. For WebSockets over HTTP/2, the server must announce them: with
/// `enable_connect_protocol` in hyper, or the feature `http2` in axum.
///
/// # Errors
/// The request is not a valid handshake. Respond with [`HandshakeError::response`].
pub fn upgrade<B>(request: &mut http::Request<B>) -> Result<Upgrade, HandshakeError> {
    let verified = verify_upgrade(request);
    if let Err(error) = &verified {
        let (method, headers, extensions) = (request.method(), request.headers(), request.extensions());
        // Otherwise it is a request for something else, which the program may answer.
        if net::is_websocket_request(method, headers, extensions) {
            log_refusal(UPGRADES.of(error), peer_address(extensions), error);
        }
    }
    verified
}

/// Does the same as [`upgrade`], without a log line.
pub(super) fn verify_upgrade<B>(request: &mut http::Request<B>) -> Result<Upgrade, HandshakeError> {
    let (version, extensions) = (request.version(), request.extensions());
    let accepted =
        net::verify_handshake(request.method(), request.uri(), version, request.headers(), extensions)
            .inspect_err(|_| metrics::count(Series::WebSocketHandshakeRefused))?;
    let upgrade = PendingUpgrade::from_request(request);
    Ok(Upgrade {
        request: accepted,
        upgrade,
        protocol: None,
        limits: Limits::default(),
        budget: MemoryBudget::process().clone(),
        deflate: None,
        span: span(request.extensions()),
    })
}

/// A valid handshake to which no response was sent yet. Accept it with [`on_upgrade`](Self::on_upgrade). If it is
/// dropped, it is not accepted.
#[derive(Debug)]
#[must_use = "the handshake is accepted only if you return the response of `on_upgrade`"]
pub struct Upgrade {
    request: VerifiedRequest,
    upgrade: PendingUpgrade,
    protocol: Option<Box<str>>,
    limits: Limits,
    budget: MemoryBudget,
    deflate: Option<DeflateAgreement>,
    span: ConnectionSpan,
}

impl Upgrade {
    /// Takes the address of the client from a request that knows more than the one before.
    pub(crate) fn with_address_of(mut self, request: &Parts) -> Self {
        self.span = span(&request.extensions);
        self
    }

    /// Rejects pages of other origins, see [`AllowedOrigins`]. Default: all origins are allowed. A request without
    /// `Origin` does not come from a browser, and is accepted unless [`AllowedOrigins::allow_missing_origin`] forbids
    /// it.
    ///
    /// ```
    /// # use tidewire_ws::{AllowedOrigins, HandshakeError, Upgrade};
    /// fn only_ours<B>(request: &mut http::Request<B>, ours: &AllowedOrigins) -> Result<Upgrade, HandshakeError> {
    ///     tidewire_ws::upgrade(request)?.allow_origins(ours)
    /// }
    /// ```
    ///
    /// # Errors
    /// Returns [`HandshakeError::OriginNotAllowed`] if the origin is not allowed; its response is a 403.
    pub fn allow_origins(self, origins: &AllowedOrigins) -> Result<Self, HandshakeError> {
        match self.verify_origin(origins) {
            Ok(()) => Ok(self),
            Err(error) => {
                log_refusal(&UPGRADES.origin, None, &error);
                Err(error)
            }
        }
    }

    /// Checks the origin without a log line.
    pub(super) fn verify_origin(&self, origins: &AllowedOrigins) -> Result<(), HandshakeError> {
        let verified = self.request.verify_origin(origins).map(|_| ());
        verified.inspect_err(|_| metrics::count(Series::WebSocketOriginRefused))
    }

    /// Returns the subprotocols that the client offers, the preferred one first.
    #[must_use]
    pub fn offered_protocols(&self) -> &[String] {
        self.request.protocols()
    }

    /// Selects a subprotocol. If the client did not offer it, none is selected, because the client would have to fail
    /// the connection.
    pub fn select_protocol(mut self, protocol: &str) -> Self {
        let is_offered = self.request.protocols().iter().any(|offered| offered == protocol);
        self.protocol = is_offered.then(|| protocol.into());
        self
    }

    /// Sets the limits of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the budget for the memory of all connections that share it. Default: [`MemoryBudget::process`].
    pub fn memory_budget(mut self, budget: &MemoryBudget) -> Self {
        self.budget = budget.clone();
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) if the client offers it. Default: off. Needs the feature
    /// `compression`.
    ///
    /// With the default options, a connection needs no memory for compression, and each compressed message costs CPU
    /// time.
    ///
    /// Compression is a security risk for secrets: an attacker who can insert text into a message and observe its
    /// length can guess the rest of the message. Leave compression off for such messages: do not call this method, or
    /// send them with [`WebSocket::send_uncompressed`](crate::WebSocket::send_uncompressed).
    #[cfg(feature = "compression")]
    pub fn compress(self, options: DeflateOptions) -> Self {
        self.negotiate_compression(Some(options))
    }

    pub(super) fn negotiate_compression(mut self, options: Option<DeflateOptions>) -> Self {
        self.deflate = options.and_then(|options| self.request.deflate(&options));
        self
    }

    /// Returns `true` if messages are compressed: the program has turned compression on, and the client offered it.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Returns the response that accepts the handshake. After the HTTP server has written it, `handler` runs with the
    /// WebSocket in its own task.
    ///
    /// The connection outlives the handler only if the handler moves its WebSocket to another task. If the handler
    /// panics, the connection is closed with code 1011.
    ///
    /// The body of the response is empty. Its type `B` is the body type of your server.
    ///
    /// # Panics
    /// Panics if it is called outside of a Tokio runtime.
    pub fn on_upgrade<F, Fut, B>(self, handler: F) -> http::Response<B>
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
        B: Default,
    {
        self.accept(handler, ())
    }

    /// Does the same as [`on_upgrade`](Self::on_upgrade), and drops `guard` when the connection and its handler have
    /// ended.
    pub(crate) fn accept<F, Fut, B>(self, handler: F, guard: impl Send + 'static) -> http::Response<B>
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
        B: Default,
    {
        let response = self.request.response(self.protocol.as_deref(), self.deflate.as_ref());
        let settings = (self.limits, self.budget, self.span);
        tokio::spawn(run_upgraded(self.upgrade, settings, self.deflate, self.protocol, handler, guard));
        response.map(|()| B::default())
    }
}

/// Returns the span of a connection that may open.
fn span(request: &Extensions) -> ConnectionSpan {
    let address = net::address_for_span(request).map(tracing::field::display);
    ConnectionSpan::new(tracing::debug_span!("websocket", address))
}

/// Runs a connection from the upgrade to its end.
fn run_upgraded<F, Fut>(
    upgrade: PendingUpgrade,
    (limits, budget, span): (Limits, MemoryBudget, ConnectionSpan),
    deflate: Option<DeflateAgreement>,
    protocol: Option<Box<str>>,
    handler: F,
    guard: impl Send,
) -> impl Future<Output = ()> + Send
where
    F: FnOnce(WebSocket) -> Fut + Send,
    Fut: Future<Output: HandlerOutput> + Send,
{
    // Boxed, because this future is short-lived: otherwise the task would keep its memory as long as the connection
    // lives.
    let upgraded = Box::pin(async move {
        let upgraded = net::finish_upgrade(upgrade).await?;
        Ok::<_, hyper::Error>(Driver::new(
            upgraded,
            &limits,
            deflate.as_ref(),
            protocol,
            budget,
            span,
            handler,
        ))
    });
    async move {
        match upgraded.await {
            Ok(driver) => driver.await,
            Err(error) => {
                tracing::debug!(error = %net::ErrorChain(&error), "the connection ended before its upgrade");
            }
        }
        drop(guard);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http::HeaderValue;
    use http::header::SEC_WEBSOCKET_PROTOCOL;

    use super::*;

    #[tokio::test]
    async fn the_response_names_the_selected_protocol_if_it_was_offered() {
        for (selected, named) in [("chat.v2", Some("chat.v2")), ("other", None)] {
            let mut request = http::Request::builder()
                .header("host", "localhost")
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header(SEC_WEBSOCKET_PROTOCOL, "chat.v1, chat.v2")
                .body(())
                .unwrap();
            let upgrade = upgrade(&mut request).unwrap();
            assert_eq!(upgrade.offered_protocols(), ["chat.v1", "chat.v2"]);
            let response = upgrade.select_protocol(selected).on_upgrade(async |_: WebSocket| {});
            let response: http::Response<()> = response;
            let named = named.map(HeaderValue::from_static);
            assert_eq!(response.headers().get(SEC_WEBSOCKET_PROTOCOL), named.as_ref());
        }
    }

    #[test]
    fn a_connection_costs_no_more_than_it_must_beside_its_handler() {
        let mut request = http::Request::new(());
        let task = run_upgraded(
            PendingUpgrade::from_request(&mut request),
            (Limits::default(), MemoryBudget::new(0), ConnectionSpan::default()),
            None,
            None,
            |socket: WebSocket| async move {
                let _socket = socket;
                pending::<()>().await;
            },
            (),
        );
        let task = size_of_val(&task);
        let shared = crate::connection::Connection::SIZE;
        // Of these, 16 are for the memory budget, which also limits what the connection holds beside them, and 8 for the
        // span. Metrics take 32 more.
        let limit = if metrics::IS_ENABLED { 584 } else { 552 };
        assert!(task + shared <= limit, "task {task} bytes, shared {shared} bytes");
    }
}
