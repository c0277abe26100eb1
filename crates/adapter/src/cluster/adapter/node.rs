//! The state of one server in a cluster: the other servers, and the requests that wait for their replies.

use std::collections::{BTreeSet, HashMap, HashSet};

use ws_proto::{PeerDeadline, Time};

use super::claims::{Claim, Claims, Effect};
use super::pending::{Awaited, Pending};
use crate::cluster::{ClusterOptions, Membership, NodeId, RequestId};
use crate::recovery::ClaimError;
use crate::request::{Missing, MissingReason, Replies, Reply, Request};

/// The state of one server in a cluster.
///
/// No method calls code of the server: a method that ends a request returns what the caller passes on after it has
/// released its lock.
#[derive(Debug)]
pub(super) struct Node {
    options: ClusterOptions,
    /// The other servers, and when each one counts as dead. Empty with [`Membership::Counted`].
    peers: HashMap<NodeId, PeerDeadline>,
    /// The number of the other servers that the message bus has reported last.
    counted: Option<usize>,
    requests: HashMap<RequestId, Pending>,
    /// The deadline of each request. There may be thousands, and the next one is looked up for each message.
    deadlines: BTreeSet<(Time, RequestId)>,
    pub(super) claims: Claims,
    next_request: u64,
    next_heartbeat: Option<Time>,
    link: Link,
    knowledge: Knowledge,
}

/// Whether this server knows the others. It asks them to report when it joins the cluster.
#[derive(Debug, Clone, Copy)]
enum Knowledge {
    /// This server has joined the cluster, and the time is not known yet.
    Joined,
    /// Others may be unknown until this time.
    Incomplete(Time),
    Complete,
}

/// The link of this server to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Down,
    /// This server has left the cluster.
    Closed,
}

/// What the caller passes to the server when it holds no lock.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Replies to pass on. A request ends when the last clone of its `Replies` is dropped.
    pub(super) replies: Vec<(Replies, Option<Reply>)>,
    pub(super) claims: Vec<Effect>,
}

impl Deliveries {
    pub(super) fn push(&mut self, replies: &Replies, reply: Reply) {
        self.replies.push((replies.clone(), Some(reply)));
    }

    /// Takes the replies of a request that is complete, so that they are dropped outside the lock.
    pub(super) fn end(&mut self, replies: Replies) {
        self.replies.push((replies, None));
    }
}

impl Node {
    pub(super) fn new(options: ClusterOptions) -> Self {
        Self {
            next_request: options.first_request,
            claims: Claims::new(&options),
            options,
            peers: HashMap::new(),
            requests: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_heartbeat: None,
            link: Link::Up,
            counted: None,
            knowledge: Knowledge::Joined,
        }
    }

    pub(super) fn start(&mut self, now: Time) {
        self.next_heartbeat = Some(now + self.options.heartbeat_interval);
        let _ = self.knows_all_peers(now);
    }

    /// Returns the number of servers, including this one. `None` if the message bus has not reported it yet.
    pub(super) fn server_count(&self) -> Option<usize> {
        match self.options.membership {
            Membership::Heartbeats => Some(1 + self.peers.len()),
            Membership::Counted => self.counted.map(|others| others.saturating_add(1)),
        }
    }

    /// Notes that another server is alive.
    pub(super) fn handle_sign_of_life(&mut self, peer: &NodeId, now: Time) {
        if self.options.membership == Membership::Counted {
            return;
        }
        let _ = self.knows_all_peers(now);
        let deadline = PeerDeadline::new(now + self.options.heartbeat_timeout);
        if let Some(known) = self.peers.get_mut(peer) {
            *known = deadline;
        } else if self.peers.len() < self.options.max_peers {
            self.peers.insert(peer.clone(), deadline);
        }
    }

