//! Tokio's clock and tasks.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll};

use handlers::{BoxFuture, HandlerError, Spawn};
pub(crate) use net::{DeadlineTimer as Timer, LogRateLimit as ErrorLogLimit, now, print_if_unlogged};
use tokio::task::JoinHandle;

/// Returns 64 random bits. They spread the attempts of many clients over time and are not secret.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(now().as_micros()))
}

/// Runs the driver of a client.
///
/// # Panics
/// Panics outside a Tokio runtime.
pub(crate) fn spawn(driver: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(driver);
}

/// Spawns handlers on the runtime of the client's driver.
#[derive(Debug)]
pub enum SpawnTask {}

impl Spawn for SpawnTask {
    type Task<T: Send + 'static> = Task<T>;

    fn spawn<T: Send + 'static>(future: BoxFuture<T>) -> Task<T> {
        Task(tokio::spawn(future))
    }
}

/// The handle of a handler that runs as its own task.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.map_err(|error| match error.try_into_panic() {
                Ok(panic) => HandlerError::from_panic(&*panic),
                Err(error) => error.into(),
            })
        })
    }
}
