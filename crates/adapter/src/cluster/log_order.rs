//! What waits for the events of this server that the message bus has not returned yet.
//!
//! If the bus orders all events, an event is delivered when the bus returns it. What the program does after it has sent the
//! event comes after it: a socket that leaves a room, or is disconnected, still receives it.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ClusterAdapter;

/// A queue of published events, and of what comes after them.
#[derive(Default)]
pub(super) struct LogOrder(Mutex<State>);

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Some thread runs what is at the front of the queue.
    is_running: bool,
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
        state.items.push_back(Item::Published);
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
                state.items.push_back(Item::Action(Box::new(action)));
                return;
            }
        }
        action(adapter);
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

    /// Handles that no event will return.
    pub(super) fn handle_lost(&self, adapter: &ClusterAdapter) {
        self.state().items.retain(|item| matches!(item, Item::Action(_)));
        self.run_actions(adapter);
    }

    /// Runs what is at the front of the queue. An action may call the program's code, such as its parser. If that panics, what
    /// waits behind it still runs, before the panic goes on.
    fn run_actions(&self, adapter: &ClusterAdapter) {
        let mut is_ours = false;
        let mut panicked = None;
        while let Some(action) = self.next_action(&mut is_ours) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| action(adapter))) {
                panicked.get_or_insert(panic);
            }
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
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

impl fmt::Debug for LogOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOrder").field("items", &self.state().items.len()).finish_non_exhaustive()
    }
}
