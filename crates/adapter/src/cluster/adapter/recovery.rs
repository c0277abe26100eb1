//! Connection state recovery in a cluster whose message bus orders all events.
//!
//! Each server has the end of the log. A session is kept by the server that its socket was connected to. If its client comes
//! back to another server, that server asks all others for the session, and takes it from the one that has it. The steps
//! are those of [`Claims`](super::claims::Claims).

use std::sync::Arc;

use socketio_proto::SocketId;
use ws_proto::Time;

use super::ClusterAdapter;
use super::claims::{Claim, Effect, SessionCopy, acknowledge};
use super::log_order::Origin;
use super::node::Link;
use super::waiting_claims::ClaimAction;
use crate::cluster::{ClaimReply, Message, NodeId, RequestId};
use crate::local_socket::LocalSocket;
use crate::recovery::{ClaimError, Claimed, KeptForRecovery, PrivateId, Recovery, Resumed, Session};

impl ClusterAdapter {
    /// Replies to another server that asks for a session.
    pub(super) fn handle_claim(&self, sender: NodeId, request: RequestId, pid: PrivateId, now: Time) {
        let action = move |adapter: &Self, result: Result<(), ClaimError>| {
            if result.is_err() {
                return adapter.reply_to_claim(&sender, request, ClaimReply::Unavailable);
            }
            let session = adapter.local.export_session(&pid, now);
            let reply = match session {
                _ if adapter.is_handed_over(&pid) => ClaimReply::Unavailable,
                Some(session) => ClaimReply::Found(Box::new(session)),
                None => ClaimReply::Unknown,
            };
            adapter.reply_to_claim(&sender, request, reply);
        };
        self.claim_in_order(Origin::Server, now, Box::new(action));
    }

    /// Runs a claim at its place in the order of the log, or refuses it.
    fn claim_in_order(&self, origin: Origin, now: Time, action: ClaimAction) {
        let deadline = now + self.claim_timeout;
        if self.log_order.claim(self, origin, self.max_claims, deadline, action) {
            self.bus.wake();
        }
    }

    /// Handles the reply of another server to a claim.
    pub(super) fn handle_claim_reply(
        &self,
        sender: &NodeId,
        request: RequestId,
        reply: ClaimReply,
        now: Time,
    ) {
        let is_usable = match &reply {
            ClaimReply::Found(session) => self.local.can_import(session),
            _ => true,
        };
        let effects = self.node().claims.handle_reply(request, sender, reply, is_usable, now);
        self.run(effects.into_iter().flatten());
    }

    /// Gives a session to another server, which has its copy.
    pub(super) fn handle_take(
        &self,
        sender: &NodeId,
        request: RequestId,
        pid: PrivateId,
        generation: u64,
        now: Time,
    ) {
        let is_taken = self.hand_over(sender, request, &pid, generation, now);
        self.reply(sender, &Message::TakeSessionResponse { request, pid, is_taken });
    }

    fn hand_over(&self, taker: &NodeId, request: RequestId, pid: &str, generation: u64, now: Time) -> bool {
        {
            let hand_overs = &mut self.node().claims.hand_overs;
            if hand_overs.is_taken_by(pid, taker, request) {
                return true;
            }
            // Before the session gets its new generation. So a claim that gets this one finds the session reserved.
            if !hand_overs.reserve(pid, taker.clone(), request, now) {
                return false;
            }
        }
        let session = self.local.hand_over_session(pid, generation, now);
        let hand_overs = &mut self.node().claims.hand_overs;
        match session {
            Some((generation, until)) => hand_overs.confirm(pid, generation, until),
            None => hand_overs.remove(pid),
        }
        session.is_some()
    }

    /// Handles that another server has got a session of this one, or has not.
    pub(super) fn handle_acknowledged(
        &self,
        sender: &NodeId,
        request: RequestId,
        pid: &str,
        is_taken: bool,
        now: Time,
    ) {
        let generation = {
            let hand_overs = &self.node().claims.hand_overs;
            if !hand_overs.is_taken_by(pid, sender, request) {
                return;
            }
            hand_overs.generation(pid)
        };
        if let (true, Some(generation)) = (is_taken, generation) {
            self.local.take_session(pid, generation, now);
        }
        self.node().claims.hand_overs.remove(pid);
    }

    /// Returns whether another server has taken a session and has not acknowledged it.
    fn is_handed_over(&self, pid: &str) -> bool {
        self.node().claims.hand_overs.contains(pid)
    }

