//! The claims of sessions that other servers may have.
//!
//! A session moves in two steps. The server whose client has come back asks all others, and gets a copy from the one that
//! has the session. Then it takes the session: the owner removes it, remembers by which request, and confirms that. Until
//! then, the owner may give it to anybody. So at each moment one server alone can resume the session.
//!
//! If a message is lost, the client connects as a new one, and gets another private id. Without the copy, nothing has
//! happened to the former session. Without the confirmation, the copy is kept until the session expires. If the client has
//! not received the response to its CONNECT, it claims the former session again: then the owner gives it, or the server
//! with the copy asks for the confirmation again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use ws_proto::Time;

use super::expiring_map::ExpiringMap;
use super::{ClaimReply, ClusterOptions, Message, MovedSession, NodeId, Recipient, RequestId};
use crate::recovery::{ClaimError, Claimed, PrivateId};

/// The claims that wait for other servers, and what is known of sessions on their way.
#[derive(Debug)]
pub(super) struct Claims {
    max: usize,
    timeout: Duration,
    pending: HashMap<RequestId, Pending>,
    deadlines: BTreeSet<(Time, RequestId)>,
    /// Copies of sessions that perhaps belong to this server.
    unconfirmed: ExpiringMap<SessionCopy>,
    /// The requests by which other servers have taken sessions of this server.
    taken: ExpiringMap<(NodeId, RequestId)>,
}

/// A claim, and who waits for it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) pid: PrivateId,
    /// When it was made.
    pub(super) now: Time,
    pub(super) claimant: Claimant,
}

/// Who claims a session.
pub(super) enum Claimant {
    Client {
        offset: Option<Box<str>>,
        then: Claimed,
    },
    /// Another server asks for a session that perhaps belongs to this one.
    Server {
        node: NodeId,
        request: RequestId,
    },
}

#[derive(Debug)]
struct Pending {
    claim: Claim,
    deadline: Time,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The servers in `waiting` have not replied. `failure` is the reason if none of them has the session.
    Asking { waiting: HashSet<NodeId>, all_are_known: bool, asked: Time, failure: ClaimError },
    /// The owner has not confirmed that the session belongs to this server.
    Taking(SessionCopy),
}

/// The copy of a session, and how to take the session.
#[derive(Debug)]
struct SessionCopy {
    session: Box<MovedSession>,
    owner: NodeId,
    request: RequestId,
    /// Until when this server keeps the session.
    until: Time,
}

/// What the caller does when it holds no lock.
#[must_use]
#[derive(Debug)]
pub(super) enum Effect {
    Publish(Recipient, Message),
    Refuse(Claimant, ClaimError),
    /// The session belongs to this server until the time. Keep it, and claim it here.
    Import(Box<MovedSession>, Time, Claim),
    /// The session is not at another server. It may have come here by another claim.
    ClaimHere(Claim),
}

impl Claims {
    pub(super) fn new(options: &ClusterOptions) -> Self {
        Self {
            max: options.max_claims,
            timeout: options.claim_timeout,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            unconfirmed: ExpiringMap::new(options.max_claims),
            taken: ExpiringMap::new(options.max_claims),
        }
    }

    /// Asks the servers in `peers`, and all that are not known yet. If `all_are_known` is false, the claim waits for those too.
    pub(super) fn ask(
        &mut self,
        id: RequestId,
        claim: Claim,
        deadline: Time,
        (peers, all_are_known): (HashSet<NodeId>, bool),
        now: Time,
    ) -> Vec<Effect> {
        if self.pending.len() >= self.max {
            return vec![Effect::Refuse(claim.claimant, ClaimError::TooManyClaims)];
        }
        if let Some(copy) = self.take_unconfirmed(&claim.pid, now) {
            return self.take(claim, copy, now);
        }
        let message = Message::ClaimSession { request: id, pid: claim.pid.clone() };
        let step =
            Step::Asking { waiting: peers, all_are_known, asked: now, failure: ClaimError::UnknownSession };
        self.insert(id, Pending { claim, deadline, step });
        let mut effects = vec![Effect::Publish(Recipient::All, message)];
        effects.extend(self.end_if_complete(id));
        effects
    }

    /// Handles that another server asks for a session that this one does not have. Returns `None` if it has no copy either.
    pub(super) fn ask_for_server(
        &mut self,
        node: &NodeId,
        request: RequestId,
        pid: &str,
        now: Time,
    ) -> Option<Vec<Effect>> {
        if self.pending.len() >= self.max {
            return None;
        }
        let copy = self.take_unconfirmed(pid, now)?;
        let claimant = Claimant::Server { node: node.clone(), request };
        Some(self.take(Claim { pid: pid.into(), now, claimant }, copy, now))
    }

