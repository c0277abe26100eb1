//! What waits for the events of this server that the message bus has not returned yet.
//!
//! If the bus orders all events, an event is delivered when the bus returns it. What the program does after it has sent the
//! event comes after it: a socket that leaves a room, or is disconnected, still receives it.
//!
//! An event that the bus refuses, or does not return in time, is delivered on this server alone, at its place in the queue. If too
//! much waits, so are all events in the queue.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socketio_proto::EncodedEvent;
use ws_proto::{PeerDeadline, Time};

use super::ClusterAdapter;
use super::waiting_claims::{ClaimAction, WaitingClaims};
use crate::cluster::{Message, OutgoingLimits, PublishError};
use crate::options::BroadcastOptions;
use crate::recovery::ClaimError;

/// How many claims run at once. A claim reads the log, and the thread that runs it delivers the messages of other namespaces
/// too.
const CLAIMS_AT_ONCE: usize = 16;

/// A queue of published events, and of what comes after them.
pub(super) struct LogOrder {
    timeout: Duration,
    limits: OutgoingLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each item with its size in bytes.
    items: VecDeque<(Item, usize)>,
    bytes: usize,
    /// How many items are events that the bus has not returned.
    published: usize,
    /// The number of the last item that was added, from 1.
    last: u64,
    /// Some thread runs what is at the front of the queue.
    is_running: bool,
    /// The bus must have returned the events up to this number at this time. Events that come later wait for the next time.
    deadline: Option<(u64, PeerDeadline)>,
    /// Claims of clients of this server, and of other servers. They may come later than their place, but not earlier.
    claims: [WaitingClaims; 2],
}

/// Who makes a claim.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Client,
    Server,
}

enum Item {
    /// A broadcast that the bus has not returned.
    Published(Message),
    Action(Action),
}

pub(super) type Action = Box<dyn FnOnce(&ClusterAdapter) + Send>;

impl LogOrder {
    /// Creates an empty queue. The bus returns an event within `timeout`.
    pub(super) fn new(timeout: Duration, limits: OutgoingLimits) -> Self {
        Self { timeout, limits, state: Mutex::default() }
    }

