//! What waits for the events of this server that the message bus has not returned yet.
//!
//! If the bus orders all events, an event is delivered when the bus returns it. What the program does after it has sent the
//! event comes after it: a socket that leaves a room, or is disconnected, still receives it.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ws_proto::Time;

use super::ClusterAdapter;
use super::waiting_claims::{ClaimAction, WaitingClaims};
use crate::recovery::ClaimError;

/// How many claims run at once. A claim reads the log, and the thread that runs it delivers the messages of other namespaces
/// too.
const CLAIMS_AT_ONCE: usize = 16;

/// A queue of published events, and of what comes after them.
#[derive(Default)]
pub(super) struct LogOrder(Mutex<State>);

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// The number of the last item that was added, from 1.
    last: u64,
    /// Some thread runs what is at the front of the queue.
    is_running: bool,
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
    /// An event that the bus has not returned.
    Published,
    Action(Action),
}

type Action = Box<dyn FnOnce(&ClusterAdapter) + Send>;

impl LogOrder {
    /// Returns whether no event is on its way.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.items.is_empty() && !state.is_running
    }

    /// Publishes an event that the bus will return.
    pub(super) fn publish(&self, publish: impl FnOnce()) {
        let mut state = self.state();
        // Under the lock, so that the bus gets the events in this order.
        publish();
        state.push(Item::Published);
    }

    /// Runs an action after all events that were published before: at once if all of them have returned.
    pub(super) fn run(
        &self,
        adapter: &ClusterAdapter,
        action: impl FnOnce(&ClusterAdapter) + Send + 'static,
    ) {
        {
            let mut state = self.state();
            if !state.items.is_empty() || state.is_running {
                state.push(Item::Action(Box::new(action)));
                return;
            }
        }
        action(adapter);
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

    /// Returns when [`run_claims`](Self::run_claims) must be called next. A time in the past means at once.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let state = self.state();
        let done = state.done();
        state.claims.iter().filter_map(|claims| claims.poll_timeout(done)).min()
    }

    /// Handles that the bus has returned the oldest event, after it was delivered.
    pub(super) fn handle_returned(&self, adapter: &ClusterAdapter) {
        {
            let mut state = self.state();
            if let Some(Item::Published) = state.items.front() {
                state.items.pop_front();
            }
        }
        self.run_actions(adapter);
    }

    /// Handles that no event will return. Claims are refused, because events may be missing.
    pub(super) fn handle_lost(&self, adapter: &ClusterAdapter) {
        let mut claims = {
            let mut state = self.state();
            state.items.retain(|item| matches!(item, Item::Action(_)));
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
        *is_ours = matches!(state.items.front(), Some(Item::Action(_)));
        state.is_running = *is_ours;
        match state.items.pop_front() {
            Some(Item::Action(action)) => Some(action),
            published => {
                // It stays.
                published.into_iter().for_each(|published| state.items.push_front(published));
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    fn push(&mut self, item: Item) {
        self.last += 1;
        self.items.push_back(item);
    }

    /// Returns the number of the last item that is done.
    fn done(&self) -> u64 {
        self.last - self.items.len() as u64 - u64::from(self.is_running)
    }
}

impl fmt::Debug for LogOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOrder").field("items", &self.state().items.len()).finish_non_exhaustive()
    }
}
