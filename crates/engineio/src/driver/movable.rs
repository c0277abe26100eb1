//! The driver of a session that starts with long-polling, and may move to another runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Driver, DriverPoll};
use crate::handler::Application;

/// The driver of a session that starts with long-polling. If the server has several runtimes, the requests of the client
/// arrive on connections of any of them. When the session upgrades, the driver moves to the runtime of its WebSocket.
/// Otherwise each message would cost a wake-up from one thread to another.
pub(crate) struct MovableDriver<A: Application>(Option<Driver<A>>);

impl<A: Application> MovableDriver<A> {
    pub(crate) fn new(driver: Driver<A>) -> Self {
        Self(Some(driver))
    }
}

impl<A: Application> Future for MovableDriver<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.0 else { return Poll::Ready(()) };
        match driver.poll_turns(cx) {
            DriverPoll::Pending => Poll::Pending,
            DriverPoll::Finished => Poll::Ready(()),
            DriverPoll::Move(runtime) => {
                // The first poll there registers everything that the driver waits for.
                drop(runtime.spawn(Self(self.0.take())));
                Poll::Ready(())
            }
        }
    }
}