    /// Returns whether no event is on its way.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.items.is_empty() && !state.is_running
    }

    /// Publishes an event that the bus will return. If the bus refuses it, returns the message and the error. The caller then
    /// passes its sequence number to [`handle_refused`](Self::handle_refused). In any case, the caller then
    /// [enforces the limits](Self::enforce_limits).
    pub(super) fn publish(
        &self,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        publish: impl FnOnce(&Message) -> Result<(), PublishError>,
    ) -> Option<(Message, PublishError)> {
        let mut state = self.state();
        let (ack, sequence) = (None, Some(state.last + 1));
        let message = Message::Broadcast { event: event.clone(), options: options.clone(), ack, sequence };
        // Under the lock, so that the bus gets the events in this order.
        let refused = publish(&message).err().map(|error| (message.clone(), error));
        state.push(Item::Published(message), size(event, options));
        refused
    }

    /// Runs an action after all events that were published before: at once if all of them have returned.
    pub(super) fn run(
        &self,
        adapter: &ClusterAdapter,
        action: impl FnOnce(&ClusterAdapter) + Send + 'static,
    ) {
        self.run_sized(adapter, 0, action);
    }

    /// Runs an action that keeps so many bytes while it waits.
    pub(super) fn run_sized(
        &self,
        adapter: &ClusterAdapter,
        bytes: usize,
        action: impl FnOnce(&ClusterAdapter) + Send + 'static,
    ) {
        {
            let mut state = self.state();
            if state.items.is_empty() && !state.is_running {
                drop(state);
                return action(adapter);
            }
            state.push(Item::Action(Box::new(action)), bytes);
        }
        self.enforce_limits(adapter);
    }

    /// Gives up all events in the queue if too much waits.
    pub(super) fn enforce_limits(&self, adapter: &ClusterAdapter) {
        {
            let mut state = self.state();
            let OutgoingLimits { max_messages, max_bytes } = self.limits;
            if state.published == 0 || state.items.len() <= max_messages && state.bytes <= max_bytes {
                return;
            }
            state.give_up_all(ClusterAdapter::handle_not_returned);
        }
        self.run_actions(adapter);
    }

    /// Runs a claim after all events that were published before: at once if all of them have returned. If `max` claims of
    /// this kind wait, or the deadline passes, the claim is refused. Returns whether it waits.
    pub(super) fn claim(
        &self,
        adapter: &ClusterAdapter,
        origin: Origin,
        max: usize,
        deadline: Time,
        action: ClaimAction,
    ) -> bool {
        let result = {
            let mut state = self.state();
            let after = state.last;
            let must_wait = !state.items.is_empty() || state.is_running;
            let claims = &mut state.claims[origin as usize];
            if !must_wait {
                Ok(())
            } else if claims.len() < max {
                claims.push(after, deadline, action);
                return true;
            } else {
                Err(ClaimError::TooManyClaims)
            }
        };
        action(adapter, result);
        false
    }

    /// Runs claims that have their place, and refuses those whose time is over at `now`. If some are left,
    /// [`poll_timeout`](Self::poll_timeout) says so.
    pub(super) fn run_claims(&self, adapter: &ClusterAdapter, now: Option<Time>) {
        run_all((0..CLAIMS_AT_ONCE).map_while(|_| self.next_claim(now)), |(action, result)| {
            action(adapter, result);
        });
    }

    fn next_claim(&self, now: Option<Time>) -> Option<(ClaimAction, Result<(), ClaimError>)> {
        let mut state = self.state();
        let done = state.done();
        let [clients, servers] = &mut state.claims;
        clients.next(done, now).or_else(|| servers.next(done, now))
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) and [`run_claims`](Self::run_claims) must be called next. A time
    /// in the past means at once.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let state = self.state();
        let done = state.done();
        let claims = state.claims.iter().filter_map(|claims| claims.poll_timeout(done));
        claims.chain(state.poll_timeout()).min()
    }

    /// Handles that the bus returns an event. `deliver` runs at the place of the event. Returns `false` if the event does not
    /// wait any more.
    pub(super) fn handle_returned(
        &self,
        adapter: &ClusterAdapter,
        sequence: Option<u64>,
        now: Time,
        deliver: Action,
    ) -> bool {
        {
            let mut state = self.state();
            let index = match sequence {
                Some(sequence) => state.index(sequence),
                None => state.items.iter().position(|(item, _)| item.is_published()),
            };
            let Some(index) = index.filter(|index| state.items[*index].0.is_published()) else {
                return false;
            };
            state.items[index].0 = Item::Action(deliver);
            state.published -= 1;
            // The bus keeps the order, so it does not return the earlier ones any more.
            state.give_up(index, ClusterAdapter::handle_not_returned);
            state.start_deadline(now, self.timeout);
        }
        self.run_actions(adapter);
        true
    }

    /// Handles that the bus refuses an event.
    pub(super) fn handle_refused(&self, adapter: &ClusterAdapter, sequence: u64) {
        {
            let mut state = self.state();
            let Some(index) = state.index(sequence) else { return };
            if state.items[index].0.give_up(ClusterAdapter::deliver_here) {
                state.published -= 1;
            }
        }
        self.run_actions(adapter);
    }

    /// Gives up the events whose time is over.
    pub(super) fn handle_timeout(&self, adapter: &ClusterAdapter, now: Time) {
        {
            let mut state = self.state();
            let done = state.done();
            if let Some((last, deadline)) = &mut state.deadline
                && *last > done
                && deadline.expired_or_restart(self.timeout, now)
            {
                let index = state.deadline.take().and_then(|(last, _)| state.index(last));
                state.give_up(index.map_or(0, |index| index + 1), ClusterAdapter::handle_not_returned);
            }
            state.start_deadline(now, self.timeout);
        }
        self.run_actions(adapter);
    }

    /// Handles that no event will return. Claims are refused, because events may be missing.
    pub(super) fn handle_lost(&self, adapter: &ClusterAdapter) {
        let mut claims = {
            let mut state = self.state();
            state.give_up_all(ClusterAdapter::deliver_here);
            state.take_claims()
        };
        self.run_actions(adapter);
        // Some may have come meanwhile.
        claims.extend(self.state().take_claims());
        run_all(claims, |action| action(adapter, Err(ClaimError::Gap)));
    }

    /// Runs what is at the front of the queue.
    fn run_actions(&self, adapter: &ClusterAdapter) {
        let mut is_ours = false;
        run_all(std::iter::from_fn(|| self.next_action(&mut is_ours)), |action| action(adapter));
    }

    /// Takes the action at the front of the queue. `is_ours` says whether this thread runs the actions. Returns `None` if
    /// an event is at the front, or another thread runs them.
    fn next_action(&self, is_ours: &mut bool) -> Option<Action> {
        let mut state = self.state();
        if state.is_running && !*is_ours {
            return None;
        }
        *is_ours = matches!(state.items.front(), Some((Item::Action(_), _)));
        state.is_running = *is_ours;
        match state.items.pop_front() {
            Some((Item::Action(action), bytes)) => {
                state.bytes -= bytes;
                // The memory after a burst returns to what it was.
                if state.items.is_empty() && state.items.capacity() > 64 {
                    state.items = VecDeque::new();
                }
                Some(action)
            }
            published => {
                // It stays.
                published.into_iter().for_each(|published| state.items.push_front(published));
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns about how many bytes an event takes while it waits, with its rooms.
pub(super) fn size(event: &EncodedEvent, options: &BroadcastOptions) -> usize {
    let attachments = event.attachments().iter().map(Bytes::len).sum::<usize>();
    let rooms = options.rooms.iter().chain(&options.except);
    let rooms = rooms.map(|room| room.len() + size_of_val(room)).sum::<usize>();
    size_of::<Item>() + event.json().len() + attachments + rooms
}

/// Runs actions, which may call the program's code, such as its parser. If that panics, the others still run, before the panic
/// goes on.
fn run_all<A>(actions: impl IntoIterator<Item = A>, run: impl Fn(A)) {
    let mut panicked = None;
    for action in actions {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(action))) {
            panicked.get_or_insert(panic);
        }
    }
    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
}

impl State {
    fn take_claims(&mut self) -> Vec<ClaimAction> {
        self.claims.iter_mut().flat_map(WaitingClaims::take_all).collect()
    }

    /// Returns the place of an item in the queue.
    fn index(&self, number: u64) -> Option<usize> {
        let first = self.last + 1 - self.items.len() as u64;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        (index < self.items.len()).then_some(index)
    }

    /// Gives up the events among the first `count` items.
    fn give_up(&mut self, count: usize, handle: fn(&ClusterAdapter, &Message)) {
        for (item, _) in self.items.iter_mut().take(count) {
            self.published -= usize::from(item.give_up(handle));
        }
    }

    /// Gives up all events, which may be only the last ones.
    fn give_up_all(&mut self, handle: fn(&ClusterAdapter, &Message)) {
        for (item, _) in self.items.iter_mut().rev() {
            if self.published == 0 {
                return;
            }
            self.published -= usize::from(item.give_up(handle));
        }
    }

    /// Returns when the time of the first events is over. Nobody has told the time of those that were published since the
    /// others have returned.
    fn poll_timeout(&self) -> Option<Time> {
        match self.deadline.filter(|(last, _)| *last > self.done()) {
            Some((_, deadline)) => Some(deadline.time()),
            None => (self.published > 0).then_some(Time::ZERO),
        }
    }

    /// Starts the time of the events that are in the queue, unless the time of some of them runs.
    fn start_deadline(&mut self, now: Time, timeout: Duration) {
        if self.poll_timeout() == Some(Time::ZERO) {
            self.deadline = Some((self.last, PeerDeadline::new(now + timeout)));
        }
    }

    fn push(&mut self, item: Item, bytes: usize) {
        self.last += 1;
        self.bytes += bytes;
        self.published += usize::from(item.is_published());
        self.items.push_back((item, bytes));
    }

    /// Returns the number of the last item that is done.
    fn done(&self) -> u64 {
        self.last - self.items.len() as u64 - u64::from(self.is_running)
    }
}

impl Item {
    fn is_published(&self) -> bool {
        matches!(self, Self::Published(_))
    }

    /// If this is an event, passes it to `handle` when it is at the front. Returns whether it is one.
    fn give_up(&mut self, handle: fn(&ClusterAdapter, &Message)) -> bool {
        let Self::Published(message) = self else { return false };
        let message = message.clone();
        *self = Self::Action(Box::new(move |adapter| handle(adapter, &message)));
        true
    }
}

impl fmt::Debug for LogOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOrder").field("items", &self.state().items.len()).finish_non_exhaustive()
    }
}