    /// Begins a request to all other servers. Returns its id, or `None` if it must not be sent.
    ///
    /// If no other server is known, the request is sent all the same, and nobody waits for replies: a server that has
    /// just joined does not know the others yet.
    pub(super) fn begin(&mut self, request: Request, wants_acks: bool) -> (Option<RequestId>, Deliveries) {
        let mut deliveries = Deliveries::default();
        let Request { timeout, now, replies } = request;
        let refused = if self.link != Link::Up {
            Some(MissingReason::Disconnected)
        } else if self.requests.len() >= self.options.max_requests {
            Some(MissingReason::Limit)
        } else {
            None
        };
        if let Some(reason) = refused {
            let mut push = |node| deliveries.push(&replies, Reply::Missing(Missing::Server { node, reason }));
            match self.options.membership {
                Membership::Heartbeats => self.peers.keys().cloned().for_each(|node| push(Some(node))),
                // An unknown number may be any.
                Membership::Counted => (0..self.counted.unwrap_or(1)).for_each(|_| push(None)),
            }
            deliveries.end(replies);
            return (None, deliveries);
        }
        let id = self.next_id();
        let awaited = match self.options.membership {
            Membership::Heartbeats if self.peers.is_empty() => {
                deliveries.end(replies);
                return (Some(id), deliveries);
            }
            Membership::Heartbeats => Awaited::named(self.peers.keys(), wants_acks),
            Membership::Counted => Awaited::counted(wants_acks, self.options.max_peers),
        };
        let pending = Pending::new(replies, timeout, now, awaited);
        self.deadlines.insert((pending.deadline(), id));
        self.requests.insert(id, pending);
        (Some(id), deliveries)
    }

    /// Asks the other servers for a session. `failure` is the error if none of them has it.
    pub(super) fn claim(&mut self, claim: Claim, failure: ClaimError, now: Time) -> Vec<Effect> {
        if self.link != Link::Up {
            return vec![Effect::Refuse(claim, ClaimError::Gap)];
        }
        let deadline = now + self.options.claim_timeout;
        let id = self.next_id();
        let all_are_known = self.knows_all_peers(now);
        let peers: HashSet<_> = self.peers.keys().cloned().collect();
        self.claims.ask(id, claim, failure, deadline, (peers, all_are_known), now)
    }

