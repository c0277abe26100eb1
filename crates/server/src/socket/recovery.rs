//! What a socket has to do with the session that its client may recover.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use adapter::{ClaimError, Recovery, Session};
use handlers::with_encoder;
use net::SlowReaderPolicy;
use net::metrics::{self, Series};
use socketio_proto::server::{DisconnectReason, RecoveryRequest};
use socketio_proto::{EncodedEvent, encode};
use tokio::sync::oneshot;

use super::Socket;
use super::lifecycle::{CONNECTED, CONNECTING};
use crate::connection::claim_limits::ClaimPermit;
use crate::observer::Observation;
use crate::recovery::{RecoveryRefusal, SocketSession};

/// Receives the result of a claim. If the sender is gone, the adapter has dropped the claim.
pub(crate) type PendingClaim = oneshot::Receiver<Result<Session, ClaimError>>;

/// Receives `Ok` when the session has been resumed.
pub(crate) type PendingResume = oneshot::Receiver<Result<(), ClaimError>>;

impl Socket {
    /// Returns whether the client can recover its session.
    #[inline]
    pub(crate) fn is_recoverable(&self) -> bool {
        self.0.recovery.is_some()
    }

    /// Claims the session that the client wants to recover, if it wants to.
    pub(crate) fn claim_session(&self) -> Option<PendingClaim> {
        let (_, recovery) = self.session_and_recovery()?;
        let RecoveryRequest { pid, offset } = RecoveryRequest::from_auth(&self.0.auth)?;
        let (sender, receiver) = oneshot::channel();
        let max_pending = self.0.namespace.limits().max_pending_claims;
        let permit = match ClaimPermit::try_acquire(&self.0.client, max_pending) {
            Ok(permit) => permit,
            Err(error) => {
                let _ = sender.send(Err(error));
                return Some(receiver);
            }
        };
        let then = move |claimed| {
            // Before the client can ask for the next one.
            drop(permit);
            // If the client has left meanwhile, nobody wants to know.
            let _ = sender.send(claimed);
        };
        recovery.claim(&pid, offset.as_deref(), net::now(), Box::new(then));
        Some(receiver)
    }

    /// Returns the socket that takes the place of this one, with a claimed session.
    pub(crate) fn with_claimed_session(&self, session: Session) -> Self {
        let (id, data) = (session.id.clone(), session.data.clone());
        let socket = self.replacement(id, Some(SocketSession::claimed(session)));
        if data.is_some() {
            socket.update_extensions(|own| std::mem::replace(&mut own.data, data));
        }
        socket
    }

    /// Returns the socket that takes the place of this one, which could not resume its session.
    pub(crate) fn with_new_session(&self, id: adapter::SocketId) -> Self {
        self.replacement(id, SocketSession::new())
    }

    fn replacement(&self, id: adapter::SocketId, session: Option<Box<SocketSession>>) -> Self {
        let own = &self.0;
        let (namespace, auth) = (own.namespace.clone(), own.auth.clone());
        Self::with_session(id, namespace, own.session.clone(), Arc::clone(&own.client), auth, session)
    }

    /// Connects the socket with the session that it has claimed, if it has claimed one.
    pub(crate) fn resume_session(&self) -> Option<PendingResume> {
        let (own, recovery) = self.session_and_recovery()?;
        let session = own.take_claimed()?;
        let (sender, receiver) = oneshot::channel();
        let socket = self.clone();
        let then = move |resumed: Result<usize, ClaimError>| {
            // If the connection is over by now, nobody else removes the socket from the adapter.
            let resumed = resumed.map(|missed| socket.finish_entering(Some(missed)));
            let _ = sender.send(resumed);
        };
        recovery.resume(session, Arc::new(self.clone()), net::now(), Box::new(then));
        Some(receiver)
    }

    /// Notes and tells the observers why the client does not recover its session.
    pub(crate) fn handle_recovery_refused(&self, reason: RecoveryRefusal) {
        // That one is no fault of this claim, but of those that wait.
        if reason != RecoveryRefusal::Session(ClaimError::TooManyClaims) {
            self.0.client.claim_limits().count_failed();
        }
        metrics::count(refused_series(reason));
        tracing::debug!(socket = self.log_id(), namespace = self.0.namespace.name(), %reason, "not recovered");
        self.notify(|| Observation::RecoveryRefused { socket: self, reason });
    }

