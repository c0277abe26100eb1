//! The TCP socket under the HTTP server, which is given up when the peer takes nothing for too long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A TCP socket whose writes fail once they have waited for the limit.
///
/// hyper waits for ever: an answer of megabytes that its client does not read would outlive the session that it is
/// from, for as long as the client's machine says that it is there.
pub(crate) struct Patient {
    socket: TokioIo<TcpStream>,
    limit: Duration,
    /// Runs while the peer takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(crate) fn new(socket: TcpStream, limit: Duration) -> Self {
        Self { socket: TokioIo::new(socket), limit, waiting: None }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket.into_inner()
    }

    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TokioIo<TcpStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.socket), cx);
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.limited(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.limited(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use hyper::body::Incoming;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;
    use tower::Service;

    use super::*;
    use crate::{HttpLimits, Listener};

    /// More than the kernel takes. It tells when it is freed.
    struct Megabytes(Vec<u8>, mpsc::UnboundedSender<()>);

    impl AsRef<[u8]> for Megabytes {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Megabytes {
        fn drop(&mut self) {
            let _ = self.1.send(());
        }
    }

    struct Once(Option<Bytes>);

    impl Body for Once {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    const SIZE: usize = 64 << 20;

    /// Answers everything with megabytes.
    #[derive(Clone)]
    struct Generous(mpsc::UnboundedSender<()>);

    impl Service<http::Request<Incoming>> for Generous {
        type Response = http::Response<Once>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Incoming>) -> Self::Future {
            let bytes = Bytes::from_owner(Megabytes(vec![0; SIZE], self.0.clone()));
            std::future::ready(Ok(http::Response::new(Once(Some(bytes)))))
        }
    }

    async fn serve(write_timeout: Duration) -> (TcpStream, mpsc::UnboundedReceiver<()>) {
        let (sender, freed) = mpsc::unbounded_channel();
        let limits = HttpLimits { write_timeout, ..HttpLimits::default() };
        let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener.serve(Generous(sender), std::future::pending()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        (client, freed)
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (client, mut freed) = serve(Duration::from_millis(100)).await;
        freed.recv().await.unwrap();
        drop(client);
    }

    #[tokio::test]
    async fn an_answer_that_is_read_arrives_whole() {
        let (mut client, _freed) = serve(Duration::from_secs(10)).await;
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert!(read.len() > SIZE, "{}", read.len());
    }
}
