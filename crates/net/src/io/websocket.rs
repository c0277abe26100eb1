//! A WebSocket machine on a byte stream.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::copy::to_vec;
use ws_proto::{CloseFrame, Connection, DeflateAgreement, Event, Input, Limits, ProtocolError, Role, Time};

use super::mask_keys::mask_key;
use super::read_buffer::{DEFAULT_READ_SIZE, MAX_READ_SIZE, ReadBuffer};
use super::stream::Stream;
use super::write_queue::WriteQueue;

/// How long the stream is still read after our end of it is shut, so that a peer which is sending gets our close frame
/// and not a reset.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Events that are decoded in one call. A read can hold eleven thousand; handled in one go, a few peers that send
/// nothing but such reads would keep all others of the thread waiting for seconds.
const MAX_EVENTS_PER_POLL: usize = 128;

/// Reads on the way to the end, before other tasks of the thread get their turn.
pub const MAX_CLOSING_READS_PER_POLL: usize = 4;

/// What is still to come of a frame is long from here on. Below, one more read would cost more than a copy does.
const LONG_FRAME_THRESHOLD: usize = 16 * 1024;

/// How much is read at once with the rest of a long frame: a few short messages that follow it take no read of their own. Of
/// another long one it is the beginning, and enough of it to get room for 64 KiB at once: a little more than a sixteenth.
const READ_AHEAD_AFTER_LONG_FRAME: usize = 5 * 1024;

/// Above this many waiting bytes no pong is added to them.
const MAX_BUFFERED_FOR_PONG: usize = 64 * 1024;

/// One WebSocket connection: the stream, the machine, and what is still to be written.
///
/// Hot path. It does no waiting of its own: the task that owns it polls it.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    stream: S,
    machine: Connection,
    queue: WriteQueue,
    /// What was read and is not decoded yet, from `backlog_start` on: bytes that came behind the upgraded request, or the
    /// rest of a read that [`poll_next`](Self::poll_next) has begun. It holds memory only while there is a rest.
    backlog: Vec<u8>,
    backlog_start: usize,
    close_state: CloseState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseState {
    Open,
    /// The peer may still send until then. A server has shut its end; a client does so afterwards.
    Lingering {
        until: Time,
    },
    Closed,
}

/// Why nothing more is to be read.
#[derive(Debug)]
pub enum StreamEnd {
    /// The peer has sent a close frame. The reply to it leaves behind what is queued.
    Closed(Option<CloseFrame>),
    /// The stream ended without a close frame.
    Eof,
    /// The peer broke the protocol. The close frame that tells it so leaves behind what is queued.
    Protocol(ProtocolError),
    /// The stream failed.
    Io(io::Error),
}

