//! A stream whose first bytes were already read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::task::coop::poll_proceed;

use crate::http::server_stream::ServerStream;

/// The cost of one read in Tokio's coop budget, which is 128 per poll of a task. One read can hold a thousand frames,
/// and `h2` handles all of them. So after eight reads the task yields to the other tasks of its thread.
const READ_COOP_COST: usize = 16;

/// A byte stream that first returns the bytes already read from it. The HTTP/1.1 parser detects an HTTP/2 client only
/// after it has read the first line.
pub(crate) struct Rewind {
    prefix: Bytes,
    stream: ServerStream,
}

impl Rewind {
    pub(crate) fn new(read: Bytes, stream: ServerStream) -> Self {
        Self { prefix: read, stream }
    }
}

impl Read for Rewind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            for _ in 0..READ_COOP_COST {
                ready!(poll_proceed(cx)).made_progress();
            }
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            // An empty `Bytes` would still hold the buffer of the HTTP server.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Rewind {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
