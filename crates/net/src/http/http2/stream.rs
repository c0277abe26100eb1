//! The byte stream of a WebSocket over HTTP/2.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::MAX_DATA_FRAME_SIZE;

/// Tells the writer task of a stream that our end was dropped. It is an extension of a CONNECT request.
#[derive(Debug, Clone)]
pub(crate) struct StreamDropSignal(pub(super) watch::Sender<bool>);

/// An HTTP/2 stream opened by an extended CONNECT (RFC 8441). Shutting it down sends END_STREAM. A reset by the peer
/// ends the stream; the reset code CANCEL counts as a normal end.
///
/// The flow-control window of the stream provides the backpressure. Up to 130 KiB of written bytes that do not fit into
/// the window are buffered in hyper.
pub struct Http2Stream {
    stream: TokioIo<Upgraded>,
    drop_signal: Option<StreamDropSignal>,
}

impl Http2Stream {
    pub(crate) fn new(stream: Upgraded, drop_signal: Option<StreamDropSignal>) -> Self {
        Self { stream: TokioIo::new(stream), drop_signal }
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        if let Some(StreamDropSignal(released)) = &self.drop_signal {
            released.send_replace(true);
        }
    }
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http2Stream")
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Http2Stream {
    /// Writes at most one DATA frame at a time. hyper would accept any number of bytes, even if the window is full.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = bytes.len().min(MAX_DATA_FRAME_SIZE);
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..piece])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
