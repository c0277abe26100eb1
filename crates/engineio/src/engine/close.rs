//! The end of an engine: it closes its sessions in batches, and ends what is left at a deadline.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engineio_proto::CloseReason;
use net::ClosePace;
use tokio::time::{Instant, timeout_at};

use super::Engine;
use crate::handler::Application;
use crate::session::{Command, Session};

/// How long the engine waits for the tasks of the sessions that it ends at the deadline. They only have to run once.
const ABORT_TIMEOUT: Duration = Duration::from_millis(100);

impl<A: Application> Engine<A> {
    /// Returns whether the engine is closing or closed, and rejects new sessions.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    /// Closes every session, and from now on rejects new ones with status 503. The engine does not wait for the next
    /// poll of a polling client, because the server may be gone by then.
    pub fn close(&self) {
        self.reject_new_sessions();
        close_all(&self.0.registry.all());
    }

    /// Rejects new sessions with status 503 from now on.
    pub(crate) fn reject_new_sessions(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    /// Closes every session at this pace, and waits until they are closed and their handlers have finished. A session whose
    /// handler [asks for it](crate::SessionHandler::begin_close) stays open for at most three quarters of `timeout`. After
    /// `timeout`, it ends what is left: a session whose client does not read loses its connection. Handlers that still
    /// run continue. From the start, new sessions are rejected with status 503.
    ///
    /// If several calls run at the same time, the pace of the first one holds. The timeout of each call ends everything.
    /// This method is cancel safe: the sessions that are not closed yet then go on.
    pub async fn close_with(&self, pace: ClosePace, timeout: Duration) {
        let deadline = deadline_in(timeout);
        self.reject_new_sessions();
        let sessions = self.0.registry.all();
        let _ = timeout_at(deadline, self.close_in_batches(pace, timeout)).await;
        self.finish_close(&sessions, deadline).await;
    }

    /// Closes every session at this pace. Sessions whose handlers ask for it stay open a little longer, until three quarters of
    /// `timeout` have passed: the rest is for closing handshakes. Ready when all have been told to close. Cancel safe.
    pub(crate) async fn close_in_batches(&self, pace: ClosePace, timeout: Duration) {
        let _turn = self.0.closing_turn.lock().await;
        let last_close = deadline_in(timeout / 4 * 3);
        let sessions = self.0.registry.all();
        pace.for_each_batch(&sessions, timeout, begin_close_of_all).await;
        if timeout_at(last_close, self.finished()).await.is_err() {
            close_all(&sessions);
        }
    }

    /// Waits until the tasks of all sessions have finished. At the deadline, ends `sessions`.
    pub(crate) async fn finish_close(&self, sessions: &[Session], deadline: Instant) {
        if timeout_at(deadline, self.finished()).await.is_ok() {
            return;
        }
        for session in sessions {
            session.send_command(Command::Abort);
        }
        let _ = tokio::time::timeout(ABORT_TIMEOUT, self.finished()).await;
        tracing::debug!(sessions = self.session_count(), "ended the sessions that were not closed in time");
    }

    /// Waits until no session is left and their handlers have finished, at most for `limit`. This method is cancel
    /// safe.
    pub async fn closed(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.finished()).await;
    }

    async fn finished(&self) {
        // Unless the engine is closed, new sessions may still start, and `wait` includes them.
        self.0.tasks.wait().await;
    }
}

/// Returns the time at which a shutdown that begins now must end. A timeout that no clock can express is a century.
pub(crate) fn deadline_in(timeout: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + timeout.min(CENTURY)
}

fn begin_close_of_all(sessions: &[Session]) {
    for session in sessions {
        session.send_command(Command::BeginClose);
    }
}

fn close_all(sessions: &[Session]) {
    for session in sessions {
        session.send_command(Command::CloseWithoutPoll(CloseReason::ServerShuttingDown));
    }
}
