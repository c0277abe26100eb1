//! From an HTTP request to a connection.

use std::future::Future;

use net::PendingUpgrade;
use ws_proto::{AllowedOrigins, DeflateAgreement, DeflateOptions, HandshakeError, VerifiedRequest};

use crate::connection::Driver;
use crate::limits::Limits;
use crate::server::HandlerOutput;
use crate::socket::WebSocket;

/// Checks a WebSocket handshake, in any server made of hyper: hyper itself, axum, a tower service.
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
/// It does not look at `Origin`. Browsers let every page connect to every server and send the cookies along, so a
/// server that goes by cookies, or by who can reach it, has to say which pages may: [`Upgrade::allow_origins`].
///
/// The HTTP server has to give the connection away, as `with_upgrades` of hyper and `serve_connection_with_upgrades` of
/// hyper-util do; `axum::serve` does. WebSockets over HTTP/2 come only where it has announced them, by
/// `enable_connect_protocol` of hyper or the feature `http2` of axum.
///
/// # Errors
/// The request is no handshake that may be accepted. [`HandshakeError::response`] is the answer to it.
pub fn upgrade<B>(request: &mut http::Request<B>) -> Result<Upgrade, HandshakeError> {
    let (version, extensions) = (request.version(), request.extensions());
    let accepted =
        net::verify_handshake(request.method(), request.uri(), version, request.headers(), extensions)?;
    let upgrade = PendingUpgrade::from_request(request);
    Ok(Upgrade { accepted, upgrade, protocol: None, limits: Limits::default(), deflate: None })
}

/// A handshake that may be accepted, not answered yet. Dropped, it accepts nothing.
#[derive(Debug)]
#[must_use = "the response of on_connect is what accepts the handshake"]
pub struct Upgrade {
    accepted: VerifiedRequest,
    upgrade: PendingUpgrade,
    protocol: Option<Box<str>>,
    limits: Limits,
    deflate: Option<DeflateAgreement>,
}

impl Upgrade {
    /// Lets in only pages of these origins, see [`AllowedOrigins`]. Default: all, and whoever is no page.
    ///
    /// ```
    /// # use tidewire_ws::{AllowedOrigins, HandshakeError, Upgrade};
    /// fn only_ours<B>(request: &mut http::Request<B>, ours: &AllowedOrigins) -> Result<Upgrade, HandshakeError> {
    ///     tidewire_ws::upgrade(request)?.allow_origins(ours)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`HandshakeError::OriginNotAllowed`], whose response is a 403.
    pub fn allow_origins(self, origins: &AllowedOrigins) -> Result<Self, HandshakeError> {
        self.accepted.verify_origin(origins)?;
        Ok(self)
    }

    /// The subprotocols that the client offers, the preferred one first.
    #[must_use]
    pub fn offered_protocols(&self) -> &[String] {
        self.accepted.protocols()
    }

    /// Answers with this subprotocol. One that the client did not offer is left out of the answer: the client would
    /// have to fail the connection over it.
    pub fn select_protocol(mut self, protocol: &str) -> Self {
        let is_offered = self.accepted.protocols().iter().any(|offered| offered == protocol);
        self.protocol = is_offered.then(|| protocol.into());
        self
    }

    /// The limits of the connection, instead of the defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) where the client offers it. Default: no.
    ///
    /// With the default options a connection needs no memory for it. It costs time for every message that is compressed,
    /// and whoever can both put text into a message and see its length can guess what else is in it: leave it off, or
    /// leave such messages out by [`WebSocket::send_uncompressed`](crate::WebSocket::send_uncompressed).
    pub fn compress(mut self, options: &DeflateOptions) -> Self {
        self.deflate = self.accepted.deflate(options);
        self
    }

    /// Whether messages are compressed: [`compress`](Self::compress) was called, and the client has offered it.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// The answer that accepts the handshake. Once the HTTP server has written it, `handler` runs with the WebSocket,
    /// in a task of its own.
    ///
    /// The connection outlives the handler only if the handler gives its WebSocket away. A handler that panics closes
    /// the connection with 1011.
    ///
    /// The body of the answer is empty, of whatever type `B` the program's responses have.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn on_upgrade<F, Fut, B>(self, handler: F) -> http::Response<B>
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
        B: Default,
    {
        self.accept(handler, ())
    }

    /// [`on_upgrade`](Self::on_upgrade), and `guard` is dropped when the connection and its handler have ended.
    pub(crate) fn accept<F, Fut, B>(self, handler: F, guard: impl Send + 'static) -> http::Response<B>
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
        B: Default,
    {
        let response = self.accepted.response(self.protocol.as_deref(), self.deflate.as_ref());
        tokio::spawn(run_upgraded(self.upgrade, self.limits, self.deflate, self.protocol, handler, guard));
        response.map(|()| B::default())
    }
}

/// The whole life of a connection.
fn run_upgraded<F, Fut>(
    upgrade: PendingUpgrade,
    limits: Limits,
    deflate: Option<DeflateAgreement>,
    protocol: Option<Box<str>>,
    handler: F,
    guard: impl Send,
) -> impl Future<Output = ()> + Send
where
    F: FnOnce(WebSocket) -> Fut + Send,
    Fut: Future<Output: HandlerOutput> + Send,
{
    // Boxed, because it is short: inside the task, what it needs would be held as long as the connection lives.
    let upgraded = Box::pin(async move {
        let upgraded = net::finish_upgrade(upgrade).await?;
        Ok::<_, hyper::Error>(Driver::new(upgraded, &limits, deflate.as_ref(), protocol, handler))
    });
    async move {
        match upgraded.await {
            Ok(driver) => driver.await,
            Err(error) => {
                tracing::debug!(error = %net::ErrorChain(&error), "a connection ended before its upgrade");
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
    async fn the_answer_names_the_protocol_that_was_selected_if_it_was_offered() {
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
            Limits::default(),
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
        assert!(task + shared <= 528, "task {task} bytes, shared {shared} bytes");
    }
}
