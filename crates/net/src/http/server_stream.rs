//! The stream under the HTTP server. Its writes time out if the peer reads nothing, and it closes such that the last
//! response arrives.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;

use crate::http::http1_state::Http1State;
use crate::http::request_filter::RequestFilter;
use crate::io::{LINGER, MAX_CLOSING_READS_PER_POLL, PeerTimeout, ReadBuffer, Stream};
use crate::memory_budget::MEMORY_BUDGET_EXCEEDED;
use crate::spawn_boxed::spawn_boxed;

/// The first bytes of an HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose writes fail after they have waited for `write_timeout`.
///
/// hyper has no timeout for writes. Suppose that a client does not read a response of megabytes, but its machine still
/// acknowledges packets. Without this timeout, the response would stay in memory even after its session has ended.
///
/// The stream is closed as RFC 9112 §9.6 describes. The server may refuse a request before its body has arrived. If a
/// socket is dropped with unread bytes, the kernel sends a reset, and the reset may overtake the refusal.
pub(crate) struct ServerStream {
    /// `Some` until `into_inner` or the drop takes it.
    socket: Option<TokioIo<Stream>>,
    write_timeout: Duration,
    /// Runs while a write waits for the peer.
    write_timer: Option<Pin<Box<PeerTimeout>>>,
    /// Runs from the moment that our end is shut down.
    linger: Option<Linger>,
    #[cfg(feature = "http2")]
    has_written: bool,
    preface: PrefaceState,
    /// Filters the requests of an HTTP/1.1 connection.
    filter: Option<(RequestFilter, Arc<Http1State>)>,
    /// Bytes read from the socket that the filter has not passed yet. No more are read before it has.
    held: Bytes,
}

impl ServerStream {
    pub(crate) fn new(socket: Stream, limit: Duration) -> Self {
        Self {
            socket: Some(TokioIo::new(socket)),
            write_timeout: limit,
            write_timer: None,
            linger: None,
            #[cfg(feature = "http2")]
            has_written: false,
            preface: PrefaceState::Reading(Vec::new()),
            filter: None,
            held: Bytes::new(),
        }
    }

    /// Percent-encodes bytes in the queries of requests that hyper would refuse. The service above hyper must set
    /// `parsed` in `state`. If the connection begins with the HTTP/2 preface, all bytes pass unchanged.
    pub(crate) fn filter_requests(mut self, state: Arc<Http1State>) -> Self {
        self.filter = Some((RequestFilter::new(), state));
        self
    }

    /// Returns whether anything was written to this stream.
    #[cfg(feature = "http2")]
    pub(crate) fn has_written(&self) -> bool {
        self.has_written
    }

    /// Returns the stream below, and bytes that were read from it and that hyper has not seen.
    pub(crate) fn into_inner(mut self) -> (Stream, Bytes) {
        let held = std::mem::take(&mut self.held);
        (self.socket.take().expect("`into_inner` takes the stream as well").into_inner(), held)
    }

    fn socket(&mut self) -> Pin<&mut TokioIo<Stream>> {
        Pin::new(self.socket.as_mut().expect("the socket is there until `into_inner` takes it"))
    }

