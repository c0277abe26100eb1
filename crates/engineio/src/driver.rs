//! The task of a session. It owns the state machine, the transport and the handler.
//!
//! Hot path. The driver works in turns. In one turn it reads the input and passes each message to the handler without
//! copying it. Then it takes the queued messages from the outbox and writes them at once.

mod movable;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use engineio_proto::server::{Session as Machine, TimeoutAction};
use engineio_proto::{CloseReason, Packet, Transport as TransportName};
use net::metrics::{self, ConnectionKind, OpenConnection, Series};
use net::{
    ConnectionSpan, DeadlineTimer, HeldMemory, LogRateLimit, MEMORY_BUDGET_EXCEEDED, MemoryUsage, TurnBudget,
};
use tokio::runtime::Handle;
use ws_proto::{Excerpt, Time};

use crate::engine::SessionGuard;
use crate::handler::{Application, SessionHandler};
use crate::packet_dispatcher::PacketDispatcher;
use crate::session::{CANCELLED_POLL, Command, Session, UpgradeCandidate};
use crate::transport::{Polling, PostRequest, ProbeOutcome, SessionTransport, WebSocket};

pub(crate) use movable::MovableDriver;

/// Turns in one poll of the task, before it yields to other tasks.
const MAX_TURNS_PER_POLL: usize = 16;

/// The future that drives a session from its open packet to its last byte.
pub(crate) struct Driver<A: Application> {
    guard: SessionGuard<A>,
    dispatcher: PacketDispatcher<A::Handler>,
    transport: SessionTransport,
    /// The WebSocket that a polling session may upgrade to.
    candidate: Option<Box<Candidate>>,
    /// The POST that is only partly handled, because the handler accepted no more or the turn was over. A session has
    /// at most one. If the session upgrades, the rest comes before what the WebSocket delivers.
    unfinished_post: Option<Box<PostRequest>>,
    deadline: DeadlineTimer,
    memory: MemoryUsage,
    open: OpenConnection,
    span: ConnectionSpan,
    /// The handler has been told that the session is over. The transport may still have data to send.
    is_closed: bool,
    /// This turn has taken a notification from the outbox, so another turn must follow.
    was_notified: bool,
}

/// The WebSocket that a polling session may upgrade to.
struct Candidate {
    websocket: WebSocket,
    /// The runtime on which it was accepted.
    runtime: Handle,
}

/// The result of the input of a candidate.
enum CandidateInput {
    /// There is nothing more to do in this turn.
    Done,
    /// There may be more input than one turn should handle.
    More,
    /// The session has switched to the candidate of this runtime. There may be more input.
    Switched(Handle),
}

/// The result of one poll of the driver.
enum DriverPoll {
    /// The session is over, and the transport has sent its last byte.
    Finished,
    /// The session has switched to a WebSocket that belongs to this runtime. The driver should continue there.
    Move(Handle),
    Pending,
}

/// The result of the output of one turn.
#[derive(Default)]
struct Output {
    /// The number of bytes that the transport has taken from the outbox and not yet sent.
    unsent: usize,
    /// Whether the transport accepts more.
    is_writable: bool,
    /// The memory of the messages that the outbox keeps beside its queue.
    latest_memory: HeldMemory,
}

impl<A: Application> Driver<A> {
    /// Creates a session whose open packet is the response to its first GET.
    pub(crate) fn polling(registered: SessionGuard<A>, request: http::request::Parts) -> Self {
        let polling = Box::new(Polling::new(registered.session.format().clone()));
        Self::new(registered, request, SessionTransport::Polling(polling))
    }

    /// Creates a session that starts on WebSocket, and queues its open packet and its initial packet.
    pub(crate) fn websocket(
        registered: SessionGuard<A>,
        request: http::request::Parts,
        mut websocket: WebSocket,
        open: &Packet<'_>,
    ) -> Self {
        websocket.send(open);
        if let Some(initial) = &registered.engine.options().initial_packet {
            websocket.send(&initial.as_packet());
        }
        Self::new(registered, request, SessionTransport::WebSocket(websocket))
    }

