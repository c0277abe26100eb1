//! What only the adapter of a cluster asks of the sockets of its process.

use socketio_proto::EncodedEvent;
use ws_proto::Time;

use super::InMemoryAdapter;
use super::recovery::needs_timer;
use crate::cluster::MovedSession;
use crate::options::BroadcastOptions;
use crate::recovery::ClaimError;
use crate::room_change::RoomObserver;

impl InMemoryAdapter {
    /// Sets the function with which the adapter of a cluster observes the rooms. It is called before that of the server.
    pub(crate) fn observe_rooms_for_bus(&self, observer: RoomObserver) {
        if self.bus_observer.set(observer).is_ok() {
            self.write().record_changes();
        }
    }

    /// Delivers an event of a message bus. `assigned` is the offset that the bus has assigned, if the event is logged.
    pub(crate) fn broadcast_at(
        &self,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        assigned: Option<&str>,
    ) {
        self.broadcast_in_order(self.local_recovery(), event, options, assigned);
    }

    /// Returns a copy of a session for another server, which may take the session. If a socket still uses it, its connection
    /// ends.
    pub(crate) fn export_session(&self, pid: &str, now: Time) -> Option<MovedSession> {
        let recovery = self.recovery.get()?;
        self.end_unnoticed_connection(recovery, pid, now);
        recovery.state().export(pid, now)
    }

    /// Begins to give a session to another server, see [`RecoveryState::hand_over`].
    pub(crate) fn hand_over_session(&self, pid: &str, generation: u64, now: Time) -> Option<(u64, Time)> {
        self.recovery.get()?.state().hand_over(pid, generation, now)
    }

    /// Removes a session that another server has, see [`RecoveryState::take`].
    pub(crate) fn take_session(&self, pid: &str, generation: u64, now: Time) {
        if let Some(recovery) = self.recovery.get() {
            recovery.state().take(pid, generation, now);
        }
    }

    /// Returns whether the log contains the place of a session of another server.
    pub(crate) fn can_import(&self, session: &MovedSession) -> bool {
        self.recovery.get().is_some_and(|recovery| recovery.state().can_import(session))
    }

    /// Keeps a session of another server, see [`RecoveryState::import`].
    pub(crate) fn import_session(
        &self,
        session: MovedSession,
        until: Time,
        now: Time,
    ) -> Result<(), ClaimError> {
        let recovery = self.local_recovery();
        let mut state = recovery.state();
        state.import(session, until, now)?;
        let starts_timer = needs_timer(&mut state);
        drop(state);
        if starts_timer {
            recovery.start_timer();
        }
        Ok(())
    }

    /// Notes that events of a message bus may be missing here.
    pub(crate) fn note_gap(&self) {
        if let Some(recovery) = self.recovery.get() {
            let former_log = recovery.state().note_gap();
            drop(former_log);
        }
    }
}
