//! Receiving events.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use client::StreamEvent;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Client;
use crate::error::{Error, describe, excerpt};

impl Client {
    /// Waits for the next event of this name, and returns its arguments, deserialized as by [`Data`](client::Data): a tuple
    /// takes one argument for each element. Events of other names are kept, in order, for later calls.
    ///
    /// If the server has requested an acknowledgement, use [`recv_event`](Self::recv_event).
    ///
    /// Cancel safe: if the future is dropped, no event is lost.
    ///
    /// # Errors
    /// The event did not come in time, the connection has ended, or the arguments have another type.
    pub async fn recv<T: DeserializeOwned>(&mut self, event: impl AsRef<str>) -> Result<T, Error> {
        let event = self.recv_event(event).await?;
        event.data().map_err(|error| {
            let awaited = format!("the event {:?}", event.name());
            Error::WrongType { awaited, received: describe_event(&event), reason: error.to_string() }
        })
    }

    /// Waits for the next event of this name. Events of other names are kept.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::{Server, Socket};
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// io.on("ask me", async |socket: Socket| {
    ///     let answer = socket.emit_with_ack::<String>("question", "How are you?").await;
    ///     socket.emit("answered", answer.unwrap_or_default());
    /// });
    /// let mut alice = testing::connect(&io).await?;
    /// alice.emit("ask me", ()).await?;
    /// let question = alice.recv_event("question").await?;
    /// assert_eq!(question.data::<String>()?, "How are you?");
    /// question.ack("fine");
    /// assert_eq!(alice.recv::<String>("answered").await?, "fine");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The event did not come in time, or the connection has ended.
    pub async fn recv_event(&mut self, event: impl AsRef<str>) -> Result<StreamEvent, Error> {
        let event = event.as_ref();
        self.recv_where(|arrived| arrived.name() == event, || format!("the event {event:?}")).await
    }

    /// Waits for the next event of any name. Cancel safe.
    ///
    /// # Errors
    /// No event came in time, or the connection has ended.
    pub async fn recv_any(&mut self) -> Result<StreamEvent, Error> {
        self.recv_where(|_| true, || "an event".to_owned()).await
    }

    /// Returns the next event of any name that has arrived, without waiting. An event that the server has just sent may not
    /// have arrived: call [`sync`](Self::sync) before.
    pub fn try_recv(&mut self) -> Option<StreamEvent> {
        self.take_arrived();
        self.arrived.pop_front()
    }

    /// Waits for the first event, in order, for which `is_wanted` is true.
    async fn recv_where(
        &mut self,
        is_wanted: impl Fn(&StreamEvent) -> bool,
        awaited: impl Fn() -> String,
    ) -> Result<StreamEvent, Error> {
        let limit = self.timeout;
        let mut checked = 0;
        let search = async {
            loop {
                while let Some(event) = self.arrived.get(checked) {
                    if is_wanted(event) {
                        return self.arrived.remove(checked);
                    }
                    checked += 1;
                }
                let is_over = !self.reconnects && self.disconnects.borrow().len() > self.former;
                let disconnected = self.disconnects.changed();
                tokio::select! {
                    biased;
                    event = self.events.next() => self.arrived.push_back(event?),
                    // All events were received before the end of the connection.
                    () = ready(()), if is_over => return None,
                    changed = disconnected => changed.ok()?,
                }
            }
        };
        match timeout(limit, search).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(self.disconnected_error(awaited())),
            Err(_) => Err(self.timed_out(awaited())),
        }
    }

    /// Takes what the real client has received, without waiting.
    fn take_arrived(&mut self) {
        while let Some(event) = now(self.events.next()).flatten() {
            self.arrived.push_back(event);
        }
    }

    pub(super) fn describe_arrived(&mut self) -> Vec<String> {
        self.take_arrived();
        describe(&self.arrived, describe_event)
    }
}

pub(super) fn describe_event(event: &StreamEvent) -> String {
    excerpt(format!("{:?} [{}]", event.name(), event.arguments().json_elements()))
}

/// Returns the output of a future that is ready.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
