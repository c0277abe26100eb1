//! Connection state recovery within one process.
//!
//! Everything that changes what a socket receives holds the [`RecoveryState`]: an event from its offset to its last
//! delivery, and each change of the rooms. The lock of the index is taken inside.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socketio_proto::{EncodedEvent, SocketId};
use ws_proto::Time;

use super::{InMemoryAdapter, Wakers, note_nothing};
use crate::host::Host;
use crate::local_socket::LocalSocket;
use crate::options::BroadcastOptions;
use crate::recovery::{
    ClaimError, Claimed, KeptForRecovery, Recovery, RecoveryOptions, RecoveryState, Resumed, Session,
    is_logged,
};

/// What a namespace keeps for recovery. Its lock is the order of the log.
pub(super) struct LocalRecovery {
    state: Mutex<RecoveryState>,
    host: Weak<dyn Host>,
}

impl LocalRecovery {
    pub(super) fn new(options: RecoveryOptions, host: Weak<dyn Host>) -> Self {
        Self { state: Mutex::new(RecoveryState::new(options)), host }
    }

    // A panic of the server's code below cannot leave the state inconsistent: it is called before the state changes.
    pub(super) fn state(&self) -> MutexGuard<'_, RecoveryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that what is kept is dropped in time. The caller has released the state.
    #[cold]
    pub(super) fn start_timer(&self) {
        let Some(host) = self.host.upgrade() else { return };
        let is_started = host.start_recovery_timer();
        if !is_started {
            self.state().has_timer = false;
        }
    }
}

/// Notes that a timer is needed. Returns whether the caller must start it.
pub(super) fn needs_timer(state: &mut RecoveryState) -> bool {
    !std::mem::replace(&mut state.has_timer, true)
}

impl InMemoryAdapter {
    /// If a socket still uses a session, ends its connection.
    pub(super) fn end_unnoticed_connection(&self, recovery: &LocalRecovery, pid: &str, now: Time) {
        let Some((id, generation)) = recovery.state().user(pid) else { return };
        if let Some(socket) = self.local_socket(&id)
            && socket.evict()
        {
            // Another thread may be about to do this, after the hooks of the program.
            self.suspend(&*socket, generation, now);
        }
    }

    /// Delivers an event at its place in the order of the log. `assigned` is its offset, if a message bus has assigned it.
    pub(super) fn broadcast_in_order(
        &self,
        recovery: &LocalRecovery,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        assigned: Option<&str>,
    ) -> usize {
        let Some(host) = recovery.host.upgrade() else { return 0 };
        let mut wakers = Wakers::default();
        let mut state = recovery.state();
        let is_logged = is_logged(options);
        let event = match assigned {
            Some(offset) if is_logged => std::borrow::Cow::Owned(event.with_offset(offset)),
            None if is_logged => std::borrow::Cow::Owned(state.stamp(event)),
            _ => state.unlogged(event, &options.policy),
        };
        if !host.prepare_delivery(&event) {
            return 0;
        }
        let mut starts_timer = false;
        let receivers;
        if !is_logged {
            receivers = self.push_to_selected(&event, options, &mut wakers, note_nothing);
        } else {
            let (last_sent, position) = state.next_receivers(assigned);
            receivers =
                self.push_to_selected(&event, options, &mut wakers, |slot| last_sent.set(slot, &position));
            state.push(&event, options.clone(), assigned, host.now());
            starts_timer = needs_timer(&mut state);
        }
        drop(state);
        wakers.wake();
        if starts_timer {
            recovery.start_timer();
        }
        receivers
    }

    /// Removes a socket and its session.
    pub(super) fn remove_in_order(
        &self,
        recovery: &LocalRecovery,
        id: &SocketId,
    ) -> Option<Arc<dyn LocalSocket>> {
        let (former, changes) = {
            let mut state = recovery.state();
            if self.read().is_connected(id) {
                return None;
            }
            state.end(id);
            let ((former, slots), changes) = self.change(|index| (index.remove(id), index.slots()));
            state.handle_removal(slots);
            (former, changes)
        };
        self.report_changes(&changes);
        former
    }

    pub(super) fn local_recovery(&self) -> &LocalRecovery {
        self.recovery.get().expect("`Adapter::recovery` returns this only with a log")
    }
}

impl Recovery for InMemoryAdapter {
    fn begin(&self, pid: &str, socket: Arc<dyn LocalSocket>) {
        let recovery = self.local_recovery();
        let mut state = recovery.state();
        let generation = state.begin(socket.id(), pid);
        let waker = socket.accept(&[], generation);
        let id = socket.id().clone();
        let ((former, slot), changes) = self.change(|index| {
            let former = index.remove(&id);
            (former, index.insert(socket))
        });
        state.attach(&id, slot);
        drop(state);
        drop(former);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.report_changes(&changes);
    }

    fn suspend(&self, socket: &dyn LocalSocket, generation: u64, now: Time) {
        let recovery = self.local_recovery();
        let mut state = recovery.state();
        let slot = self.read().slot(socket.id());
        if !state.suspend(socket, slot, generation, now) {
            return;
        }
        let ((former, slots), changes) = self.change(|index| (index.remove(socket.id()), index.slots()));
        state.handle_removal(slots);
        let starts_timer = needs_timer(&mut state);
        drop(state);
        drop(former);
        self.report_changes(&changes);
        if starts_timer {
            recovery.start_timer();
        }
    }

    fn claim(&self, pid: &str, offset: Option<&str>, now: Time, then: Claimed) {
        let recovery = self.local_recovery();
        self.end_unnoticed_connection(recovery, pid, now);
        let claimed = recovery.state().claim_or_end(pid, offset, now);
        then(claimed);
    }

    fn resume(&self, session: Session, socket: Arc<dyn LocalSocket>, now: Time, then: Resumed) {
        // Another server, which the session comes from, may have other limits.
        if let Err(error) = socket.limits().check_all(&session.rooms) {
            return then(Err(ClaimError::RoomsNotAllowed(error)));
        }
        let mut state = self.local_recovery().state();
        let (missed, generation) = match state.resume(&session, now) {
            Ok(resumed) => resumed,
            Err(error) => {
                drop(state);
                return then(Err(error));
            }
        };
        // From the decision to the last room, the order of the log stands still: an event has its offset either before, and is
        // one of the missed, or after, and finds the socket in its rooms. What is not logged reads the index, which changes
        // once, and after the socket was accepted.
        let waker = socket.accept(&missed, generation);
        let id = socket.id().clone();
        // The session already knows these rooms, and since when.
        let ((former, slot), changes) = self.change(|index| {
            let former = index.remove(&id);
            let slot = index.insert(socket);
            for room in &session.rooms {
                // The limits allow all of them.
                let _ = index.join(slot, room);
            }
            (former, slot)
        });
        state.attach(&id, slot);
        drop(state);
        drop(former);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.report_changes(&changes);
        then(Ok(missed.len()));
    }

    fn has_session(&self, id: &SocketId) -> bool {
        self.local_recovery().state().has_session(id)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.local_recovery().state().poll_timeout()
    }

    fn handle_timeout(&self, now: Time) -> Option<Time> {
        self.local_recovery().state().handle_timeout(now)
    }

    fn kept(&self) -> KeptForRecovery {
        self.local_recovery().state().kept()
    }
}

impl fmt::Debug for LocalRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRecovery").finish_non_exhaustive()
    }
}