    /// Queues the response to CONNECT and the missed events of the session. The adapter holds its locks.
    pub(super) fn accept_session(&self, missed: &[EncodedEvent], generation: u64) -> Option<Waker> {
        let own = self.0.recovery.as_ref()?;
        own.set_generation(generation);
        // The response first. If events came before it, the client would keep them, and would not send the offset of the
        // last one when the connection breaks before the response: it would get them twice.
        with_encoder(|encoder| {
            let connect = encode::connect_with_pid(encoder, self.0.namespace.name(), &self.0.id, &own.pid);
            self.0.outgoing().send_or_log(connect);
        });
        let mut waker = None;
        for event in missed {
            if let Some(pushed) = self.0.outgoing().send_shared(event, SlowReaderPolicy::Disconnect) {
                self.record_delivery(pushed.outcome);
                waker = waker.or(pushed.waker);
            }
        }
        let connected =
            self.0.state.compare_exchange(CONNECTING, CONNECTED, Ordering::AcqRel, Ordering::Acquire);
        // Otherwise the socket was disconnected, and `finish_entering` removes it.
        if connected.is_ok() {
            own.set_connected();
        }
        waker
    }

    /// Completes [`accept_session`](Self::accept_session) when the adapter holds no lock. `missed` is the number of missed
    /// events of a recovered session.
    pub(super) fn finish_entering(&self, missed: Option<usize>) {
        tracing::debug!(
            socket = self.log_id(),
            namespace = self.0.namespace.name(),
            missed,
            "socket connected"
        );
        if self.0.recovery.as_ref().is_some_and(|session| session.has_connected()) {
            self.0.namespace.socket_count().connected();
            self.notify(|| Observation::SocketConnected { socket: self });
            if let Some(missed) = missed {
                metrics::count(Series::Recoveries);
                self.notify(|| Observation::SocketRecovered { socket: self, missed });
            }
            return;
        }
        let Some(reason) = self.disconnect_reason() else { return };
        // A middleware may have passed the socket to another task, and that task has disconnected it, or the connection
        // is over. The client ignores a disconnect packet before the response to its CONNECT.
        self.notify(|| Observation::SocketAbandoned { socket: self, reason });
        self.leave_adapter(reason);
        if reason == DisconnectReason::ServerNamespaceDisconnect {
            self.send_disconnect();
        }
    }

    /// Removes the socket from the adapter. Its session is kept if its client may recover it.
    pub(super) fn leave_adapter(&self, reason: DisconnectReason) {
        let adapter = self.0.namespace.adapter();
        let Some((session, recovery)) = self.session_and_recovery() else {
            return adapter.del_all(&self.0.id);
        };
        if self.has_never_entered() {
            return;
        }
        match session.generation() {
            generation if reason.is_recoverable() => recovery.suspend(self, generation, net::now()),
            _ => adapter.del_all(&self.0.id),
        }
    }

    /// Returns whether the socket has never been in the adapter. Another socket may then have the session that it has claimed.
    pub(super) fn has_never_entered(&self) -> bool {
        self.0.recovery.as_ref().is_some_and(|session| session.generation() == 0)
    }

    /// Ends the connection, whose end the server has not noticed. Returns whether the session may be recovered.
    pub(super) fn end_unnoticed_connection(&self) -> bool {
        self.leave_namespace(DisconnectReason::TransportClose);
        self.0.session.close_discarding();
        self.disconnect_reason().is_some_and(DisconnectReason::is_recoverable)
    }

    /// Returns whether an event for this disconnected socket may still reach its client.
    pub(super) fn may_be_recovered(&self) -> bool {
        let Some((_, recovery)) = self.session_and_recovery() else { return false };
        self.disconnect_reason().is_some_and(DisconnectReason::is_recoverable)
            && recovery.has_session(&self.0.id)
    }

    pub(super) fn session_and_recovery(&self) -> Option<(&SocketSession, &dyn Recovery)> {
        let session = self.0.recovery.as_deref()?;
        Some((session, self.0.namespace.recovery()?))
    }
}

fn refused_series(reason: RecoveryRefusal) -> Series {
    match reason {
        RecoveryRefusal::Middleware => Series::RecoveryRefusedMiddleware,
        RecoveryRefusal::Session(error) => match error {
            ClaimError::UnknownSession | ClaimError::Expired => Series::RecoveryRefusedUnknown,
            ClaimError::LogTooShort | ClaimError::Gap | ClaimError::RoomsForgotten => {
                Series::RecoveryRefusedGap
            }
            ClaimError::TooManyMissed | ClaimError::TooManyToExamine | ClaimError::TooManyClaims => {
                Series::RecoveryRefusedLimit
            }
            _ => Series::RecoveryRefusedOther,
        },
    }
}