    fn next_id(&mut self) -> RequestId {
        let id = RequestId::from(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        id
    }

    /// Returns whether the other servers have had the time to report since this one has joined the cluster.
    fn knows_all_peers(&mut self, now: Time) -> bool {
        self.knowledge = match self.knowledge {
            Knowledge::Joined => Knowledge::Incomplete(now + self.options.claim_timeout),
            Knowledge::Incomplete(until) if until <= now => Knowledge::Complete,
            knowledge => knowledge,
        };
        matches!(self.knowledge, Knowledge::Complete)
    }

    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// Handles the only reply of a server to a request.
    pub(super) fn handle_reply(&mut self, id: RequestId, from: Option<&NodeId>, reply: Reply) -> Deliveries {
        self.update(id, |pending, _| pending.handle_reply(from).then_some(reply))
    }

    /// Handles the number of clients that have received a broadcast.
    pub(super) fn handle_client_count(
        &mut self,
        id: RequestId,
        from: Option<&NodeId>,
        count: usize,
    ) -> Deliveries {
        self.update(id, |pending, _| {
            pending.handle_client_count(from, count);
            None
        })
    }

    /// Handles the acknowledgement of a client, or that there will be none.
    pub(super) fn handle_client(&mut self, id: RequestId, from: Option<&NodeId>, reply: Reply) -> Deliveries {
        self.update(id, |pending, _| pending.handle_client(from).then_some(reply))
    }

    /// Handles the number of the other servers, which the message bus has counted when it got a request, or now.
    pub(super) fn handle_server_count(&mut self, request: Option<RequestId>, others: usize) -> Deliveries {
        let mut deliveries = Deliveries::default();
        if self.link != Link::Up || self.options.membership != Membership::Counted {
            return deliveries;
        }
        // No request waits for more servers than were counted last. So it matters to the others only if these are fewer.
        let are_fewer = self.counted.replace(others).is_some_and(|counted| others < counted);
        if let Some(id) = request {
            deliveries = self.update(id, |pending, deliveries| {
                pending.handle_servers(others);
                pending.handle_count(others, deliveries);
                None
            });
        }
        if are_fewer {
            for pending in self.requests.values_mut() {
                pending.handle_count(others, &mut deliveries);
            }
            self.end_complete_requests(&mut deliveries);
        }
        deliveries
    }

    /// Handles that a server has left the cluster.
    pub(super) fn handle_close(&mut self, peer: &NodeId) -> Deliveries {
        let mut deliveries = Deliveries::default();
        self.peers.remove(peer);
        for pending in self.requests.values_mut() {
            pending.handle_close(peer, &mut deliveries);
        }
        self.end_complete_requests(&mut deliveries);
        deliveries.claims = self.claims.handle_close(peer);
        deliveries
    }

    /// Ends a request that the message bus has refused.
    pub(super) fn handle_refused(&mut self, id: RequestId, reason: MissingReason) -> Deliveries {
        let mut deliveries = Deliveries::default();
        if let Some(pending) = self.remove(id) {
            pending.fail(reason, &mut deliveries);
        }
        deliveries
    }

    /// Handles a change of the link. Without a link, all requests end.
    pub(super) fn handle_link(&mut self, link: Link) -> Deliveries {
        let mut deliveries = Deliveries::default();
        if self.link == Link::Closed {
            return deliveries;
        }
        self.link = link;
        if link == Link::Up {
            self.knowledge = Knowledge::Joined;
        }
        if link == Link::Closed {
            self.next_heartbeat = None;
            self.peers.clear();
        }
        if link != Link::Up {
            self.deadlines.clear();
            for (_, pending) in self.requests.drain() {
                pending.fail(MissingReason::Disconnected, &mut deliveries);
            }
            deliveries.claims = self.claims.handle_lost_link();
        }
        deliveries
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let request = self.deadlines.first().map(|(deadline, _)| *deadline);
        let peers = self.peers.values().map(|deadline| deadline.time());
        peers.chain(request).chain(self.next_heartbeat).chain(self.claims.poll_timeout()).min()
    }

    /// Handles the deadlines that have passed. Returns whether this server must show that it is alive, or count the others.
    pub(super) fn handle_timeout(&mut self, now: Time) -> (bool, Deliveries) {
        let _ = self.knows_all_peers(now);
        let mut deliveries = Deliveries { claims: self.claims.handle_timeout(now), replies: Vec::new() };
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let Some(pending) = self.requests.get_mut(&id) else { continue };
            if !pending.is_expired(now) {
                self.deadlines.insert((pending.deadline(), id));
            } else if let Some(pending) = self.requests.remove(&id) {
                pending.fail(MissingReason::TimedOut, &mut deliveries);
            }
        }
        let timeout = self.options.heartbeat_timeout;
        let dead: Vec<_> =
            self.peers.extract_if(|_, deadline| deadline.expired_or_restart(timeout, now)).collect();
        for (peer, _) in dead {
            let Deliveries { replies, claims } = self.handle_close(&peer);
            deliveries.replies.extend(replies);
            deliveries.claims.extend(claims);
        }
        let is_due = self.next_heartbeat.is_some_and(|due| due <= now);
        if is_due {
            self.next_heartbeat = Some(now + self.options.heartbeat_interval);
        }
        (is_due, deliveries)
    }

    /// Changes what a request waits for. `change` returns the reply to pass on. Replies that nobody waits for are ignored.
    fn update(
        &mut self,
        id: RequestId,
        change: impl FnOnce(&mut Pending, &mut Deliveries) -> Option<Reply>,
    ) -> Deliveries {
        let mut deliveries = Deliveries::default();
        let Some(pending) = self.requests.get_mut(&id) else { return deliveries };
        if let Some(reply) = change(pending, &mut deliveries) {
            deliveries.push(&pending.replies, reply);
        }
        if pending.is_complete()
            && let Some(complete) = self.remove(id)
        {
            deliveries.end(complete.replies);
        }
        deliveries
    }

    fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.requests.remove(&id)?;
        self.deadlines.remove(&(pending.deadline(), id));
        Some(pending)
    }

    fn end_complete_requests(&mut self, deliveries: &mut Deliveries) {
        for (id, complete) in self.requests.extract_if(|_, pending| pending.is_complete()) {
            self.deadlines.remove(&(complete.deadline(), id));
            deliveries.end(complete.replies);
        }
    }
}