    fn new(registered: SessionGuard<A>, request: http::request::Parts, transport: SessionTransport) -> Self {
        let SessionGuard { engine, session, .. } = &registered;
        let (revision, settings) = (session.format().revision, &engine.options().protocol);
        let machine = Machine::new(revision, session.transport(), settings, net::now());
        let kind = connection_kind(session.transport());
        let address = net::address_for_span(&request.extensions).map(tracing::field::display);
        let span = tracing::debug_span!("session", address, transport = session.transport().name());
        span.in_scope(|| tracing::debug!("session opened"));
        let span = ConnectionSpan::new(span);
        let entered = span.enter();
        let handler = engine.application().on_open(engine, session.clone(), request);
        let dispatcher = PacketDispatcher::new(machine, handler, session.clone());
        drop(entered);
        Self {
            guard: registered,
            dispatcher,
            transport,
            candidate: None,
            unfinished_post: None,
            deadline: DeadlineTimer::new(),
            memory: MemoryUsage::default(),
            open: OpenConnection::new(kind),
            span,
            is_closed: false,
            was_notified: false,
        }
    }

    fn session(&self) -> &Session {
        &self.guard.session
    }

    /// Reads from the transport. Returns `true` if there may be more input than one turn should handle.
    fn poll_input(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        if self.is_closed {
            return false;
        }
        let wants_input = self.dispatcher.wants_input();
        // The handler may accept nothing because it waits for the capacity to send. The heartbeat then goes on, so that a
        // client that reads nothing cannot make it wait for ever.
        let suspends_heartbeat = !wants_input && !self.guard.session.outbox().has_capacity_waiters();
        self.dispatcher.machine.set_read_paused(suspends_heartbeat, now);
        if !wants_input {
            return false;
        }
        let more = match self.unfinished_post.take() {
            Some(post) => self.handle_post(*post, now, cx).map(|()| true),
            None => self.transport.poll_input(&mut self.dispatcher, now, cx),
        };
        match more {
            Ok(more) => more,
            Err(reason) => {
                self.close(reason, now, cx);
                false
            }
        }
    }

    /// Handles as many packets of a POST as one turn should, and keeps the rest.
    fn handle_post(&mut self, post: PostRequest, now: Time, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        self.unfinished_post = post.handle(&mut self.dispatcher, now, cx)?.map(Box::new);
        Ok(())
    }

    fn poll_candidate(&mut self, now: Time, cx: &mut Context<'_>) -> CandidateInput {
        let Some(mut candidate) = self.candidate.take() else { return CandidateInput::Done };
        match candidate.websocket.poll_probe(&mut self.dispatcher.machine, now, cx) {
            ProbeOutcome::Pending => {
                self.candidate = Some(candidate);
                CandidateInput::Done
            }
            ProbeOutcome::Yield => {
                self.candidate = Some(candidate);
                CandidateInput::More
            }
            ProbeOutcome::Switch => {
                let Candidate { websocket, runtime } = *candidate;
                self.switch_to(websocket, now);
                CandidateInput::Switched(runtime)
            }
            ProbeOutcome::Failed => {
                self.dispatcher.machine.handle_candidate_closed();
                candidate.websocket.close_in_background(now);
                CandidateInput::Done
            }
        }
    }

    /// Switches the session to the candidate. A session that is closing then closes there, after what was queued.
    fn switch_to(&mut self, websocket: WebSocket, now: Time) {
        self.transport.switch_to(websocket, self.guard.session.outbox());
        let transport = self.dispatcher.machine.transport();
        self.session().set_transport(transport);
        self.open.upgrade(connection_kind(transport));
        tracing::debug!(transport = transport.name(), "session upgraded");
        if self.is_closed {
            self.close_transport(CloseReason::ForcedClose, now);
            return;
        }
        self.dispatcher.handler.on_upgrade(transport);
    }

