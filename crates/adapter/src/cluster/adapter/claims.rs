//! The claims of sessions that other servers may have.
//!
//! A session moves in three steps. The server whose client has come back asks all others, and gets a copy from the one that
//! has the session. Then it takes the session: the owner keeps it, gives it to nobody else, and confirms that. The new server
//! keeps its copy as its own, and acknowledges that it has the session. Then the owner removes it. So at each moment one server
//! alone can resume the session.
//!
//! A server that takes a session waits a limited time for the confirmation. After that it never keeps its copy, and says so
//! when it is asked. The owner asks until it gets an answer. If the other server leaves the cluster first, it has crashed before
//! it had the session, and the owner gives the session to the next claim. If a message is lost, the client connects as a new
//! one, and the session stays with its owner.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use ws_proto::Time;

use super::expiring_map::ExpiringMap;
use super::hand_overs::HandOvers;
use crate::cluster::{ClaimReply, ClusterOptions, Message, MovedSession, NodeId, Recipient, RequestId};
use crate::recovery::{ClaimError, Claimed, PrivateId};

/// The claims that wait for other servers, and what is known of sessions on their way.
#[derive(Debug)]
pub(super) struct Claims {
    max: usize,
    timeout: Duration,
    pending: HashMap<RequestId, Pending>,
    deadlines: BTreeSet<(Time, RequestId)>,
    /// The requests whose session this server does not keep, although the owner may have confirmed it.
    given_up: ExpiringMap<RequestId>,
    pub(super) hand_overs: HandOvers,
}

/// A claim, and who waits for it.
pub(super) struct Claim {
    pub(super) pid: PrivateId,
    /// The offset of the last event that the client has received.
    pub(super) offset: Option<Box<str>>,
    /// When it was made.
    pub(super) now: Time,
    pub(super) then: Claimed,
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
pub(super) struct SessionCopy {
    pub(super) session: Box<MovedSession>,
    pub(super) owner: NodeId,
    pub(super) request: RequestId,
    /// Until when this server keeps the session.
    pub(super) until: Time,
}

/// What the caller does when it holds no lock.
#[must_use]
#[derive(Debug)]
pub(super) enum Effect {
    Publish(Recipient, Message),
    Refuse(Claim, ClaimError),
    /// The owner has confirmed that the session belongs to this server. Keep it, acknowledge that, and claim it here.
    Import(SessionCopy, Claim),
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
            given_up: ExpiringMap::new(options.max_claims),
            // Twice before the other server gives up.
            hand_overs: HandOvers::new(options.max_claims, options.claim_timeout / 3),
        }
    }

    /// Asks the servers in `peers`, and all that are not known yet. If `all_are_known` is false, the claim waits for those too.
    /// `failure` is the error if none of them has the session.
    pub(super) fn ask(
        &mut self,
        id: RequestId,
        claim: Claim,
        failure: ClaimError,
        deadline: Time,
        (peers, all_are_known): (HashSet<NodeId>, bool),
        now: Time,
    ) -> Vec<Effect> {
        if self.pending.len() >= self.max {
            return vec![Effect::Refuse(claim, ClaimError::TooManyClaims)];
        }
        let message = Message::ClaimSession { request: id, pid: claim.pid.clone() };
        let step = Step::Asking { waiting: peers, all_are_known, asked: now, failure };
        self.insert(id, Pending { claim, deadline, step });
        let mut effects = vec![Effect::Publish(Recipient::All, message)];
        effects.extend(self.end_if_complete(id));
        effects
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
                    return Some(vec![Effect::Refuse(claim, ClaimError::LogTooShort)]);
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

    /// Handles the reply of the owner of a session. It comes again until this server has answered.
    pub(super) fn handle_taken(
        &mut self,
        id: RequestId,
        pid: PrivateId,
        from: &NodeId,
        is_taken: bool,
        now: Time,
    ) -> Option<Effect> {
        let Some(Pending { step: Step::Taking(copy), deadline, .. }) = self.pending.get(&id) else {
            // A request that is not known any more has got its session.
            let is_taken_here = self.given_up.get(&pid) != Some(&id);
            return is_taken.then(|| acknowledge(from, id, pid, is_taken_here));
        };
        if copy.owner != *from {
            return None;
        }
        if *deadline <= now {
            // The claim ends with the timeout, which is due.
            return None;
        }
        let Pending { claim, step: Step::Taking(copy), .. } = self.remove(id)? else { return None };
        Some(if is_taken { Effect::Import(copy, claim) } else { Effect::ClaimHere(claim) })
    }

    /// Notes that this server does not keep a session that it has taken.
    pub(super) fn give_up(&mut self, pid: PrivateId, until: Time, request: RequestId) {
        self.given_up.insert(pid, until, request);
    }

    /// Handles that a server has left the cluster.
    pub(super) fn handle_close(&mut self, peer: &NodeId) -> Vec<Effect> {
        self.hand_overs.handle_close(peer);
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

    /// Handles that the link is lost. Events may be missing here, so no session can move.
    pub(super) fn handle_lost_link(&mut self) -> Vec<Effect> {
        self.hand_overs.clear();
        self.deadlines.clear();
        let pending = std::mem::take(&mut self.pending);
        let refuse = |Pending { claim, step, .. }| {
            if let Step::Taking(copy) = step {
                self.give_up(claim.pid.clone(), copy.until, copy.request);
            }
            Effect::Refuse(claim, ClaimError::Gap)
        };
        pending.into_values().map(refuse).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        [deadline, self.hand_overs.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<Effect> {
        self.given_up.drop_expired(now);
        let mut effects = Vec::new();
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            effects.extend(self.end(id));
        }
        let asked = self.hand_overs.handle_timeout(now).into_iter();
        effects.extend(asked.map(|(taker, request, pid)| {
            let again = Message::TakeSessionResponse { request, pid, is_taken: true };
            Effect::Publish(Recipient::Node(taker), again)
        }));
        effects
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
                self.give_up(claim.pid.clone(), copy.until, copy.request);
                ClaimError::ServerUnavailable
            }
        };
        Some(match error {
            ClaimError::UnknownSession => Effect::ClaimHere(claim),
            error => Effect::Refuse(claim, error),
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

/// Tells the owner of a session whether this server has it now.
pub(super) fn acknowledge(owner: &NodeId, request: RequestId, pid: PrivateId, is_taken: bool) -> Effect {
    Effect::Publish(Recipient::Node(owner.clone()), Message::SessionTaken { request, pid, is_taken })
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("pid", &self.pid).finish_non_exhaustive()
    }
}
