//! Broadcasts that request acknowledgements.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use adapter::{Missing, MissingReason, Replies, Reply, Request, SocketId};
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{ArgumentsError, EncodeError};
use tokio::sync::mpsc;

use super::Broadcast;
use crate::cluster_metrics::count_missing;
use crate::socket::{EmitError, encode_event, observe_broadcast};

/// The acknowledgements of a broadcast ([`Broadcast::emit_with_ack`]), or of the other servers of a cluster
/// ([`Namespace::server_side_emit_with_ack`](crate::Namespace::server_side_emit_with_ack)).
///
/// Awaiting it returns all of them. It is also a [`Stream`], so a program can handle each one when it arrives. If it is
/// dropped, later acknowledgements are ignored.
#[must_use = "await this value to receive the acknowledgements"]
pub struct BroadcastAcks<R> {
    not_sent: Option<EmitError>,
    replies: mpsc::UnboundedReceiver<Reply>,
    /// The bytes of the replies in the channel.
    kept_bytes: Arc<AtomicUsize>,
    _response: PhantomData<fn() -> R>,
}

/// The reason why an acknowledgement is missing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AckFailure {
    /// A client, or a server of the cluster, has not acknowledged.
    Missing(Missing),
    /// The acknowledgement does not fit the requested type.
    Invalid {
        /// The socket, if it is connected to this server.
        socket: Option<SocketId>,
        /// The error.
        error: ArgumentsError,
    },
    /// The event was not sent to anybody.
    NotSent(EmitError),
}

impl fmt::Display for AckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::Invalid { error, .. } => write!(f, "cannot deserialize the acknowledgement: {error}"),
            Self::NotSent(error) => write!(f, "the event was not sent: {error}"),
        }
    }
}

impl std::error::Error for AckFailure {}

/// Some acknowledgements are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct IncompleteAcks<R> {
    /// The acknowledgements that were received, in the order in which they arrived.
    pub responses: Vec<R>,
    /// Why others are missing. Never empty.
    pub failures: Vec<AckFailure>,
}

impl<R> fmt::Display for IncompleteAcks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledgements were received", self.responses.len())?;
        for (index, failure) in self.failures.iter().enumerate() {
            match index {
                0..3 => write!(f, "; {failure}")?,
                _ => return write!(f, "; and {} more failures", self.failures.len() - index),
            }
        }
        Ok(())
    }
}

impl<R: fmt::Debug> std::error::Error for IncompleteAcks<R> {}

impl Broadcast {
    /// Sends an event immediately, and returns the clients' acknowledgements.
    ///
    /// As in Node, only the first argument of each acknowledgement is taken. It is deserialized as `R`. The timeout is
    /// [`Limits::ack_timeout`](crate::Limits::ack_timeout), unless [`timeout`](Self::timeout) sets another one. A client
    /// that disconnects, and a server that leaves the cluster, is missing at once. [`volatile`](Self::volatile) and
    /// [`keep_latest`](Self::keep_latest) have no effect.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tidewire_server::Server;
    ///
    /// # async fn run(io: Server) {
    /// match io.to("players").timeout(Duration::from_secs(2)).emit_with_ack::<u32>("ready?", ()).await {
    ///     Ok(answers) => println!("all {} have answered", answers.len()),
    ///     Err(incomplete) => println!("{} have answered: {incomplete}", incomplete.responses.len()),
    /// }
    ///
    /// let mut bids = io.to("bidders").emit_with_ack::<f64>("bid?", "a painting");
    /// while let Some(bid) = bids.next().await {
    ///     match bid {
    ///         Ok(bid) => println!("{bid}"),
    ///         Err(failure) => println!("{failure}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn emit_with_ack<R: DeserializeOwned>(
        self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        let (acks, replies) = BroadcastAcks::new(self.namespace.limits().max_broadcast_ack_bytes);
        match self.request_acks(event.as_ref(), &arguments, replies) {
            Ok(()) => acks,
            Err(error) => acks.not_sent(error.into()),
        }
    }

    /// Sends an event, whose acknowledgements go to `replies`.
    pub(super) fn request_acks(
        &self,
        name: &str,
        arguments: &impl Serialize,
        replies: Replies,
    ) -> Result<(), EncodeError> {
        let ack_id = self.namespace.next_ack_id();
        let event = encode_event(&self.namespace, Some(ack_id), name, arguments, self.compress)?;
        if self.selects_nobody() {
            return Ok(());
        }
        let receivers = if self.namespace.has_outgoing_listeners() { self.sockets() } else { Vec::new() };
        let timeout = self.timeout.unwrap_or(self.namespace.limits().ack_timeout);
        let request = Request { timeout, now: net::now(), replies };
        self.observed(name, &event, |adapter| {
            let is_observed = self.namespace.observers().is_active();
            let selected = if is_observed { adapter.local().sockets(&self.options).len() } else { 0 };
            adapter.broadcast_with_ack(&event, ack_id, &self.options, request);
            selected
        });
        observe_broadcast(&receivers, &event);
        Ok(())
    }
}