    /// Sends what is queued.
    fn poll_output(&mut self, now: Time, cx: &mut Context<'_>) -> Output {
        if self.session().take_discard_request() {
            // Before the output of this turn: only what has left is delivered.
            self.handle_commands(true, now, cx);
        }
        let outbox = self.guard.session.outbox();
        if self.is_closed {
            if self.transport.poll_close(now, cx).is_ready() {
                self.transport = SessionTransport::Closed;
                self.drop_candidate(now);
                self.unregister();
            }
            let attention = self.session().outbox().take_signals();
            self.handle_commands(attention.notified, now, cx);
            return Output::default();
        }
        let output = self.transport.poll_output(outbox, cx);
        let overflowed = output.signals.overflowed.then_some(CloseReason::TransportError);
        if let Some(reason) = output.close_reason.or(overflowed) {
            if output.close_reason.is_none() {
                self.log_slow_reader();
                self.session()
                    .describe_close("the client reads too slowly: `max_write_buffer_size` is reached");
            } else if self.transport.takes_requests() {
                self.session().describe_close(CANCELLED_POLL);
            }
            self.close(reason, now, cx);
        }
        self.handle_commands(output.signals.notified, now, cx);
        Output {
            unsent: output.unsent,
            is_writable: output.is_writable,
            latest_memory: output.signals.latest,
        }
    }

    #[cold]
    fn log_slow_reader(&self) {
        static LOG: LogRateLimit = LogRateLimit::new();
        metrics::count(Series::SlowReaders);
        LOG.try_log(|suppressed| {
            let max_write_buffer_size = self.guard.engine.options().max_write_buffer_size;
            tracing::warn!(
                max_write_buffer_size,
                suppressed,
                "closing a session: the client reads too slowly"
            );
        });
    }

    /// Tells the budget how much memory the session holds for its client. Ends the session if the budget is exceeded and
    /// the session is among the largest.
    #[inline]
    fn report_memory(&mut self, latest: HeldMemory, now: Time, cx: &mut Context<'_>) {
        let mut held = self.transport.memory(self.guard.session.outbox()) + latest;
        // Also after the close: the program may still handle what has arrived.
        held.own += self.dispatcher.handler.received_memory();
        if let Some(candidate) = &self.candidate {
            held = held + candidate.websocket.memory();
        }
        let budget = &self.guard.engine.options().memory_budget;
        if !self.memory.report(budget, held, cx, Waker::wake) {
            self.end_over_budget(now, cx);
        }
    }

    #[cold]
    fn end_over_budget(&mut self, now: Time, cx: &mut Context<'_>) {
        self.dispatcher.handler.discard_received();
        let is_reading = self.transport.abort(now);
        self.session().outbox().close();
        if !self.is_closed {
            self.session().describe_close(MEMORY_BUDGET_EXCEEDED);
        }
        self.close(CloseReason::TransportError, now, cx);
        if !is_reading {
            self.transport = SessionTransport::Closed;
            self.unregister();
        }
    }

    fn poll_timers(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let machine = if self.is_closed { None } else { self.dispatcher.machine.poll_timeout() };
        let handler = self.dispatcher.handler.poll_timeout();
        let wanted = earliest(earliest(machine, handler), self.transport.poll_timeout());
        if self.deadline.poll(wanted, now, cx).is_pending() {
            return false;
        }
        while !self.is_closed
            && let Some(due) = self.dispatcher.machine.handle_timeout(now)
        {
            match due {
                TimeoutAction::Close(reason) => self.close(reason, now, cx),
                TimeoutAction::Ping => self.transport.send(&Packet::Ping("")),
                TimeoutAction::SendNoop => self.transport.send_noop(),
                TimeoutAction::CloseCandidate => self.drop_candidate(now),
            }
        }
        true
    }

