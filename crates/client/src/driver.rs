//! The driver of a client: one future that owns the connection and calls the handlers of all sockets.

mod dispatcher;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_client::Message;
use engineio_proto::Transport;
use socketio_proto::client::DisconnectReason;
use ws_proto::Time;

use crate::client::ClientShared;
use crate::engine::{Engine, EngineDriver, LinkClosed, LinkHandler};
use crate::error::ConnectError;
use crate::platform::{self, Timer};
use crate::reconnection::{Due, Next, ReconnectionSettings};
use crate::socket::Status;
use crate::state::Phase;
use dispatcher::Dispatcher;

/// The turns of one poll. After that, other tasks run.
const MAX_TURNS_PER_POLL: usize = 16;

/// The driver of a client. It ends when the client is closed.
pub(crate) struct Driver {
    shared: Arc<ClientShared>,
    engine: Engine,
    /// The connection, or the attempt to open one.
    link: Option<EngineDriver>,
    /// Connections that the client has given up. They still send what is queued.
    retired: Vec<EngineDriver>,
    dispatcher: Dispatcher,
    timer: Timer,
    /// Set when the sockets were disconnected, because the client is being closed: until then, handlers may finish.
    handlers_deadline: Option<Time>,
    /// A connection has been added that was not polled yet.
    needs_turn: bool,
}

/// A handler for connections that the client has given up.
struct Ignore;