impl<R> BroadcastAcks<R> {
    /// Creates the receiver of the replies, which keeps at most `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> (Self, Replies) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let kept_bytes = Arc::new(AtomicUsize::new(0));
        let kept = Arc::clone(&kept_bytes);
        let replies = Replies::new(move |reply| {
            let bytes = memory(&reply);
            let fits = kept.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= max_bytes;
            let reply = if fits { reply } else { dropped(reply, &kept, bytes) };
            count_missing(&reply);
            let _ = sender.send(reply);
        });
        (Self { not_sent: None, replies: receiver, kept_bytes, _response: PhantomData }, replies)
    }

    /// Makes the acknowledgements fail, because the event was not sent.
    pub(super) fn not_sent(mut self, error: EmitError) -> Self {
        self.not_sent = Some(error);
        self
    }
}

impl<R: DeserializeOwned> BroadcastAcks<R> {
    /// Waits for the next acknowledgement, or for the certainty that one is missing. Returns `None` after the last one.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Result<R, AckFailure>> {
        std::future::poll_fn(|cx| self.poll_next_ack(cx)).await
    }

    fn poll_next_ack(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R, AckFailure>>> {
        if let Some(error) = self.not_sent.take() {
            return Poll::Ready(Some(Err(AckFailure::NotSent(error))));
        }
        loop {
            let Some(reply) = ready!(self.replies.poll_recv(cx)) else { return Poll::Ready(None) };
            self.kept_bytes.fetch_sub(memory(&reply), Ordering::Relaxed);
            let (socket, arguments) = match reply {
                Reply::Ack { socket, arguments } => (socket, arguments),
                Reply::Server { arguments, .. } => (None, arguments),
                Reply::Missing(missing) => return Poll::Ready(Some(Err(AckFailure::Missing(missing)))),
                _ => continue,
            };
            // The argument is one value, also if `R` is a tuple.
            let response = arguments.deserialize::<(R,)>();
            return Poll::Ready(Some(match response {
                Ok((response,)) => Ok(response),
                Err(error) => Err(AckFailure::Invalid { socket, error }),
            }));
        }
    }
}

impl<R: DeserializeOwned> Stream for BroadcastAcks<R> {
    type Item = Result<R, AckFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_ack(cx)
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for BroadcastAcks<R> {
    type Output = Result<Vec<R>, IncompleteAcks<R>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let (mut responses, mut failures) = (Vec::new(), Vec::new());
            while let Some(ack) = self.next().await {
                match ack {
                    Ok(response) => responses.push(response),
                    Err(failure) => failures.push(failure),
                }
            }
            if failures.is_empty() { Ok(responses) } else { Err(IncompleteAcks { responses, failures }) }
        })
    }
}

impl<R> fmt::Debug for BroadcastAcks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastAcks").finish_non_exhaustive()
    }
}

/// The bytes that a client decides about.
fn memory(reply: &Reply) -> usize {
    match reply {
        Reply::Ack { arguments, .. } | Reply::Server { arguments, .. } => arguments.memory(),
        _ => 0,
    }
}

/// What takes the place of a reply that does not fit.
#[cold]
fn dropped(reply: Reply, kept: &AtomicUsize, bytes: usize) -> Reply {
    kept.fetch_sub(bytes, Ordering::Relaxed);
    let reason = MissingReason::Limit;
    Reply::Missing(match reply {
        Reply::Ack { socket: Some(socket), .. } => Missing::Client { id: socket.as_str().into(), reason },
        Reply::Server { node, .. } => Missing::Server { node, reason },
        Reply::Missing(missing) => missing,
        _ => Missing::Client { id: "".into(), reason },
    })
}