    fn handle_commands(&mut self, notified: bool, now: Time, cx: &mut Context<'_>) {
        if !notified {
            return;
        }
        // Another turn must follow, because a command may cause work, such as the response to a GET. A notification
        // without a command is for the handler, and the next turn polls the handler.
        self.was_notified = true;
        let Some(commands) = self.session().take_commands() else { return };
        for command in *commands {
            self.handle_command(command, now, cx);
        }
    }

    fn handle_command(&mut self, command: Command, now: Time, cx: &mut Context<'_>) {
        let handled = match command {
            Command::Poll(reply) => self.transport.handle_poll(reply).inspect_err(|_| {
                self.guard.session.describe_close("the client sent a poll while another one was waiting");
            }),
            Command::Post(post) if self.is_closed => {
                post.respond_ok();
                Ok(())
            }
            Command::Post(post) => self.handle_post(post, now, cx),
            Command::Candidate(candidate) => {
                let UpgradeCandidate { upgraded, framing, deflate, runtime } = candidate;
                let options = self.guard.engine.options();
                let revision = self.session().format().revision;
                let websocket = WebSocket::new(upgraded, revision, framing, deflate.as_ref(), options);
                let can_upgrade = !self.is_closed || self.transport.awaits_poll();
                if can_upgrade && self.dispatcher.machine.begin_upgrade(TransportName::WebSocket, now) {
                    self.candidate = Some(Box::new(Candidate { websocket, runtime }));
                } else {
                    websocket.close_in_background(now);
                }
                Ok(())
            }
            Command::Close(reason) => Err(reason),
            Command::BeginClose => {
                if self.is_closed || self.dispatcher.handler.begin_close() {
                    self.close(CloseReason::ServerShuttingDown, now, cx);
                    self.transport.stop_awaiting_poll();
                }
                Ok(())
            }
            Command::CloseWithoutPoll(reason) => {
                self.close(reason, now, cx);
                self.transport.stop_awaiting_poll();
                Ok(())
            }
            Command::CloseDiscarding => {
                self.guard.session.outbox().close();
                self.transport.discard_unsent();
                self.close(CloseReason::ForcedClose, now, cx);
                self.transport.stop_awaiting_poll();
                Ok(())
            }
            Command::Abort => {
                self.guard.session.outbox().close();
                self.close(CloseReason::ServerShuttingDown, now, cx);
                self.transport = SessionTransport::Closed;
                self.drop_candidate(now);
                self.unregister();
                Ok(())
            }
        };
        if let Err(reason) = handled {
            self.close(reason, now, cx);
        }
    }

    /// Ends the session. The handler is told now, and the transport may take longer to close.
    fn close(&mut self, reason: CloseReason, now: Time, cx: &mut Context<'_>) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.unfinished_post = None;
        self.session().set_closed();
        self.open.close(closed_series(reason));
        let description = self.session().close_description().map(Excerpt).map(tracing::field::display);
        tracing::debug!(%reason, description, "session closed");
        self.dispatcher.handler.on_close(reason, now, cx);
        self.close_transport(reason, now);
        // If packets wait for another poll, the client may already have stopped polling in order to upgrade. It then
        // gets them on the candidate.
        if !self.transport.awaits_poll() {
            self.drop_candidate(now);
        }
    }

    /// Starts to close the transport, which sends what is queued.
    fn close_transport(&mut self, reason: CloseReason, now: Time) {
        let outbox = self.guard.session.outbox();
        self.transport.close(reason, outbox, now, self.guard.engine.options().close_timeout);
        outbox.close();
        if !self.transport.takes_requests() {
            self.unregister();
        }
    }

    fn drop_candidate(&mut self, now: Time) {
        if let Some(candidate) = self.candidate.take() {
            candidate.websocket.close_in_background(now);
        }
    }