impl WebSocketStream<Stream> {
    /// Gives the stream away, to be dropped, and frees what was read or was to be written: the connection is over, whoever
    /// still holds this. A message that was half there goes too: a peer could leave one behind with each connection.
    pub fn take_stream(&mut self) -> Stream {
        let _ = self.machine.handle_eof();
        self.queue.clear();
        self.backlog = Vec::new();
        self.backlog_start = 0;
        self.close_state = CloseState::Closed;
        std::mem::replace(&mut self.stream, Stream::Closed)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// The server's end of an upgraded connection.
    pub fn server(stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self::new(Role::Server, stream, leftover, limits)
    }

    /// The client's end. What is queued has to be masked, each frame with a [`mask_key`](Self::mask_key) of its own.
    pub fn client(stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self::new(Role::Client, stream, leftover, limits)
    }

    fn new(role: Role, stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self {
            stream,
            machine: Connection::new(role, limits),
            queue: WriteQueue::new(),
            // An empty view would still hold the buffer of the HTTP server.
            backlog: if leftover.is_empty() { Vec::new() } else { leftover.into() },
            backlog_start: 0,
            close_state: CloseState::Open,
        }
    }

    /// The same connection with permessage-deflate for what is received. What is sent is compressed by whoever queues it.
    #[must_use]
    pub fn with_deflate(mut self, agreement: &DeflateAgreement) -> Self {
        self.machine = self.machine.with_deflate(agreement);
        self
    }

    /// The same connection for an owner that keeps what it receives, see [`Connection::with_owned_long_messages`].
    #[must_use]
    pub fn with_owned_long_messages(mut self) -> Self {
        self.machine = self.machine.with_owned_long_messages();
        self
    }

    /// Reads once and hands each event to `each`, until it breaks. Ready when something was read, so call it again
    /// until it is pending; but when [`has_backlog`](Self::has_backlog) says so, let other tasks of the thread have
    /// their turn first. The rest of a read behind a break, and behind so many events that handling more of them would
    /// keep others waiting, stays for the next call.
    ///
    /// # Errors
    /// When the connection has ended. What `each` was given before counts.
    pub fn poll_read(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Event<'_>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), StreamEnd>> {
        self.poll_next(|| now, cx, |event, cx| each(event, cx).is_break().then_some(())).map_ok(|_| ())
    }

    /// Decodes up to the first event that `pick` makes something of, in what the call before has left or else in one
    /// read. `None` when nothing was picked, so call it again until it is pending; as above, not at once while there
    /// is a backlog.
    ///
    /// For a caller that takes one message at a time: the rest of the read is copied once, then decoded in place by
    /// the calls that follow, and freed behind the last of them. `arrived` is asked once there is something to decode, and says
    /// when that came: for a backlog, the time of its read, or the true one if it
    /// [`is_control_rate_high`](Self::is_control_rate_high).
    ///
    /// # Errors
    /// When the connection has ended. All that was picked before counts.
    pub fn poll_next<T>(
        &mut self,
        arrived: impl FnOnce() -> Time,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>, &mut Context<'_>) -> Option<T>,
    ) -> Poll<Result<Option<T>, StreamEnd>> {
        if self.has_backlog() {
            let mut backlog = std::mem::take(&mut self.backlog);
            let mut input = Input::new(&mut backlog[self.backlog_start..]);
            let picked = self.decode(&mut input, arrived(), |event| pick(event, cx));
            let left = input.len();
            if left > 0 && picked.is_ok() {
                self.backlog_start = backlog.len() - left;
                self.backlog = backlog;
            } else {
                self.backlog_start = 0;
            }
            return Poll::Ready(picked);
        }
        let mut buffer = ReadBuffer::take();
        let mut read = ReadBuf::new(&mut buffer[..self.next_read_size()]);
        ready!(self.poll_fill(&mut read, cx))?;
        let mut input = Input::new(read.filled_mut());
        let picked = self.decode(&mut input, arrived(), |event| pick(event, cx));
        if picked.is_ok() && !input.is_empty() {
            self.backlog = to_vec(input.into_rest());
        }
        Poll::Ready(picked)
    }

    /// How much to read at once. While a long message is under way, little more than its end: what is read behind that is
    /// copied twice.
    #[inline]
    fn next_read_size(&self) -> usize {
        match self.machine.frame_remaining() {
            0..LONG_FRAME_THRESHOLD => DEFAULT_READ_SIZE,
            long => MAX_READ_SIZE.min(long + READ_AHEAD_AFTER_LONG_FRAME),
        }
    }

    /// Whether something is read and not decoded, so that the next call of [`poll_next`](Self::poll_next) reads
    /// nothing.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty() || self.machine.has_chunk()
    }

    /// See [`Connection::is_control_rate_high`].
    #[inline]
    #[must_use]
    pub fn is_control_rate_high(&self, now: Time) -> bool {
        self.machine.is_control_rate_high(now)
    }

    /// See [`Connection::is_inflating`]: let other tasks of the thread have their turn between two reads.
    #[inline]
    #[must_use]
    pub fn is_inflating(&self) -> bool {
        self.machine.is_inflating()
    }

    /// Whether messages are handed out as they come, see [`Connection::receive_in_chunks`]. What is left of one that was
    /// begun so before is dropped.
    pub fn receive_in_chunks(&mut self, in_chunks: bool) {
        self.machine.skip_chunks();
        self.machine.receive_in_chunks(in_chunks);
    }

    /// See [`Connection::limit_chunks`].
    pub fn set_max_chunked_bytes(&mut self, bytes: u64) {
        self.machine.limit_chunks(bytes);
    }

