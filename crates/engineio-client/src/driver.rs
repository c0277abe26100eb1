//! The state machine of a session and its transports, in one future.
//!
//! Hot path. The driver works in turns. In one turn it reads the input and passes each message to the handler without
//! copying it. Then it takes the queued messages from the outbox and writes them at once.

mod candidate;
mod input;
mod output;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_proto::client::{self, Action, Session as Machine};
use engineio_proto::{CloseReason, Payload, Transport as TransportName};
use ws_proto::Time;

use crate::connector::Options;
use crate::error::{CloseError, Closed};
use crate::handler::EngineHandler;
use crate::packet_queue::PacketQueue;
use crate::session::Session;
use crate::transport::{
    Client, Memory, OpeningWebSocket, Polling, Timer, TransportEnd, TransportError, WebSocket, now,
};
use candidate::Candidate;

/// Turns in one poll of the task, before it yields to other tasks.
const MAX_TURNS_PER_POLL: usize = 16;

/// Drives one session, from its first request to its last byte. A task must poll it, with [`run`](Self::run) or
/// [`poll`](Self::poll).
///
/// Dropping it closes its connections at once, without telling the server. To close a session properly, call
/// [`Session::close`] and poll the driver until it is done.
pub struct Driver {
    session: Session,
    options: Arc<Options>,
    client: Client,
    machine: Machine,
    transport: Transport,
    /// The connection that a polling session may upgrade to.
    candidate: Option<Candidate>,
    /// A former candidate, during its closing handshake.
    abandoned: Option<Box<WebSocket>>,
    /// What the driver has taken from the outbox and not sent yet.
    queue: PacketQueue,
    /// The response to a poll that is only partly handled, because the handler accepted no more or the turn was over.
    unfinished_poll: Option<Box<Payload>>,
    memory: Memory,
    timer: Timer,
    /// The transports to try next if the session does not open. The last one in the list is the next.
    untried: Vec<TransportName>,
    /// The handler accepts no messages at the moment.
    is_read_paused: bool,
    /// When the program's close must have finished.
    close_deadline: Option<Time>,
    /// What went wrong in the driver. The machine only knows that something did.
    failure: Option<CloseError>,
    /// The handler has been told that the session is over. The transport may still have data to send.
    is_closed: bool,
    /// This turn has changed something, so another turn must follow.
    has_progressed: bool,
}

/// The transport that a session uses now.
#[expect(
    clippy::large_enum_variant,
    reason = "most sessions end up on WebSocket; a box would cost each an allocation"
)]
enum Transport {
    Polling(Box<Polling>),
    /// A session that starts on WebSocket.
    Opening(OpeningWebSocket),
    WebSocket(WebSocket),
    Closed,
}

impl Driver {
    pub(crate) fn new(options: Arc<Options>, session: Session, first: TransportName) -> Self {
        let client = Client::new(Arc::clone(&options));
        let machine = Machine::new(first, &options.session_settings(), now());
        let mut untried = Vec::new();
        if options.try_all_transports {
            untried.extend(options.transports.iter().rev().copied().filter(|other| *other != first));
        }
        let mut driver = Self {
            session,
            client,
            machine,
            transport: Transport::Closed,
            candidate: None,
            abandoned: None,
            queue: PacketQueue::default(),
            unfinished_poll: None,
            memory: Memory::new(&options.platform),
            timer: Timer::new(),
            untried,
            is_read_paused: false,
            options,
            close_deadline: None,
            failure: None,
            is_closed: false,
            has_progressed: false,
        };
        driver.start(first);
        driver
    }

    /// Runs the session with this handler until it is over, and returns the handler.
    ///
    /// Cancel safe: dropping the future closes the connections at once.
    pub async fn run<H: EngineHandler>(mut self, mut handler: H) -> H {
        poll_fn(|cx| self.poll(&mut handler, cx)).await;
        handler
    }