    fn poll_with_write_timeout<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TokioIo<Stream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(self.socket(), cx);
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        if let Some((_, state)) = &self.filter
            && !state.report_unread(cx)
        {
            return Poll::Ready(Err(io::Error::other(MEMORY_BUDGET_EXCEEDED)));
        }
        let limit = self.write_timeout;
        let waiting = self.write_timer.get_or_insert_with(|| Box::pin(PeerTimeout::new(limit)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Collects the first bytes of the peer while they may be the start of the HTTP/2 preface (RFC 9113 §3.4). The HTTP/1.1
/// parser detects the whole preface, but rejects a part of it. Therefore the parser gets the preface in one piece.
enum PrefaceState {
    /// The bytes read so far are a prefix of the preface.
    Reading(Vec<u8>),
    Done,
}

impl ServerStream {
    fn poll_preface(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let PrefaceState::Reading(prefix) = &mut self.preface else { return Poll::Ready(Ok(())) };
        let socket = self.socket.as_mut().expect("the socket is there until `into_inner` takes it");
        loop {
            let mut thread = ReadBuffer::take();
            let capacity = (buffer.remaining() - prefix.len()).min(thread.len());
            let mut read = ReadBuf::new(&mut thread[..capacity]);
            ready!(Pin::new(socket.inner_mut()).poll_read(cx, &mut read))?;
            let read = read.filled();
            let seen = prefix.len() + read.len();
            let may_be_preface = !read.is_empty()
                && seen < PREFACE.len()
                && PREFACE.starts_with(prefix)
                && PREFACE[prefix.len()..].starts_with(read);
            if may_be_preface {
                prefix.extend_from_slice(read);
                continue;
            }
            let first = [prefix, read].concat();
            self.preface = PrefaceState::Done;
            if first.starts_with(PREFACE) {
                self.filter = None;
            }
            self.pass(&first, buffer);
            return Poll::Ready(Ok(()));
        }
    }
}

impl ServerStream {
    fn poll_filtered(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((filter, state)) = &mut self.filter {
            filter.continue_after(&state.parsed);
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let passed = self.filter_into(&held, buffer);
            self.held = held.slice(passed..);
            return Poll::Ready(Ok(()));
        }
        let mut thread = ReadBuffer::take();
        let capacity = buffer.remaining().min(thread.len());
        let mut read = ReadBuf::new(&mut thread[..capacity]);
        let socket = self.socket.as_mut().expect("the socket is there until `into_inner` takes it");
        ready!(Pin::new(socket.inner_mut()).poll_read(cx, &mut read))?;
        self.pass(read.filled(), buffer);
        Poll::Ready(Ok(()))
    }

    /// Passes bytes of the socket to hyper, and holds those that hyper must not have yet.
    fn pass(&mut self, bytes: &[u8], buffer: &mut ReadBufCursor<'_>) {
        let passed = self.filter_into(bytes, buffer);
        self.held = Bytes::copy_from_slice(&bytes[passed..]);
    }

    fn filter_into(&mut self, bytes: &[u8], buffer: &mut ReadBufCursor<'_>) -> usize {
        let capacity = buffer.remaining();
        match &mut self.filter {
            Some((filter, _)) => filter.filter(bytes, capacity, |bytes| buffer.put_slice(bytes)),
            None => {
                let length = bytes.len().min(capacity);
                buffer.put_slice(&bytes[..length]);
                length
            }
        }
    }

    fn passes_unchanged(&self) -> bool {
        self.held.is_empty() && self.filter.as_ref().is_none_or(|(filter, _)| filter.has_ended())
    }
}

impl Drop for ServerStream {
    /// Closes the stream in a task of its own. hyper does not shut down a connection after an error, or after the
    /// server has refused an upgrade in the last request. The task ends within a second.
    fn drop(&mut self) {
        if self.linger.is_none()
            && let Some(socket) = self.socket.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let (mut socket, mut lingering) = (socket.into_inner(), Linger::new());
            let closing = poll_fn(move |cx| {
                // TLS sends close_notify here. That blocks if the peer reads nothing.
                if Pin::new(&mut socket).poll_shutdown(cx).is_pending() {
                    return lingering.poll_timeout(cx);
                }
                lingering.poll(&mut socket, cx)
            });
            spawn_boxed(&runtime, closing);
        }
    }
}

/// Reads and discards what the peer still sends, until the peer shuts down its end or [`LINGER`] is over.
struct Linger(Pin<Box<PeerTimeout>>);

impl Linger {
    fn new() -> Self {
        Self(Box::pin(PeerTimeout::new(LINGER)))
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }

    fn poll(&mut self, socket: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_timeout(cx).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..MAX_CLOSING_READS_PER_POLL {
            let mut buffer = ReadBuffer::take();
            let mut read = ReadBuf::new(&mut buffer);
            let polled = ready!(Pin::new(&mut *socket).poll_read(cx, &mut read));
            if polled.is_err() || read.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        // A peer that keeps sending must not block the other tasks of the thread.
        crate::io::defer_wake(cx);
        Poll::Pending
    }
}

impl Read for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let PrefaceState::Reading(_) = self.preface {
            return self.poll_preface(cx, &mut buffer);
        }
        if !self.passes_unchanged() {
            return self.poll_filtered(cx, &mut buffer);
        }
        self.socket().poll_read(cx, buffer)
    }
}

impl Write for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "http2")]
        {
            self.has_written = true;
        }
        self.poll_with_write_timeout(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        #[cfg(feature = "http2")]
        {
            self.has_written = true;
        }
        self.poll_with_write_timeout(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_some_and(Write::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TLS stream may hold some kilobytes that the peer has not read.
        self.poll_with_write_timeout(cx, Write::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_with_write_timeout(cx, Write::poll_shutdown))?;
        }
        let this = self.get_mut();
        let Some(socket) = &mut this.socket else { return Poll::Ready(Ok(())) };
        this.linger.get_or_insert_with(Linger::new).poll(socket.inner_mut(), cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use hyper::body::Incoming;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::{mpsc, oneshot};
    use tower::{Service, service_fn};

    use super::*;
    use crate::http::listener::HttpService;
    use crate::{HttpLimits, Listener};

    /// More bytes than the kernel buffers. Sends a signal when freed.
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

    /// Responds to every request with megabytes.
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

    /// Responds to every request with 400, without reading its body.
    fn refuse(_: http::Request<Incoming>) -> std::future::Ready<Result<http::Response<String>, Infallible>> {
        let response = http::Response::builder().status(400).header("connection", "close");
        std::future::ready(Ok(response.body("no".to_owned()).unwrap()))
    }

    /// A stream whose peer reads nothing, not even the shutdown. Dropping it drops the sender, which tells the test.
    struct Stuck(#[allow(dead_code, reason = "held for its drop")] oneshot::Sender<()>);

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn stuck(limit: Duration) -> (ServerStream, oneshot::Receiver<()>) {
        let (sender, dropped) = oneshot::channel();
        (ServerStream::new(Stream::boxed(Stuck(sender)), limit), dropped)
    }

    async fn connect(service: impl HttpService, limits: HttpLimits) -> TcpStream {
        let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener.serve(service, std::future::pending()));
        TcpStream::connect(address).await.unwrap()
    }

    async fn serve(write_timeout: Duration) -> (TcpStream, mpsc::UnboundedReceiver<()>) {
        let (sender, freed) = mpsc::unbounded_channel();
        let limits = HttpLimits { write_timeout, ..HttpLimits::default() };
        let mut client = connect(Generous(sender), limits).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        (client, freed)
    }

    #[tokio::test]
    async fn a_response_that_is_not_read_times_out() {
        let (client, mut freed) = serve(Duration::from_millis(100)).await;
        freed.recv().await.unwrap();
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn every_step_times_out_if_the_peer_reads_nothing() {
        type Step = fn(&mut ServerStream, &mut Context<'_>) -> Poll<io::Result<()>>;
        let steps: [(&str, Step); 3] = [
            ("write", |stream, cx| Pin::new(stream).poll_write(cx, b"response").map_ok(drop)),
            ("flush", |stream, cx| Pin::new(stream).poll_flush(cx)),
            ("shutdown", |stream, cx| Pin::new(stream).poll_shutdown(cx)),
        ];
        for (name, step) in steps {
            let (mut stream, _dropped) = stuck(Duration::from_secs(30));
            let begin = tokio::time::Instant::now();
            let stepping = poll_fn(|cx| step(&mut stream, cx));
            let stepped = tokio::time::timeout(Duration::from_secs(60), stepping).await.expect(name);
            let error = stepped.expect_err(name);
            assert_eq!((error.kind(), begin.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_shutdown_blocks_is_dropped_after_a_second() {
        let (stream, dropped) = stuck(Duration::from_secs(30));
        drop(stream);
        let dropped = tokio::time::timeout(LINGER * 2, dropped).await;
        assert!(dropped.expect("the stream was not dropped").is_err());
    }

    #[tokio::test]
    async fn a_response_that_is_read_arrives_complete() {
        let (mut client, _freed) = serve(Duration::from_secs(10)).await;
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert!(read.len() > SIZE, "{}", read.len());
    }

    #[tokio::test]
    async fn a_refusal_arrives_although_its_client_is_still_sending() {
        // hyper ends a request with an upgrade header differently.
        let upgrade = "Connection: upgrade\r\nUpgrade: nothing\r\n";
        for (body, headers) in [(5, ""), (1_000_000, ""), (5, upgrade), (1_000_000, upgrade)] {
            let mut client = connect(service_fn(refuse), HttpLimits::default()).await;
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {body}\r\n\r\n");
            client.write_all(&[head.as_bytes(), &vec![0; body]].concat()).await.unwrap();
            let mut response = String::new();
            client
                .read_to_string(&mut response)
                .await
                .unwrap_or_else(|error| panic!("{body} bytes: {error}"));
            assert!(response.starts_with("HTTP/1.1 400 ") && response.ends_with("\r\n\r\nno"), "{response}");
            // The writes succeed, so no reset was sent that could overtake the response on a slower network.
            for _ in 0..2 {
                client.write_all(b"the rest").await.unwrap_or_else(|error| panic!("{body} bytes: {error}"));
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_keeps_sending_after_a_refusal_is_disconnected_in_time() {
        let mut client = connect(service_fn(refuse), HttpLimits::default()).await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        let since = std::time::Instant::now();
        while client.write_all(&[0; 1_000]).await.is_ok() {
            assert!(since.elapsed() < LINGER * 10, "the server still reads");
        }
    }
}