    fn poll_fill(&mut self, read: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<Result<(), StreamEnd>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, read)) {
            Ok(()) if read.filled().is_empty() => Err(StreamEnd::Eof),
            Ok(()) => Ok(()),
            Err(error) => Err(StreamEnd::Io(error)),
        })
    }

    fn decode<T>(
        &mut self,
        input: &mut Input<'_>,
        now: Time,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Result<Option<T>, StreamEnd> {
        let mut events = 0;
        let result = loop {
            if events == MAX_EVENTS_PER_POLL {
                break Ok(None);
            }
            events += 1;
            match self.machine.decode(input, now) {
                Ok(Some(Event::Close(frame))) => break Err(StreamEnd::Closed(frame)),
                Ok(Some(event)) => {
                    if let Event::Ping(_) = event {
                        // Each ping of a read gets its pong. The RFC (5.5.3) would let us answer the last one only,
                        // which is what a peer that does not read gets; but peers count.
                        self.queue_control();
                    }
                    if let Some(picked) = pick(event) {
                        break Ok(Some(picked));
                    }
                }
                Ok(None) => break Ok(None),
                Err(error) => break Err(StreamEnd::Protocol(error)),
            }
        };
        if result.is_ok() {
            // The Close that ends it comes later, from the flush: what the owner still has to say to the messages
            // before it must not follow a Close (§5.5.1).
            self.queue_control();
        }
        result
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// What waits to be written. Frames are pushed here in wire form.
    pub fn queue_mut(&mut self) -> &mut WriteQueue {
        &mut self.queue
    }

    /// Whether what is queued has to be masked: a client's frames are.
    #[inline]
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.machine.role() == Role::Client
    }

    /// The key for the next frame that is queued, new in each call; `None` for a server, whose frames are not masked.
    #[inline]
    #[must_use]
    pub fn mask_key(&self) -> Option<[u8; 4]> {
        match self.machine.role() {
            Role::Server => None,
            Role::Client => Some(mask_key()),
        }
    }

    /// Whether frames may still be sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.machine.can_send()
    }

    /// Writes what waits. Ready when nothing waits any more.
    ///
    /// # Errors
    /// The stream failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.queue.poll_write(&mut self.stream, cx))?;
            self.queue_control();
            if self.queue.is_empty() {
                // A stream that encrypts may hold the end of what it has taken. On TCP this does nothing.
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
        }
    }

    /// Queues an empty Ping.
    pub fn ping(&mut self) {
        // An empty payload is never too long.
        let _ = self.machine.ping(&[]);
        self.queue_control();
    }

    /// See [`Connection::restart_close_timeout`].
    pub fn restart_close_timeout(&mut self, now: Time) {
        self.machine.restart_close_timeout(now);
    }

    /// Starts the close handshake. A second call changes nothing.
    pub fn close(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.machine.close(frame, now);
        self.queue_control();
    }

    /// Drives the end: what waits is written, the peer's close frame awaited as long as the machine says, our end
    /// shut, the rest of the peer's bytes read and dropped for a moment. Ready when the stream may be dropped.
    ///
    /// A client gives the server that moment to shut its end first: who does so keeps the connection in mind for minutes
    /// (TIME_WAIT), and that harms a server less (RFC 6455 §7.1.1).
    pub fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_CLOSING_READS_PER_POLL {
            match self.close_state {
                CloseState::Closed => return Poll::Ready(()),
                CloseState::Open => {
                    if self.machine.poll_timeout().is_some_and(|deadline| deadline <= now) {
                        // The peer neither reads nor answers.
                        self.close_state = CloseState::Closed;
                    } else if ready!(self.poll_flush(cx)).is_err() {
                        self.close_state = CloseState::Closed;
                    } else if self.machine.is_closed() {
                        if self.machine.role() == Role::Server {
                            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                        }
                        self.close_state = CloseState::Lingering { until: now + LINGER };
                    } else {
                        match ready!(self.poll_read(now, cx, |_, _| ControlFlow::Continue(()))) {
                            Ok(()) | Err(StreamEnd::Closed(_) | StreamEnd::Protocol(_)) => {}
                            Err(StreamEnd::Eof | StreamEnd::Io(_)) => self.close_state = CloseState::Closed,
                        }
                    }
                }
                CloseState::Lingering { until } => {
                    if until > now && ready!(self.poll_discard(cx)) {
                        continue;
                    }
                    if self.machine.role() == Role::Client {
                        // A stream that cannot be shut now is dropped all the same.
                        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    }
                    self.close_state = CloseState::Closed;
                }
            }
        }
        // A peer that goes on sending does not keep the others waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and drops it; whether there was something.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut buffer = ReadBuffer::take();
        let mut read = ReadBuf::new(&mut buffer);
        let polled = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
        Poll::Ready(polled.is_ok() && !read.filled().is_empty())
    }

    /// When the machine or the end of the connection wants to be polled although nothing arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.close_state {
            CloseState::Lingering { until } => Some(until),
            CloseState::Open => self.machine.poll_timeout(),
            CloseState::Closed => None,
        }
    }

    /// Queues what the machine owes the peer: pongs and close frames. Behind a peer that does not read, pongs stay
    /// with the machine, which keeps one: otherwise pings that nobody reads the answers to would fill our memory.
    #[inline]
    fn queue_control(&mut self) {
        if self.machine.wants_transmit() {
            self.queue_pending_control();
        }
    }

    /// Whether a pong or a close frame waits for room in the queue.
    #[inline]
    #[must_use]
    pub fn has_pending_control(&self) -> bool {
        self.machine.wants_transmit()
    }

    #[cold]
    fn queue_pending_control(&mut self) {
        while (self.queue.len() < MAX_BUFFERED_FOR_PONG || !self.machine.can_send())
            && let Some(control) = self.machine.poll_transmit()
        {
            let mask = self.mask_key();
            self.queue.push_with(|wire| control.encode_into(wire, mask));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_read_full_of_messages_is_handled_in_pieces_and_none_is_lost() {
        const MESSAGES: usize = 1_000;
        let (server, mut client) = tokio::io::duplex(1024 * 1024);
        let mut wire = Vec::new();
        for number in 0..MESSAGES {
            ws_proto::encode_frame(
                ws_proto::Opcode::Text,
                number.to_string().as_bytes(),
                Some([1, 2, 3, 4]),
                &mut wire,
            );
        }
        client.write_all(&wire).await.unwrap();
        let mut stream = WebSocketStream::server(server, Bytes::new(), &Limits::default());
        let mut texts = Vec::new();
        while texts.len() < MESSAGES {
            let before = texts.len();
            let read = poll_fn(|cx| {
                stream.poll_read(Time::ZERO, cx, |event, _| {
                    if let Event::Text(text) = event {
                        texts.push(text.into_owned());
                    }
                    ControlFlow::Continue(())
                })
            });
            read.await.unwrap();
            assert!(texts.len() - before <= MAX_EVENTS_PER_POLL, "{} at once", texts.len() - before);
        }
        assert!((0..MESSAGES).map(|number| number.to_string()).eq(texts));
        assert!(!stream.has_backlog());
    }

    #[tokio::test]
    async fn what_follows_a_long_message_is_not_read_far_ahead_and_none_of_it_is_lost() {
        const MESSAGES: usize = 5;
        let (server, mut client) = tokio::io::duplex(1024 * 1024);
        let mut wire = Vec::new();
        for number in 0..MESSAGES {
            let payload = [b'0' + number as u8; 65_536];
            ws_proto::encode_frame(ws_proto::Opcode::Binary, &payload, Some([1, 2, 3, 4]), &mut wire);
        }
        client.write_all(&wire).await.unwrap();
        let mut stream =
            WebSocketStream::server(server, Bytes::new(), &Limits::default()).with_owned_long_messages();
        let mut received = Vec::new();
        while received.len() < MESSAGES {
            let next = poll_fn(|cx| {
                stream.poll_next(
                    || Time::ZERO,
                    cx,
                    |event, _| match event {
                        Event::Binary(bytes) => Some(bytes.into_owned()),
                        _ => None,
                    },
                )
            });
            received.extend(next.await.unwrap());
            // The first read knows nothing yet, and is as long as can be.
            assert!(
                stream.backlog.len() - stream.backlog_start <= READ_AHEAD_AFTER_LONG_FRAME,
                "{}",
                stream.backlog.len()
            );
        }
        for (number, bytes) in received.iter().enumerate() {
            assert!(bytes[..] == [b'0' + number as u8; 65_536], "message {number}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_what_came_in_one_read_with_a_close_leaves_before_the_close() {
        const REQUEST: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
        const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 232];
        const UNKNOWN_OPCODE: [u8; 6] = [0x83, 0x80, 0, 0, 0, 0];
        for (end, reply) in [(&CLOSE[..], [0x88, 2, 3, 232]), (&UNKNOWN_OPCODE[..], [0x88, 2, 3, 234])] {
            let (server, mut client) = tokio::io::duplex(1024);
            client.write_all(&[&REQUEST, end].concat()).await.unwrap();
            let mut stream = WebSocketStream::server(server, Bytes::new(), &Limits::default());
            let ended =
                poll_fn(|cx| stream.poll_read(Time::ZERO, cx, |_, _| ControlFlow::Continue(()))).await;
            assert!(matches!(ended, Err(StreamEnd::Closed(_) | StreamEnd::Protocol(_))), "{ended:?}");

            stream.queue_mut().push_with(|wire| {
                ws_proto::encode_frame(ws_proto::Opcode::Text, b"ho", None, wire);
            });
            stream.close(None, Time::ZERO);
            poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
            drop(stream);
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, [&[0x81, 2, b'h', b'o'][..], &reply].concat());
        }
    }

    #[tokio::test]
    async fn every_frame_of_a_client_is_masked_with_a_key_of_its_own() {
        const PING: [u8; 4] = [0x89, 2, b'h', b'i'];
        let (client, mut server) = tokio::io::duplex(1024);
        server.write_all(&[PING, PING].concat()).await.unwrap();
        let mut stream = WebSocketStream::client(client, Bytes::new(), &Limits::default());
        poll_fn(|cx| stream.poll_read(Time::ZERO, cx, |_, _| ControlFlow::Continue(()))).await.unwrap();
        stream.ping();
        stream.close(None, Time::ZERO);
        poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
        let mut wire = [0; 8 + 8 + 6 + 6];
        server.read_exact(&mut wire).await.unwrap();
        let mut keys = Vec::new();
        let mut rest = &wire[..];
        for (opcode, payload) in [(0x8a, &b"hi"[..]), (0x8a, b"hi"), (0x89, b""), (0x88, b"")] {
            let (header, after) = rest.split_at(6);
            let (masked, after) = after.split_at(payload.len());
            assert_eq!(header[..2], [opcode, 0x80 | payload.len() as u8]);
            let key = [header[2], header[3], header[4], header[5]];
            let mut unmasked = masked.to_vec();
            ws_proto::mask(&mut unmasked, key);
            assert_eq!(unmasked, payload);
            keys.push(key);
            rest = after;
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 4, "{wire:02x?}");
    }

    #[tokio::test]
    async fn what_is_released_keeps_no_half_of_a_message() {
        let (server, mut client) = tokio::io::duplex(1024);
        let mut stream = WebSocketStream::server(Stream::boxed(server), Bytes::new(), &Limits::default());
        // The first half of a message of 200 bytes, then nothing more.
        client.write_all(&[0x82, 0xfe, 0, 200, 0, 0, 0, 0]).await.unwrap();
        client.write_all(&[0; 100]).await.unwrap();
        let half = poll_fn(|cx| stream.poll_next(|| Time::ZERO, cx, |_, _| None::<()>));
        assert!(half.await.is_ok());
        assert_eq!(stream.machine.frame_remaining(), 100);
        drop(stream.take_stream());
        assert_eq!(stream.machine.frame_remaining(), 0, "the machine still waits for the other half");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_lets_the_server_shut_first_and_waits_for_it_no_longer_than_a_second() {
        const CLOSE: [u8; 4] = [0x88, 2, 3, 232];
        for server_shuts in [true, false] {
            let (client, mut server) = tokio::io::duplex(1024);
            let mut stream = WebSocketStream::client(client, Bytes::new(), &Limits::default());
            server.write_all(&CLOSE).await.unwrap();
            let closing = tokio::spawn(async move {
                let begin = crate::now();
                let mut deadline = crate::DeadlineTimer::new();
                poll_fn(|cx| {
                    loop {
                        if stream.poll_close(crate::now(), cx).is_ready() {
                            return Poll::Ready(());
                        }
                        ready!(deadline.poll(stream.poll_timeout(), crate::now(), cx));
                    }
                })
                .await;
                crate::now().saturating_since(begin)
            });
            let mut reply = [0; 8];
            server.read_exact(&mut reply).await.unwrap();
            let mut more = [0];
            let shut = tokio::time::timeout(LINGER / 2, server.read(&mut more)).await;
            assert!(shut.is_err(), "the client has shut first");
            if server_shuts {
                server.shutdown().await.unwrap();
            }
            assert_eq!(server.read(&mut more).await.unwrap(), 0);
            assert_eq!(closing.await.unwrap() < LINGER, server_shuts);
        }
    }
}
