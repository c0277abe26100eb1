//! A WebSocket and its halves as [`Stream`] and [`Sink`].

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

/// Its items are what [`recv`](WebSocket::recv) returns, and they end when that ends: an end is no message, and
/// [`closed`](WebSocket::close_cause) knows which it was. Where a stream of `Result` is asked for, `.map(Ok)` makes one:
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

/// As that of the whole [`WebSocket`].
impl Stream for Receiver {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.get_mut().poll_recv(cx)
    }
}

/// It is ready while fewer than [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) bytes wait to be written, and then
/// takes one message of any length. After a mebibyte that was compressed it lets other tasks have their turn first, as
/// [`send`](WebSocket::send) does. What it has taken leaves without `flush`, together with all else that waits; `flush` is
/// for those who want to know that it has: it is ready when all that this sink has taken is in the kernel's hands.
///
/// So the `send` of `SinkExt`, which flushes, makes a write of each message, and [`send`](WebSocket::send) does not. `feed` is
/// the one of `SinkExt` that does not either. Where `SinkExt` is in scope, `socket.send(..)` and `socket.close(..)` are still
/// those of the WebSocket: the others are `SinkExt::send(&mut socket, ..)` and `SinkExt::close(&mut socket)`.
///
/// Closing it closes the connection, with code 1000, for both directions, and is ready when that is done.
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

/// As that of the whole [`WebSocket`]. Each clone is a sink of its own.
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