    /// Drives the session. Returns `Ready` when the session is over and its transport is closed. Always pass the same
    /// handler, and always poll from the same task.
    ///
    /// After [`EngineHandler::on_close`], a connection may take some seconds for its closing handshake. A program that
    /// does not want to wait for it may drop the driver.
    pub fn poll<H: EngineHandler>(&mut self, handler: &mut H, cx: &mut Context<'_>) -> Poll<()> {
        let now = now();
        self.session.outbox().unpark();
        for _ in 0..MAX_TURNS_PER_POLL {
            self.has_progressed = false;
            let was_closed = self.is_closed;
            let handled = handler.poll(now, cx);
            let more = self.poll_input(handler, now, cx);
            self.poll_candidate(handler, now, cx);
            // The machine's deadlines come after the input: what has arrived in time counts.
            self.report_memory(cx);
            let writable = self.poll_output(handler, now, cx);
            let due = self.poll_timers(handler, now, cx);
            if !was_closed && self.is_closed {
                // The end of the session may have given the handler new work, and the transport must still be closed.
                continue;
            }
            let is_done =
                self.is_closed && matches!(self.transport, Transport::Closed) && self.abandoned.is_none();
            if is_done && handled.is_ready() {
                return Poll::Ready(());
            }
            let parked = self.session.outbox().park(self.unsent(), writable, cx);
            if more {
                // A server that sends all the time must not keep the other tasks waiting.
                break;
            }
            if parked && !due && !self.has_progressed {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Starts to open the session on this transport.
    fn start(&mut self, transport: TransportName) {
        self.session.set_transport(transport);
        self.transport = match transport {
            TransportName::Polling => Transport::Polling(Box::new(Polling::new())),
            TransportName::WebSocket => Transport::Opening(OpeningWebSocket::new(&self.client, None)),
        };
    }

    /// Returns the number of bytes that the driver has taken from the outbox and not sent yet.
    fn unsent(&self) -> usize {
        let sending = match &self.transport {
            Transport::Polling(polling) => polling.unsent(),
            Transport::WebSocket(websocket) => websocket.unsent(),
            Transport::Opening(_) | Transport::Closed => 0,
        };
        self.queue.len() + sending
    }

    /// Ends the session if the memory budget is exceeded and the session is among those that hold the most. Its connection
    /// is dropped without a closing handshake, which frees the memory at once.
    fn report_memory(&mut self, cx: &Context<'_>) {
        let transport = match &self.transport {
            Transport::Polling(polling) => polling.memory(),
            Transport::WebSocket(websocket) => websocket.memory(),
            Transport::Opening(_) | Transport::Closed => 0,
        };
        let poll = self.unfinished_poll.as_ref().map_or(0, |payload| payload.memory());
        if !self.memory.report(transport + poll + self.queue.len(), cx) && !self.is_closed {
            let limit = self.memory.limit();
            self.memory = Memory::new(&self.options.platform);
            self.set_failure(Some(CloseError::MemoryBudget { limit }));
            self.transport = Transport::Closed;
            self.unfinished_poll = None;
            self.machine.handle_transport_failed();
        }
    }

    /// Handles the timers that have expired. Returns whether there were any.
    fn poll_timers<H: EngineHandler>(&mut self, handler: &mut H, now: Time, cx: &mut Context<'_>) -> bool {
        let machine = if self.is_closed { None } else { self.machine.poll_timeout() };
        let transport = match &self.transport {
            Transport::Polling(polling) => polling.poll_timeout(),
            Transport::WebSocket(websocket) => websocket.poll_timeout(),
            Transport::Opening(_) | Transport::Closed => None,
        };
        let abandoned = self.abandoned.as_ref().and_then(|websocket| websocket.poll_timeout());
        let wanted = [machine, transport, abandoned, handler.poll_timeout(), self.close_deadline];
        if self.timer.poll(wanted.into_iter().flatten().min(), now, cx).is_pending() {
            return false;
        }
        if !self.is_closed {
            self.machine.handle_timeout(now);
            if self.close_deadline.is_some_and(|deadline| deadline <= now) {
                let closed =
                    Closed { reason: CloseReason::ForcedClose, error: Some(CloseError::CloseTimedOut) };
                self.transport = Transport::Closed;
                self.candidate = None;
                self.end(closed, handler, now, cx);
            }
        }
        true
    }

    /// Carries out what the machine wants.
    fn perform<H: EngineHandler>(
        &mut self,
        action: Action,
        handler: &mut H,
        now: Time,
        cx: &mut Context<'_>,
    ) {
        match action {
            Action::Poll => {
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.start_get(&self.client, self.machine.id());
                }
            }
            Action::OpenCandidate(transport) => self.open_candidate(transport),
            Action::SendToCandidate(packet) => self.send_to_candidate(&packet),
            Action::SwitchToCandidate(packet) => self.switch_to_candidate(&packet, handler),
            Action::CloseCandidate => self.close_candidate(handler, now),
            Action::Close(closed) => self.handle_close(closed, handler, now, cx),
        }
    }

    /// Handles the end of the machine: tries the next transport, or ends the session.
    fn handle_close<H: EngineHandler>(
        &mut self,
        closed: client::Closed,
        handler: &mut H,
        now: Time,
        cx: &mut Context<'_>,
    ) {
        let failure = self.failure.take();
        let error = closed.error.map(CloseError::Session).or(failure);
        let never_opened = self.machine.handshake().is_none();
        if never_opened {
            self.options.set_prior_websocket_success(false);
        }
        if never_opened
            && closed.reason == CloseReason::TransportError
            && let Some(next) = self.untried.pop()
        {
            if let Some(error) = &error {
                tracing::debug!(%error, next = next.name(), "trying the next transport");
            }
            let mut settings = self.options.session_settings();
            // The session does not upgrade to what has failed, as in JavaScript.
            settings.transports.retain(|transport| *transport == next || self.untried.contains(transport));
            self.machine = Machine::new(next, &settings, now);
            self.start(next);
            self.has_progressed = true;
            return;
        }
        match (&mut self.transport, closed.close_packet) {
            (Transport::Polling(polling), Some(packet)) => {
                polling.close(&self.client, self.machine.id(), &packet, now);
            }
            (Transport::WebSocket(websocket), _) => websocket.close(now),
            (transport, _) => *transport = Transport::Closed,
        }
        self.end(Closed { reason: closed.reason, error }, handler, now, cx);
    }

    /// Tells the handler that the session is over. The transport may take longer to close.
    fn end<H: EngineHandler>(&mut self, closed: Closed, handler: &mut H, now: Time, cx: &mut Context<'_>) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.close_deadline = None;
        self.unfinished_poll = None;
        self.queue.clear();
        self.session.set_closed();
        handler.on_close(closed, now, cx);
    }

    /// Handles the end of the transport's connection.
    fn handle_transport_end(&mut self, end: TransportEnd) {
        let transport = self.machine.transport();
        let (error, has_failed) = match end {
            TransportEnd::Closed(error) => (error, false),
            TransportEnd::Failed(error) => (Some(error), true),
        };
        self.set_failure(error.map(|error| CloseError::Transport { transport, error }));
        if has_failed {
            self.machine.handle_transport_failed();
        } else {
            self.machine.handle_transport_closed();
        }
    }

    /// The first failure is the cause of the others.
    fn set_failure(&mut self, failure: Option<CloseError>) {
        if self.failure.is_none() {
            self.failure = failure;
        }
    }

    fn handle_transport_failure(&mut self, error: TransportError) {
        self.handle_transport_end(TransportEnd::Failed(error));
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Wakes the tasks that wait for capacity.
impl Drop for Driver {
    fn drop(&mut self) {
        self.session.set_closed();
    }
}
