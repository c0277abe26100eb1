//! Connection state recovery in a cluster whose message bus orders all events.
//!
//! Each server has the end of the log. A session is kept by the server that its socket was connected to. If its client comes
//! back to another server, that server asks all others for the session, and takes it from the one that has it. The steps
//! are those of [`Claims`](super::claims::Claims).

use std::sync::Arc;

use socketio_proto::SocketId;
use ws_proto::Time;

use super::claims::{Claim, Claimant, Effect};
use super::log_order::Origin;
use super::node::Link;
use super::waiting_claims::ClaimAction;
use super::{ClaimReply, ClusterAdapter, Message, NodeId, RequestId};
use crate::local_socket::LocalSocket;
use crate::recovery::{ClaimError, Claimed, KeptForRecovery, PrivateId, Recovery, Resumed, Session};

impl ClusterAdapter {
    /// Replies to another server that asks for a session.
    pub(super) fn handle_claim(&self, sender: NodeId, request: RequestId, pid: PrivateId, now: Time) {
        let action = move |adapter: &Self, result: Result<(), ClaimError>| {
            if result.is_err() {
                return adapter.reply_to_claim(&sender, request, ClaimReply::Unavailable);
            }
            if let Some(session) = adapter.local.export_session(&pid, now) {
                return adapter.reply_to_claim(&sender, request, ClaimReply::Found(Box::new(session)));
            }
            let effects = adapter.node().claims.ask_for_server(&sender, request, &pid, now);
            match effects {
                Some(effects) => adapter.run(effects),
                None => adapter.reply_to_claim(&sender, request, ClaimReply::Unknown),
            }
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
        pid: &str,
        generation: u64,
        now: Time,
    ) {
        let taken = self.local.take_session(pid, generation, now);
        let is_taken = {
            let claims = &mut self.node().claims;
            if let Some(until) = taken {
                claims.note_taken(pid, (sender.clone(), request), until);
            }
            claims.was_taken_by(pid, sender, request)
        };
        self.reply(sender, &Message::TakeSessionResponse { request, is_taken });
    }

    /// Does what the claims require. The caller holds no lock.
    pub(super) fn run(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Publish(recipient, message) => self.send(recipient, &message),
                Effect::Refuse(claimant, error) => self.refuse(claimant, error),
                Effect::Import(session, until, claim) => {
                    match self.local.import_session(*session, until, claim.now) {
                        Ok(()) => self.claim_here(claim),
                        Err(error) => self.refuse(claim.claimant, error),
                    }
                }
                Effect::ClaimHere(claim) => self.claim_here(claim),
            }
        }
    }

    fn claim_here(&self, Claim { pid, now, claimant }: Claim) {
        match claimant {
            Claimant::Client { offset, then } => self.local.claim(&pid, offset.as_deref(), now, then),
            Claimant::Server { node, request } => self.handle_claim(node, request, pid, now),
        }
    }

    fn refuse(&self, claimant: Claimant, error: ClaimError) {
        match claimant {
            Claimant::Client { then, .. } => then(Err(error)),
            Claimant::Server { node, request } => {
                let reply = match error {
                    // This server may still hold the copy of the session.
                    ClaimError::ServerUnavailable | ClaimError::Gap => ClaimReply::Unavailable,
                    _ => ClaimReply::Unknown,
                };
                self.reply_to_claim(&node, request, reply);
            }
        }
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
        let (pid, offset) = (PrivateId::from(pid), offset.map(Box::<str>::from));
        let (own_pid, own_offset) = (pid.clone(), offset.clone());
        let action = move |adapter: &Self, result| {
            if let Err(error) = result {
                return then(Err(error));
            }
            let this = adapter.this.clone();
            let claimed = Box::new(move |claimed| match (claimed, this.upgrade()) {
                (Err(ClaimError::UnknownSession), Some(this)) => {
                    let claim = Claim { pid, now, claimant: Claimant::Client { offset, then } };
                    let effects = this.node().claim(claim, now + this.claim_timeout, now);
                    this.run(effects);
                }
                (claimed, _) => then(claimed),
            });
            adapter.local.claim(&own_pid, own_offset.as_deref(), now, claimed);
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
