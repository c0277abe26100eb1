//! The stream of a WebSocket over HTTP/2.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::MAX_DATA_FRAME_SIZE;

/// How the task that writes for a stream learns that our end of it is gone. An extension of a CONNECT.
#[derive(Debug, Clone)]
pub(crate) struct StreamDropSignal(pub(super) watch::Sender<bool>);

/// A stream of HTTP/2 that an extended CONNECT has opened (RFC 8441): to be shut is END_STREAM, and a reset by the peer
/// ends it, by CANCEL as if it had been shut.
///
/// Its window is the back-pressure. What is written and has no room in it yet, at most 130 KiB, is with hyper.
pub struct Http2Stream {
    stream: TokioIo<Upgraded>,
    drop_signal: Option<StreamDropSignal>,
}

impl Http2Stream {
    pub(crate) fn new(stream: Upgraded, released: Option<StreamDropSignal>) -> Self {
        Self { stream: TokioIo::new(stream), drop_signal: released }
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
    /// In pieces: hyper would take all that waits, whatever the window.
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