    /// Removes the session from the registry, so that no request finds it any more.
    fn unregister(&self) {
        self.guard.engine.registry().remove(self.session().id());
    }
}

/// Returns how the connection of a transport is counted.
fn connection_kind(transport: TransportName) -> ConnectionKind {
    match transport {
        TransportName::Polling => ConnectionKind::EngineIoPolling,
        _ => ConnectionKind::EngineIoWebSocket,
    }
}

fn closed_series(reason: CloseReason) -> Series {
    match reason {
        CloseReason::PingTimeout => Series::EngineClosedPingTimeout,
        CloseReason::TransportError => Series::EngineClosedTransportError,
        CloseReason::TransportClose => Series::EngineClosedTransportClose,
        CloseReason::ParseError => Series::EngineClosedParseError,
        CloseReason::ForcedClose => Series::EngineClosedForced,
        CloseReason::ServerShuttingDown => Series::EngineClosedShutdown,
    }
}

/// Returns the earlier of two deadlines, if there is one.
#[inline]
fn earliest(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl<A: Application> Driver<A> {
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> DriverPoll {
        let _entered = self.span.enter();
        let now = net::now();
        let mut new_runtime = None;
        self.session().outbox().unpark();
        TurnBudget::start();
        for _ in 0..MAX_TURNS_PER_POLL {
            let was_closed = self.is_closed;
            let handled = self.dispatcher.handler.poll(now, cx);
            let mut more = self.poll_input(now, cx);
            self.dispatcher.handler.on_input_handled(now);
            match self.poll_candidate(now, cx) {
                CandidateInput::Done => {}
                CandidateInput::More => more = true,
                CandidateInput::Switched(runtime) => {
                    more = true;
                    new_runtime = Some(runtime);
                }
            }
            let was_behind = self.transport.is_backpressured();
            let output = self.poll_output(now, cx);
            let caught_up = was_behind && !self.transport.is_backpressured();
            self.report_memory(output.latest_memory, now, cx);
            // Timers come after the output, because closing the connection there sets a deadline.
            let due = self.poll_timers(now, cx);
            if !was_closed && self.is_closed {
                // The end of the session may have given the handler new work, and the transport must still be closed.
                continue;
            }
            if self.is_closed && matches!(self.transport, SessionTransport::Closed) && handled.is_ready() {
                return DriverPoll::Finished;
            }
            let parked = self.session().outbox().park(output.unsent, output.is_writable, cx);
            if more {
                // A client that sends all the time must not keep the other tasks waiting.
                break;
            }
            if parked && !due && !caught_up && !std::mem::take(&mut self.was_notified) {
                return DriverPoll::Pending;
            }
        }
        if let Some(runtime) = new_runtime
            && runtime.id() != Handle::current().id()
        {
            // The timer belongs to the runtime on which it was created.
            self.deadline = DeadlineTimer::new();
            return DriverPoll::Move(runtime);
        }
        net::defer_wake(cx);
        DriverPoll::Pending
    }
}

impl<A: Application> Future for Driver<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut().poll_turns(cx) {
            DriverPoll::Finished => Poll::Ready(()),
            DriverPoll::Pending => Poll::Pending,
            DriverPoll::Move(_) => {
                // A session that starts on WebSocket has no candidate, so this does not happen. It would go on here.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Driver;
    use crate::handler::Application;
    use crate::server::ServerApplication;

    /// Tokio rounds the memory of a task up to a multiple of 128 bytes. The task of a Socket.IO session is just below such a step
    /// if the servers count nothing, so eight bytes more, here or in its handler, would cost 128.
    #[test]
    fn the_task_of_an_idle_session_is_small() {
        type Handler = <ServerApplication as Application>::Handler;
        let own = size_of::<Driver<ServerApplication>>() - size_of::<Handler>();
        let max = if net::metrics::IS_ENABLED { 480 } else { 456 };
        assert!(own <= max, "{own} bytes");
    }
}
