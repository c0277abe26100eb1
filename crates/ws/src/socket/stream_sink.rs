//! Implements [`Stream`] and [`Sink`] for a WebSocket and its halves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::CloseCode;

use crate::connection::Connection;
use crate::connection::flush_position::FlushPosition;
use crate::error::SinkError;
use crate::message::Message;
use crate::socket::{Receiver, Sender, WebSocket};

/// Yields the messages that [`recv`](WebSocket::recv) returns, and ends when `recv` returns `None`. The end of the
/// connection is not an item; [`close_cause`](WebSocket::close_cause) returns how it ended. If an API requires a stream
/// of `Result`, use `.map(Ok)`:
///
/// ```
/// use futures_util::StreamExt;
/// use tidewire_ws::{SinkError, WebSocket};
///
/// async fn echo(socket: WebSocket) -> Result<(), SinkError> {
///     let (sender, receiver) = socket.split();
///     receiver.map(Ok).forward(sender).await
/// }
/// ```
impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.get_mut().receiver_mut().poll_recv(cx)
    }
}

/// Behaves like the implementation for [`WebSocket`].
impl Stream for Receiver {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.get_mut().poll_recv(cx)
    }
}

/// The sink is ready while fewer than [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) bytes are
/// queued, and then accepts one message of any length. After 1 MiB of compressed messages, it first yields to other
/// tasks, as [`send`](WebSocket::send) does.
///
/// Messages are written without `flush`, together with all others that are queued. Flushing completes when the kernel
/// has accepted all messages of this sink.
///
/// `SinkExt::send` flushes, so each message takes a write of its own. [`WebSocket::send`] and
/// `SinkExt::feed` do not flush. With `SinkExt` in scope, `socket.send(..)` and `socket.close(..)` are still the
/// methods of the WebSocket; call the others as `SinkExt::send(&mut socket, ..)` and `SinkExt::close(&mut socket)`.
///
/// Closing the sink closes the connection in both directions with code 1000, and completes when the connection has
/// ended.
impl Sink<Message> for WebSocket {
    type Error = SinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.get_mut().sink().0.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let (connection, flush_position) = self.get_mut().sink();
        connection.start_send(message, flush_position)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let (connection, flush_position) = self.get_mut().sink();
        connection.poll_flush(flush_position, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.get_mut().sink().0.poll_close(cx)
    }
}

/// Behaves like the implementation for [`WebSocket`]. Each clone is a separate sink.
impl Sink<Message> for Sender {
    type Error = SinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.get_mut().sink().0.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let (connection, flush_position) = self.get_mut().sink();
        connection.start_send(message, flush_position)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let (connection, flush_position) = self.get_mut().sink();
        connection.poll_flush(flush_position, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.get_mut().sink().0.poll_close(cx)
    }
}

impl Connection {
    fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), SinkError>> {
        self.with(|state| state.poll_capacity(cx)).map_err(|_| SinkError(None))
    }

    fn start_send(&self, mut message: Message, flush_position: &mut FlushPosition) -> Result<(), SinkError> {
        self.with(|state| state.push_reserved(&mut message, flush_position))
            .map_err(|_| SinkError(Some(message)))
    }

    fn poll_flush(&self, flush_position: &FlushPosition, cx: &Context<'_>) -> Poll<Result<(), SinkError>> {
        self.with(|state| state.poll_written(flush_position, cx)).map_err(|_| SinkError(None))
    }

    fn poll_close(&self, cx: &Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.with(|state| state.poll_close(CloseCode::NORMAL.into(), cx)));
        Poll::Ready(Ok(()))
    }
}
