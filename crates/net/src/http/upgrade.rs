//! Opening handshakes of WebSockets over HTTP/1.1 and HTTP/2: verifies the request as hyper passes it on, and takes the
//! raw stream back from hyper.

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Uri, Version};
#[cfg(feature = "http2")]
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use ws_proto::{HandshakeError, VerifiedRequest, is_connect_request, is_upgrade_request};

#[cfg(feature = "http2")]
use crate::http::http2::{Http2Stream, StreamDropSignal};
use crate::http::server_stream::ServerStream;
use crate::io::Stream;
use crate::log_rate_limit::LogRateLimit;
use ws_proto::ErrorChain;

/// Returns whether a request is meant as a WebSocket handshake: an HTTP/1.1 upgrade, or an extended CONNECT over HTTP/2
/// (RFC 8441). It does not check that the handshake is valid; [`verify_handshake`] does.
#[must_use]
pub fn is_websocket_request(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> bool {
    is_upgrade_request(headers) || is_connect_request(method, protocol(extensions))
}

/// Checks a request against all requirements for a WebSocket handshake in its version of HTTP: RFC 6455 §4.2.1, or RFC
/// 8441 for HTTP/2.
///
/// # Errors
/// The request is not a valid WebSocket handshake.
pub fn verify_handshake(
    method: &Method,
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<VerifiedRequest, HandshakeError> {
    if version == Version::HTTP_2 {
        ws_proto::verify_connect_request(method, protocol(extensions), target, version, headers)
    } else {
        ws_proto::verify_upgrade_request(method, target, version, headers)
    }
}

/// The protocol that an extended CONNECT asks for. Without HTTP/2 there is none.
#[cfg_attr(not(feature = "http2"), allow(clippy::missing_const_for_fn, unused_variables))]
fn protocol(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "http2")]
    return extensions.get::<Protocol>().map(Protocol::as_str);
    #[cfg(not(feature = "http2"))]
    None
}

/// A request whose stream will belong to another protocol after the response. Pass it to [`finish_upgrade`], which
/// waits for the upgrade and returns the stream.
#[derive(Debug)]
pub struct PendingUpgrade {
    upgrade: OnUpgrade,
    #[cfg(feature = "http2")]
    is_http2: bool,
    #[cfg(feature = "http2")]
    drop_signal: Option<StreamDropSignal>,
}

impl PendingUpgrade {
    /// Takes the pending upgrade out of a request that hyper serves.
    pub fn from_request<B>(request: &mut http::Request<B>) -> Self {
        Self {
            #[cfg(feature = "http2")]
            is_http2: request.version() == Version::HTTP_2,
            #[cfg(feature = "http2")]
            drop_signal: request.extensions_mut().remove(),
            upgrade: hyper::upgrade::on(request),
        }
    }
}

/// An upgraded connection: its stream, and the bytes already read from it.
#[derive(Debug)]
pub struct Upgraded {
    /// The stream of the new protocol.
    pub stream: Stream,
    /// Bytes of the new protocol that hyper has already read. They come before everything that `stream` returns.
    pub leftover: Bytes,
}

/// If the HTTP server does not support upgrades, every client causes this warning.
static UPGRADE_UNSUPPORTED_LOG: LogRateLimit = LogRateLimit::new();

/// Waits for the upgrade of an accepted request and returns the raw stream. This frees the memory of the HTTP parser.
///
/// Not cancel safe: dropping the future closes the connection.
///
/// # Errors
/// The HTTP connection failed before the response to the upgrade was sent, or the HTTP server does not support
/// upgrades. The second case is also logged as a warning: it affects every client, and no client can tell the reason.
pub async fn finish_upgrade(pending: PendingUpgrade) -> hyper::Result<Upgraded> {
    let upgraded = pending.upgrade.await.inspect_err(|error| {
        if error.is_user() {
            UPGRADE_UNSUPPORTED_LOG.try_log(|suppressed| {
                let error = ErrorChain(error);
                tracing::warn!(
                    %error,
                    suppressed,
                    "the HTTP server does not support upgrades: serve with `with_upgrades` of hyper, \
                     or `serve_connection_with_upgrades` of hyper-util"
                );
            });
        }
    })?;
    #[cfg(feature = "http2")]
    if pending.is_http2 {
        let stream = Stream::Http2(Box::new(Http2Stream::new(upgraded, pending.drop_signal)));
        return Ok(Upgraded { stream, leftover: Bytes::new() });
    }
    // Our own listener uses this type of stream.
    let upgraded = match upgraded.downcast::<ServerStream>() {
        Ok(parts) => {
            let (stream, held) = parts.io.into_inner();
            let leftover =
                if parts.read_buf.is_empty() { held } else { [parts.read_buf, held].concat().into() };
            return Ok(Upgraded { stream, leftover });
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return Ok(Upgraded { stream: Stream::Tcp(parts.io.into_inner()), leftover: parts.read_buf });
        }
        Err(upgraded) => upgraded,
    };
    // `axum::serve` and others let hyper-util detect the HTTP version. hyper-util then wraps the stream in a type of
    // its own.
    Ok(match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Upgraded { stream: Stream::Tcp(parts.io.into_inner()), leftover: parts.read_buf },
        Err(upgraded) => Upgraded {
            stream: Stream::HyperUpgraded(Box::new(TokioIo::new(upgraded))),
            leftover: Bytes::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response, StatusCode};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_taken_back_from_a_server_that_detects_the_http_version() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (taken, mut takes) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (upgrade, taken) = (PendingUpgrade::from_request(&mut request), taken.clone());
            tokio::spawn(async move { taken.send(finish_upgrade(upgrade).await.unwrap()).unwrap() });
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.unwrap();
        });

        client.write_all(b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nafter!").await.unwrap();
        let Upgraded { stream, leftover } = takes.recv().await.unwrap();
        assert!(matches!(stream, Stream::Tcp(_)), "{stream:?}");
        let mut after = leftover.to_vec();
        let mut stream = stream;
        while after.len() < 6 {
            let mut bytes = [0; 6];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the bytes after the request are lost");
            after.extend_from_slice(&bytes[..read]);
        }
        assert_eq!(after, b"after!");
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_server_without_upgrades_is_reported_in_the_log() {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).with_ansi(false).finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let (mut client, stream) = tokio::io::duplex(1024);
        let (failed, mut fails) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (upgrade, failed) = (PendingUpgrade::from_request(&mut request), failed.clone());
            tokio::spawn(async move { failed.send(finish_upgrade(upgrade).await.unwrap_err()).unwrap() });
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            async { Ok::<_, Infallible>(response) }
        });
        // Deliberately without `with_upgrades`.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        client.write_all(b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await.unwrap();
        assert!(fails.recv().await.unwrap().is_user());
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains(" WARN ") && log.contains("serve with `with_upgrades`"), "{log}");
    }
}
