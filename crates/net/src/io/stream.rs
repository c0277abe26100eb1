//! The byte stream under a connection: opened by a client, or taken back from the HTTP server after an upgrade.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::TlsStream;

#[cfg(feature = "http2")]
use crate::http::Http2Stream;

/// A byte stream that a connection owns.
#[derive(Debug)]
pub enum Stream {
    /// A plain TCP socket, without a layer or a buffer in between.
    Tcp(TcpStream),
    /// An upgraded stream whose type hyper hides, for instance from a third-party server with its own transport. It
    /// costs hyper's rewind buffer, and a virtual call for each read and write.
    HyperUpgraded(Box<TokioIo<hyper::upgrade::Upgraded>>),
    /// One stream of an HTTP/2 connection. All bytes pass through a task of hyper, and written bytes are copied once
    /// more.
    #[cfg(feature = "http2")]
    Http2(Box<Http2Stream>),
    /// A TLS stream on a stream of any kind. The state of rustls takes some kilobytes in addition.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<Stream>>),
    /// Any stream supplied by the program. It costs a virtual call for each read and write.
    Boxed(BoxedIo),
    /// A closed connection. The stream has been taken out, so its descriptor can be released.
    Closed,
}

/// A boxed stream of any type.
pub struct BoxedIo(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

impl fmt::Debug for BoxedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedIo")
    }
}

impl Stream {
    /// Returns whether the TLS handshake has negotiated HTTP/2.
    #[cfg(feature = "http2")]
    pub(crate) fn is_http2_negotiated(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(crate::tls::HTTP_2),
            _ => false,
        }
    }

    /// Boxes a stream supplied by the program.
    pub fn boxed(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Boxed(BoxedIo(Box::new(stream)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::HyperUpgraded(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => ignore_missing_close_notify(Pin::new(stream).poll_read(cx, buffer)),
            Self::Boxed(BoxedIo(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// Treats a TLS stream that ends without close_notify as a normal end. rustls reports an error, because an attacker
/// could have truncated the stream. Here that is harmless: every message has a length, and a connection has a close
/// frame.
#[cfg(feature = "tls")]
fn ignore_missing_close_notify(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => read,
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::HyperUpgraded(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Boxed(BoxedIo(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::HyperUpgraded(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Boxed(BoxedIo(stream)) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::HyperUpgraded(stream) => stream.is_write_vectored(),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Boxed(BoxedIo(stream)) => stream.is_write_vectored(),
            Self::Closed => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::HyperUpgraded(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Boxed(BoxedIo(stream)) => Pin::new(stream).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::HyperUpgraded(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Boxed(BoxedIo(stream)) => Pin::new(stream).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
