//! The server of the page `/`: the namespace `/figures`, which sends the figures of this server once a second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewire::server::{Server, Socket};
use tokio::time::MissedTickBehavior;

use super::figures::{Figures, Sample};

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of samples that a new visitor gets, so that the page shows the last minute immediately.
const HISTORY: usize = 60;

/// The last samples, the newest at the end.
type History = Arc<Mutex<VecDeque<Sample>>>;

/// Registers the handlers.
pub(super) fn register(io: &Server, figures: Figures) {
    let history = History::default();
    let namespace = io.of("/figures");
    // The pages measure the round trip.
    namespace.on("round-trip", async || {});
    let shown = Arc::clone(&history);
    namespace.on_connection(move |socket: Socket| {
        let samples = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { socket.emit("history", (samples,)) }
    });
    tokio::spawn(publish(io.clone(), figures, history));
}

/// Sends a sample in each interval, as long as the server runs.
async fn publish(io: Server, figures: Figures, history: History) {
    let namespace = io.of("/figures");
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = figures.totals(&io);
    loop {
        interval.tick().await;
        let now = figures.totals(&io);
        let sample = figures.sample(&io, before, now);
        before = now;
        {
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(sample.clone());
        }
        // A visitor whose connection is behind gets the newest sample only.
        namespace.keep_latest("figures").emit("figures", sample);
    }
}