    /// Does what the claims require. The caller holds no lock.
    pub(super) fn run(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Publish(recipient, message) => self.send(&recipient, &message),
                Effect::Refuse(claim, error) => (claim.then)(Err(error)),
                Effect::Import(copy, claim) => self.import(copy, claim),
                Effect::ClaimHere(claim) => self.claim_here(claim),
            }
        }
    }

    /// Keeps a session that belongs to this server now, and claims it.
    fn import(&self, copy: SessionCopy, claim: Claim) {
        let SessionCopy { session, owner, request, until } = copy;
        let pid = session.pid.clone();
        let former = self.node().claims.hand_overs.generation(&pid);
        if let Some(generation) = former {
            // The session was here before. The server that took it had it, and its acknowledgement was lost.
            self.local.take_session(&pid, generation, claim.now);
            self.node().claims.hand_overs.remove(&pid);
        }
        let imported = self.local.import_session(*session, until, claim.now);
        if imported.is_err() {
            self.node().claims.give_up(pid.clone(), until, request);
        }
        self.run([acknowledge(&owner, request, pid, imported.is_ok())]);
        match imported {
            Ok(()) => self.claim_here(claim),
            Err(error) => (claim.then)(Err(error)),
        }
    }

    fn claim_here(&self, Claim { pid, offset, now, then }: Claim) {
        let (this, own_pid) = (self.this.clone(), pid.clone());
        let claimed = Box::new(move |claimed| match (claimed, this.upgrade()) {
            (Ok(_), Some(this)) if this.is_handed_over(&own_pid) => then(Err(ClaimError::ServerUnavailable)),
            (claimed, _) => then(claimed),
        });
        self.local.claim(&pid, offset.as_deref(), now, claimed);
    }

    fn ask_others(&self, claim: Claim, failure: ClaimError) {
        let now = claim.now;
        let effects = self.node().claim(claim, failure, now);
        self.run(effects);
    }

    pub(super) fn reply_to_claim(&self, recipient: &NodeId, request: RequestId, reply: ClaimReply) {
        self.reply(recipient, &Message::ClaimSessionResponse { request, reply });
    }
}

impl Recovery for ClusterAdapter {
    fn begin(&self, pid: &str, socket: Arc<dyn LocalSocket>) {
        self.local.begin(pid, socket);
    }

    fn suspend(&self, socket: &dyn LocalSocket, generation: u64, now: Time) {
        if self.log_order.is_empty() {
            return self.local.suspend(socket, generation, now);
        }
        // Earlier changes of its rooms may wait.
        if let Some(socket) = self.local.local_socket(socket.id()) {
            self.log_order.run(self, move |adapter| adapter.local.suspend(&*socket, generation, now));
        }
    }

    fn claim(&self, pid: &str, offset: Option<&str>, now: Time, then: Claimed) {
        if self.node().link() != Link::Up {
            return then(Err(ClaimError::Gap));
        }
        let claim = Claim { pid: pid.into(), offset: offset.map(Box::from), now, then };
        let action = move |adapter: &Self, result| {
            if let Err(error) = result {
                return (claim.then)(Err(error));
            }
            // The offset may be that of an event of the other server, and would end the session here.
            if adapter.is_handed_over(&claim.pid) {
                return adapter.ask_others(claim, ClaimError::ServerUnavailable);
            }
            let (pid, offset, this) = (claim.pid.clone(), claim.offset.clone(), adapter.this.clone());
            let claimed = Box::new(move |claimed| match (claimed, this.upgrade()) {
                (Err(ClaimError::UnknownSession), Some(this)) => {
                    this.ask_others(claim, ClaimError::UnknownSession);
                }
                // Another server has taken it meanwhile.
                (Ok(_), Some(this)) if this.is_handed_over(&claim.pid) => {
                    this.ask_others(claim, ClaimError::ServerUnavailable);
                }
                (claimed, _) => (claim.then)(claimed),
            });
            adapter.local.claim(&pid, offset.as_deref(), now, claimed);
        };
        self.claim_in_order(Origin::Client, now, Box::new(action));
    }

    fn resume(&self, session: Session, socket: Arc<dyn LocalSocket>, now: Time, then: Resumed) {
        if self.node().link() != Link::Up {
            return then(Err(ClaimError::Gap));
        }
        self.local.resume(session, socket, now, then);
    }

    fn has_session(&self, id: &SocketId) -> bool {
        self.local.has_session(id)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.local.poll_timeout()
    }

    fn handle_timeout(&self, now: Time) -> Option<Time> {
        self.local.handle_timeout(now)
    }

    fn kept(&self) -> KeptForRecovery {
        self.local.kept()
    }
}
