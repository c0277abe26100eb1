//! The byte stream under a connection: dialed, or taken back from the HTTP server after the upgrade.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::TlsStream;

use crate::chain::Chain;
use crate::http::{Http2Stream, ServerStream, Upgrading};
use crate::log_limit::LogLimit;

/// A byte stream that a connection owns.
#[derive(Debug)]
pub enum Stream {
    /// The TCP socket itself: no layer between, no memory beside it.
    Tcp(TcpStream),
    /// A stream whose type the HTTP server hides, for instance inside a foreign server with its own transport. It costs
    /// the server's rewind buffer and a virtual call for each read and write.
    Opaque(Box<TokioIo<hyper::upgrade::Upgraded>>),
    /// One stream of a connection of HTTP/2. A task of hyper's stands between, and a copy of all that is written.
    Http2(Box<Http2Stream>),
    /// Encrypted, on a stream of any kind. The state of rustls beside it takes some kilobytes.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<Stream>>),
    /// Any stream that a program brings. A virtual call for each read and write.
    Io(AnyStream),
    /// None any more: the connection is over, and its descriptor given back.
    Gone,
}

/// A stream of a type that only the program knows.
pub struct AnyStream(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

impl fmt::Debug for AnyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyStream")
    }
}

impl Stream {
    /// Whether the handshake of TLS has agreed on HTTP/2.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(crate::tls::HTTP_2),
            _ => false,
        }
    }

    /// A stream that a program brings.
    pub fn io(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Io(AnyStream(Box::new(stream)))
    }
}

/// An upgraded connection: its stream and the bytes that arrived behind the request.
#[derive(Debug)]
pub struct Upgraded {
    /// The stream.
    pub stream: Stream,
    /// Bytes that the HTTP server has read and that belong to the new protocol.
    pub leftover: Bytes,
}

/// Whoever connects to such a server causes one.
static NO_UPGRADES: LogLimit = LogLimit::new();

/// Waits for the upgrade of an accepted request and takes the raw stream back, so that the HTTP parser's memory is
/// freed. Not cancel safe: dropping the future closes the connection.
///
/// # Errors
/// The HTTP connection failed before the upgrade was answered, or the HTTP server gives no connection away; the log says
/// the latter, as it is the same for every client and none of them can tell.
pub async fn upgraded(upgrading: Upgrading) -> hyper::Result<Upgraded> {
    let Upgrading { upgrade, is_http2, released } = upgrading;
    let upgraded = upgrade.await.inspect_err(|error| {
        if error.is_user() {
            NO_UPGRADES.pass(|suppressed| {
                let error = Chain(error);
                tracing::warn!(
                    %error,
                    suppressed,
                    "the HTTP server does not give a connection to its WebSocket: serve it by `with_upgrades` of hyper, \
                     or `serve_connection_with_upgrades` of hyper-util"
                );
            });
        }
    })?;
    if is_http2 {
        let stream = Stream::Http2(Box::new(Http2Stream::new(upgraded, released)));
        return Ok(Upgraded { stream, leftover: Bytes::new() });
    }
    // Under our own listener.
    let upgraded = match upgraded.downcast::<ServerStream>() {
        Ok(parts) => {
            return Ok(Upgraded { stream: parts.io.into_inner(), leftover: parts.read_buf });
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return Ok(Upgraded { stream: Stream::Tcp(parts.io.into_inner()), leftover: parts.read_buf });
        }
        Err(upgraded) => upgraded,
    };
    // `axum::serve` and others let hyper-util find out the version of HTTP, which puts a layer of its own around.
    Ok(match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Upgraded { stream: Stream::Tcp(parts.io.into_inner()), leftover: parts.read_buf },
        Err(upgraded) => {
            Upgraded { stream: Stream::Opaque(Box::new(TokioIo::new(upgraded))), leftover: Bytes::new() }
        }
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Opaque(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Http2(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => end_without_notice(Pin::new(stream).poll_read(cx, buffer)),
            Self::Io(AnyStream(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// A peer that ends an encrypted stream without saying so has ended it. rustls takes it for an attack, as somebody else
/// could have cut it; here every message says how long it is, and a connection says when it ends.
#[cfg(feature = "tls")]
fn end_without_notice(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => read,
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Opaque(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Http2(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Io(AnyStream(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Opaque(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Http2(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Io(AnyStream(stream)) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Opaque(stream) => stream.is_write_vectored(),
            Self::Http2(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Io(AnyStream(stream)) => stream.is_write_vectored(),
            Self::Gone => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Opaque(stream) => Pin::new(stream).poll_flush(cx),
            Self::Http2(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Io(AnyStream(stream)) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Opaque(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Http2(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Io(AnyStream(stream)) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
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
    async fn the_socket_is_taken_back_from_a_server_that_finds_out_the_version_of_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (taken, mut takes) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (upgrade, taken) = (Upgrading::of_request(&mut request), taken.clone());
            tokio::spawn(async move { taken.send(upgraded(upgrade).await.unwrap()).unwrap() });
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.unwrap();
        });

        client.write_all(b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbehind").await.unwrap();
        let Upgraded { stream, leftover } = takes.recv().await.unwrap();
        assert!(matches!(stream, Stream::Tcp(_)), "{stream:?}");
        let mut behind = leftover.to_vec();
        let mut stream = stream;
        while behind.len() < 6 {
            let mut bytes = [0; 6];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the bytes behind the request are lost");
            behind.extend_from_slice(&bytes[..read]);
        }
        assert_eq!(behind, b"behind");
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
    async fn a_server_that_gives_no_connection_away_is_told_so_in_the_log() {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).with_ansi(false).finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let (mut client, stream) = tokio::io::duplex(1024);
        let (failed, mut fails) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (upgrade, failed) = (Upgrading::of_request(&mut request), failed.clone());
            tokio::spawn(async move { failed.send(upgraded(upgrade).await.unwrap_err()).unwrap() });
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            async { Ok::<_, Infallible>(response) }
        });
        // And no `with_upgrades`.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        client.write_all(b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await.unwrap();
        assert!(fails.recv().await.unwrap().is_user());
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains(" WARN ") && log.contains("serve it by `with_upgrades`"), "{log}");
    }
}