impl LinkHandler for Ignore {
    fn on_open(&mut self, _: Time, _: &mut Context<'_>) {}

    fn on_message(&mut self, _: Message<'_>, _: Time, _: &mut Context<'_>) {}

    fn on_close(&mut self, _: LinkClosed) {}

    fn on_ping(&mut self) {}

    fn on_upgrade(&mut self, _: Transport) {}

    fn wants_input(&self) -> bool {
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_TURNS_PER_POLL {
            let now = platform::now();
            self.shared.state().unpark();
            self.turn(now, cx);
            if self.is_finished(now) {
                // `drop` tells everything that waits.
                return Poll::Ready(());
            }
            if std::mem::take(&mut self.needs_turn) {
                continue;
            }
            let deadline = self.poll_timeout(now);
            if self.timer.poll(deadline, now, cx).is_pending() && self.shared.state().park(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Driver {
    pub(crate) fn new(shared: Arc<ClientShared>, engine: Engine, settings: &ReconnectionSettings) -> Self {
        Self {
            dispatcher: Dispatcher::new(Arc::clone(&shared), settings),
            shared,
            engine,
            link: None,
            retired: Vec::new(),
            timer: Timer::new(),
            handlers_deadline: None,
            needs_turn: false,
        }
    }

    fn turn(&mut self, now: Time, cx: &mut Context<'_>) {
        self.dispatcher.add_sockets();
        self.follow_program(now, cx);
        if let Some(link) = &mut self.link {
            let is_over = link.poll(&mut self.dispatcher, cx).is_ready();
            self.follow_link(is_over, now, cx);
        }
        if std::mem::take(&mut self.dispatcher.is_abandoned) {
            self.dispatcher.call_on_close(DisconnectReason::ForcedClose);
            self.retire();
        }
        self.retired.retain_mut(|link| link.poll(&mut Ignore, cx).is_pending());
        self.handle_timeouts(now, cx);
        self.dispatcher.poll(now, cx);
        self.follow_dispatcher(now, cx);
        let has_capacity = {
            let mut state = self.shared.state();
            state.flush();
            state.take_capacity()
        };
        if has_capacity {
            self.dispatcher.notify_capacity();
        }
    }

    /// Opens or closes the connection if the program has connected or disconnected sockets.
    fn follow_program(&mut self, now: Time, cx: &mut Context<'_>) {
        let mut state = self.shared.state();
        if state.phase != Phase::Running && self.handlers_deadline.is_none() {
            self.handlers_deadline = Some(now + self.shared.limits.on_disconnect_timeout);
            drop(state);
            self.dispatcher.disconnect_all();
            state = self.shared.state();
        }
        let wants_open = std::mem::take(&mut state.wants_open) && state.machine.is_active();
        if wants_open && state.phase == Phase::Running && state.reconnection.open(now) {
            drop(state);
            self.open(now, cx);
        } else if state.close_if_unused() {
            drop(state);
            self.dispatcher.call_on_close(DisconnectReason::ForcedClose);
            self.retire();
        }
    }

    /// Starts an attempt to open a connection.
    fn open(&mut self, now: Time, cx: &mut Context<'_>) {
        match self.engine.connect() {
            Ok((session, link)) => {
                self.dispatcher.opening = Some(session);
                self.link = Some(link);
                self.needs_turn = true;
            }
            Err(error) => {
                self.shared.state().reconnection.close();
                let error = ConnectError::InvalidSetting(error.to_string());
                self.dispatcher.handle_connect_error(&error, now, cx);
                self.give_up(&error);
            }
        }
    }

    /// Handles the end of the connection, or of the attempt to open it.
    fn follow_link(&mut self, is_over: bool, now: Time, cx: &mut Context<'_>) {
        let closed = self.dispatcher.closed.take();
        if is_over {
            self.link = None;
        } else if closed.is_some() {
            // It may still have to send a close frame.
            self.retire();
        }
        let Some(LinkClosed { reason, error }) = closed else { return };
        if self.shared.state().session.is_some() {
            tracing::debug!(%reason, %error, "the connection was lost");
            self.handle_lost(reason.into(), now, cx);
        } else if self.shared.state().reconnection.is_opening() {
            self.dispatcher.opening = None;
            self.handle_failure(&ConnectError::Transport(error), now, cx);
        }
    }

    /// Closes the connection if the server has violated the protocol, or has sent more than the handlers can take.
    fn follow_dispatcher(&mut self, now: Time, cx: &mut Context<'_>) {
        let Some(reason) = self.dispatcher.violation.take() else { return };
        // The connection may have ended at the same time.
        if self.shared.state().session.is_some() {
            self.retire();
            self.handle_lost(reason, now, cx);
        }
    }

    fn handle_timeouts(&mut self, now: Time, cx: &mut Context<'_>) {
        let due = self.shared.state().reconnection.handle_timeout(now);
        match due {
            Some(Due::Attempt { attempt }) => {
                tracing::debug!(attempt, "reconnecting");
                call(|| {
                    if let Some(hook) = &self.shared.hooks.attempt {
                        hook(attempt);
                    }
                });
                self.open(now, cx);
            }
            Some(Due::TimedOut) => {
                self.link = None;
                self.dispatcher.opening = None;
                self.handle_failure(&ConnectError::Timeout, now, cx);
            }
            None => {}
        }
        self.dispatcher.handle_timeouts(now, cx);
    }

    /// The open connection was lost.
    fn handle_lost(&mut self, reason: DisconnectReason, now: Time, cx: &mut Context<'_>) {
        let next = {
            let mut state = self.shared.state();
            state.close_session(reason);
            state.reconnection.handle_close(now, platform::random())
        };
        self.dispatcher.call_on_close(reason);
        self.dispatcher.process_outputs(now, cx);
        self.follow_next(next, &ConnectError::ConnectionLost(reason));
    }

    /// An attempt to open a connection has failed.
    fn handle_failure(&mut self, error: &ConnectError, now: Time, cx: &mut Context<'_>) {
        tracing::debug!(%error, "the attempt to connect has failed");
        let (attempt, next) = {
            let mut state = self.shared.state();
            (state.reconnection.attempt(), state.reconnection.handle_failure(now, platform::random()))
        };
        self.dispatcher.handle_connect_error(error, now, cx);
        // After the last attempt, JavaScript emits `reconnect_failed` before `reconnect_error`.
        self.follow_next(next, error);
        if attempt.is_some() {
            call(|| {
                if let Some(hook) = &self.shared.hooks.error {
                    hook(error);
                }
            });
        }
    }

    fn follow_next(&mut self, next: Next, error: &ConnectError) {
        match next {
            Next::Retry { delay } => tracing::debug!(?delay, "waiting before the next attempt to connect"),
            Next::GaveUp => {
                self.give_up(error);
                call(|| {
                    if let Some(hook) = &self.shared.hooks.failed {
                        hook();
                    }
                });
            }
            Next::Stopped => self.give_up(error),
        }
    }

    /// No attempt follows: awaited acknowledgements fail.
    fn give_up(&mut self, error: &ConnectError) {
        let waiters = self.shared.state().handle_reconnect_failed();
        for waiter in waiters {
            let _ = waiter.send(Err(crate::AckError::Disconnected));
        }
        self.dispatcher.set_inactive(error);
    }

    /// Gives up the connection. What is queued is still sent.
    fn retire(&mut self) {
        if let Some(session) = self.dispatcher.opening.take() {
            session.close();
        }
        self.retired.extend(self.link.take());
        self.needs_turn = true;
    }

    fn poll_timeout(&self, now: Time) -> Option<Time> {
        let state = self.shared.state();
        let machine = state.machine.poll_timeout();
        let reconnection = state.reconnection.poll_timeout();
        drop(state);
        let dispatcher = self.dispatcher.poll_timeout();
        // Once it has passed, only the connections are waited for.
        let handlers = self.handlers_deadline.filter(|deadline| *deadline > now);
        [machine, reconnection, dispatcher, handlers].into_iter().flatten().min()
    }

    fn is_finished(&self, now: Time) -> bool {
        let phase = self.shared.state().phase;
        let handlers_finished = match phase {
            Phase::Running => return false,
            Phase::Closing { calls_handlers } => {
                let is_overdue = self.handlers_deadline.is_some_and(|deadline| deadline <= now);
                !calls_handlers || self.dispatcher.is_idle() || is_overdue
            }
            Phase::Closed => true,
        };
        handlers_finished && self.link.is_none() && self.retired.is_empty()
    }
}

impl Drop for Driver {
    /// Also called when the runtime shuts down.
    fn drop(&mut self) {
        self.shared.finish();
    }
}

/// Calls a function of the program. A panic must not end the client.
fn call(f: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        tracing::error!("a hook of the client panicked");
    }
}

/// The status of a socket that is not connected.
fn disconnected_status(is_active: bool) -> Status {
    if is_active { Status::Connecting } else { Status::Inactive(None) }
}
