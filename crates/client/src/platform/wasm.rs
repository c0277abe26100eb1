//! The clock and the tasks of a browser.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use handlers::{BoxFuture, HandlerError, MaybeSend, Spawn};
use tokio::sync::oneshot;
use web_time::Instant;
use ws_proto::Time;

/// A time earlier than the first call of [`now`], so that deadlines in the past can be expressed.
const ORIGIN_OFFSET: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the current time.
pub(crate) fn now() -> Time {
    static ORIGIN: Mutex<Option<Instant>> = Mutex::new(None);
    let now = Instant::now();
    let mut origin = ORIGIN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let elapsed = now.saturating_duration_since(*origin.get_or_insert(now));
    Time::ZERO + (ORIGIN_OFFSET + elapsed)
}

/// Returns 64 random bits. They spread the attempts of many clients over time and are not secret.
pub(crate) fn random() -> u64 {
    ((js_sys::Math::random() * (1_u64 << 53) as f64) as u64) << 11
}

/// Runs the driver of a client.
pub(crate) fn spawn(driver: impl Future<Output = ()> + 'static) {
    wasm_bindgen_futures::spawn_local(driver);
}

/// A timer for a deadline that moves.
#[derive(Default)]
pub(crate) struct Timer {
    armed: Option<(Time, TimeoutFuture)>,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns `Ready` if `wanted` is not later than `now`. Otherwise the task is woken at that time or earlier.
    pub(crate) fn poll(&mut self, wanted: Option<Time>, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = wanted else { return Poll::Pending };
        if wanted <= now {
            return Poll::Ready(());
        }
        loop {
            let is_armed = matches!(&self.armed, Some((at, _)) if now < *at && *at <= wanted);
            if !is_armed {
                // Rounded up, so that the deadline has passed when the timer fires. A timer of a browser takes at most
                // 2³¹ - 1 milliseconds; if it fires early, it is armed again.
                let delay = wanted.saturating_since(now).as_micros().div_ceil(1_000).min(0x7fff_ffff);
                self.armed = Some((wanted, TimeoutFuture::new(u32::try_from(delay).unwrap_or(u32::MAX))));
            }
            let Some((_, timer)) = &mut self.armed else { return Poll::Pending };
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            if wanted <= self::now() {
                return Poll::Ready(());
            }
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("armed", &self.armed.as_ref().map(|(at, _)| at)).finish()
    }
}

/// In a browser the console limits repeated lines itself.
#[derive(Debug)]
pub(crate) struct ErrorLogLimit;

impl ErrorLogLimit {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn try_log(&self, write: impl FnOnce(Option<u64>)) {
        write(None);
    }
}

/// A page has no standard error.
pub(crate) fn print_if_unlogged(_: fmt::Arguments<'_>, _: Option<u64>) {}

/// Spawns handlers on the event loop.
#[derive(Debug)]
pub enum SpawnTask {}

impl Spawn for SpawnTask {
    type Task<T: MaybeSend + 'static> = Task<T>;

    fn spawn<T: MaybeSend + 'static>(future: BoxFuture<T>) -> Task<T> {
        let (sender, receiver) = oneshot::channel();
        wasm_bindgen_futures::spawn_local(async move {
            let _ = sender.send(future.await);
        });
        Task(receiver)
    }
}

/// The handle of a handler that runs as its own task.
#[derive(Debug)]
pub struct Task<T>(oneshot::Receiver<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.map_err(HandlerError::internal))
    }
}
