//! The byte stream under a WebSocket, taken back from the HTTP server after the upgrade.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream that a connection owns.
#[derive(Debug)]
pub enum Stream {
    /// The TCP socket itself: no layer between, no memory beside it.
    Tcp(TcpStream),
    /// A stream whose type the HTTP server hides, for instance inside a foreign server with its own transport. It costs
    /// the server's rewind buffer and a virtual call for each read and write.
    Opaque(Box<TokioIo<hyper::upgrade::Upgraded>>),
}

/// An upgraded connection: its stream and the bytes that arrived behind the request.
#[derive(Debug)]
pub struct Upgraded {
    /// The stream.
    pub stream: Stream,
    /// Bytes that the HTTP server has read and that belong to the new protocol.
    pub leftover: Bytes,
}

/// Waits for the upgrade of an accepted request and takes the raw stream back, so that the HTTP parser's memory is
/// freed. Not cancel safe: dropping the future closes the connection.
///
/// # Errors
/// The HTTP connection failed before the upgrade was answered.
pub async fn upgraded(upgrade: OnUpgrade) -> hyper::Result<Upgraded> {
    let upgraded = upgrade.await?;
    Ok(match upgraded.downcast::<TokioIo<TcpStream>>() {
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
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Opaque(stream) => Pin::new(stream).poll_write(cx, bytes),
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
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Opaque(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Opaque(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Opaque(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