    /// Handles the reply of a server. `is_usable` says whether the log of this server has the place of a copy.
    pub(super) fn handle_reply(
        &mut self,
        id: RequestId,
        from: &NodeId,
        reply: ClaimReply,
        is_usable: bool,
        now: Time,
    ) -> Option<Vec<Effect>> {
        let Pending { claim, step: Step::Asking { waiting, asked, failure, .. }, .. } =
            self.pending.get_mut(&id)?
        else {
            return None;
        };
        match reply {
            ClaimReply::Found(session) if session.pid == claim.pid => {
                // The session has lost this time on its way at least.
                let until = *asked + session.remaining;
                let Pending { claim, .. } = self.remove(id)?;
                if !is_usable {
                    return Some(vec![Effect::Refuse(claim.claimant, ClaimError::LogTooShort)]);
                }
                let copy = SessionCopy { session, owner: from.clone(), request: id, until };
                return Some(self.take(claim, copy, now));
            }
            ClaimReply::Unavailable if waiting.remove(from) => *failure = ClaimError::ServerUnavailable,
            _ => {
                waiting.remove(from);
            }
        }
        self.end_if_complete(id).map(|effect| vec![effect])
    }

    /// Handles the reply of the owner of a session.
    pub(super) fn handle_taken(&mut self, id: RequestId, from: &NodeId, is_taken: bool) -> Option<Effect> {
        let Pending { step: Step::Taking(copy), .. } = self.pending.get(&id)? else { return None };
        if copy.owner != *from {
            return None;
        }
        let Pending { claim, step: Step::Taking(copy), .. } = self.remove(id)? else { return None };
        Some(if is_taken {
            Effect::Import(copy.session, copy.until, claim)
        } else {
            Effect::ClaimHere(claim)
        })
    }

    /// Returns whether this request has taken a session of this server.
    pub(super) fn was_taken_by(&self, pid: &str, node: &NodeId, request: RequestId) -> bool {
        self.taken.get(pid).is_some_and(|(taker, by)| taker == node && *by == request)
    }

    /// Remembers that a request has taken a session of this server. `until` is when the session would have expired.
    pub(super) fn note_taken(&mut self, pid: &str, by: (NodeId, RequestId), until: Time) {
        self.taken.insert(pid.into(), until, by);
    }

    /// Handles that a server has left the cluster.
    pub(super) fn handle_close(&mut self, peer: &NodeId) -> Vec<Effect> {
        let mut effects = Vec::new();
        let concerned = self.pending.iter_mut().filter_map(|(id, pending)| match &mut pending.step {
            Step::Asking { waiting, failure, .. } => waiting.remove(peer).then(|| {
                *failure = ClaimError::ServerUnavailable;
                (*id, false)
            }),
            Step::Taking(copy) => (copy.owner == *peer).then_some((*id, true)),
        });
        for (id, has_failed) in concerned.collect::<Vec<_>>() {
            effects.extend(if has_failed { self.end(id) } else { self.end_if_complete(id) });
        }
        effects
    }

    /// Handles that the link is lost. Events may be missing here, so the copies are of no use.
    pub(super) fn handle_lost_link(&mut self) -> Vec<Effect> {
        self.unconfirmed.clear();
        self.deadlines.clear();
        let refuse = |(_, pending): (_, Pending)| Effect::Refuse(pending.claim.claimant, ClaimError::Gap);
        self.pending.drain().map(refuse).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<Effect> {
        self.unconfirmed.drop_expired(now);
        self.taken.drop_expired(now);
        let mut effects = Vec::new();
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            effects.extend(self.end(id));
        }
        effects
    }

    fn take_unconfirmed(&mut self, pid: &str, now: Time) -> Option<SessionCopy> {
        self.unconfirmed.drop_expired(now);
        self.unconfirmed.remove(pid)
    }

    fn take(&mut self, claim: Claim, copy: SessionCopy, now: Time) -> Vec<Effect> {
        let (request, owner) = (copy.request, copy.owner.clone());
        let (pid, generation) = (copy.session.pid.clone(), copy.session.generation);
        self.insert(request, Pending { claim, deadline: now + self.timeout, step: Step::Taking(copy) });
        vec![Effect::Publish(Recipient::Node(owner), Message::TakeSession { request, pid, generation })]
    }

    /// Ends a claim without the session.
    fn end(&mut self, id: RequestId) -> Option<Effect> {
        let Pending { claim, step, .. } = self.remove(id)?;
        let error = match step {
            Step::Asking { waiting, failure, .. } if waiting.is_empty() => failure,
            Step::Asking { .. } => ClaimError::ServerUnavailable,
            Step::Taking(copy) => {
                self.unconfirmed.insert(claim.pid.clone(), copy.until, copy);
                ClaimError::ServerUnavailable
            }
        };
        Some(match error {
            ClaimError::UnknownSession => Effect::ClaimHere(claim),
            error => Effect::Refuse(claim.claimant, error),
        })
    }

    /// Ends a claim if no server has the session.
    fn end_if_complete(&mut self, id: RequestId) -> Option<Effect> {
        let Step::Asking { waiting, all_are_known: true, .. } = &self.pending.get(&id)?.step else {
            return None;
        };
        waiting.is_empty().then(|| self.end(id)).flatten()
    }

    fn insert(&mut self, id: RequestId, pending: Pending) {
        self.deadlines.insert((pending.deadline, id));
        self.pending.insert(id, pending);
    }

    fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        Some(pending)
    }
}

impl fmt::Debug for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client { .. } => "Client",
            Self::Server { .. } => "Server",
        })
    }
}
