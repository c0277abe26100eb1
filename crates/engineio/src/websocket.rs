//! WebSocket connections of the engine.

use std::future::poll_fn;
use std::task::{Context, Poll};

use net::{Deadline, Stream, Upgraded, WebSocketStream};
use ws_proto::{Limits, Time};

use crate::options::Options;

/// The server's end of a connection that was just upgraded.
pub(crate) fn websocket(upgraded: Upgraded, options: &Options) -> WebSocketStream<Stream> {
    let limits = Limits { max_message_size: options.settings.max_payload, ..Limits::default() };
    WebSocketStream::server(upgraded.stream, upgraded.leftover, &limits)
}

/// Closes a connection that no session wants, without keeping anybody waiting.
pub(crate) fn close_in_background(mut stream: WebSocketStream<Stream>, now: Time) {
    stream.close(None, now);
    let mut deadline = Deadline::new();
    tokio::spawn(poll_fn(move |cx: &mut Context<'_>| {
        loop {
            let now = net::now();
            if stream.poll_close(now, cx).is_ready() {
                return Poll::Ready(());
            }
            if deadline.poll(stream.poll_timeout(), now, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }));
}
