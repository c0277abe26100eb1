//! What the whole WebSocket and its halves do alike.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;
use ws_proto::CloseFrame;

use crate::closed::Closed;
use crate::connection::waiting::{PingPayload, Place};
use crate::connection::{Connection, Refusal, State};
use crate::error::{PingError, TrySendError};
use crate::message::Message;
use crate::message::PreparedMessage;

impl Connection {
    /// Pushes at once, or as soon as it is this call's turn and there is room.
    #[inline]
    pub(crate) async fn push(
        &self,
        mut push: impl FnMut(&mut State) -> Result<(), Refusal>,
    ) -> Result<(), ()> {
        match self.with(|state| state.push_by(&mut push)) {
            Ok(()) => Ok(()),
            Err(Refusal::Closed) => Err(()),
            Err(Refusal::Full) => {
                let mut place = Place::new(self);
                poll_fn(|cx| place.with(|state, ticket| state.poll_push(ticket, cx, &mut push))).await
            }
        }
    }

    pub(crate) fn try_send(&self, mut message: Message, compress: bool) -> Result<(), TrySendError> {
        match self.with(|state| state.try_push(|state| state.push(&mut message, compress))) {
            Ok(()) => Ok(()),
            Err(Refusal::Full) => Err(TrySendError::Full(message)),
            Err(Refusal::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    pub(crate) fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), TrySendError> {
        match self.with(|state| state.try_push(|state| state.push_prepared(message))) {
            Ok(()) => Ok(()),
            Err(Refusal::Full) => Err(TrySendError::Full(message.message().clone())),
            Err(Refusal::Closed) => Err(TrySendError::Closed(message.message().clone())),
        }
    }

    pub(crate) async fn ping(&self) -> Result<Duration, PingError> {
        let mut payload = PingPayload::default();
        getrandom::fill(&mut payload).map_err(|_| PingError::NoRandomness)?;
        let idle_timeout = self.with(|state| state.idle_timeout());
        let mut place = Place::new(self);
        let answer = poll_fn(|cx| place.with(|state, ticket| state.poll_ping(ticket, payload, cx)));
        let answer = match idle_timeout {
            Some(patience) => timeout(patience, answer).await.map_err(|_| PingError::TimedOut)?,
            None => answer.await,
        };
        answer.map_err(|_| PingError::Closed)
    }

    pub(crate) fn buffered(&self) -> usize {
        self.with(|state| state.buffered())
    }

    pub(crate) async fn close(&self, frame: Option<CloseFrame>) -> Closed {
        self.with(|state| state.close(frame));
        self.ended().await
    }

    pub(crate) async fn ended(&self) -> Closed {
        let mut place = Place::new(self);
        poll_fn(|cx| place.with(|state, ticket| state.poll_closed(ticket, cx))).await
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.with(|state| state.closed().cloned())
    }
}
