//! The state of one server in a cluster: the other servers, and the requests that wait for their replies.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use super::claims::{Claim, Claims, Effect};
use super::{ClusterOptions, Message, NodeId, RequestId};
use crate::recovery::ClaimError;
use crate::request::{Missing, MissingReason, Replies, Reply, Request};

/// The state of one server in a cluster.
///
/// No method calls code of the server: a method that ends a request returns what the caller passes on after it has
/// released its lock.
#[derive(Debug)]
pub(super) struct Node {
    options: ClusterOptions,
    /// The other servers, and when each one counts as dead.
    peers: HashMap<NodeId, PeerDeadline>,
    requests: HashMap<RequestId, Pending>,
    pub(super) claims: Claims,
    next_request: u64,
    next_heartbeat: Option<Time>,
    link: Link,
    membership: Membership,
}

/// What this server knows of the others. It asks them to report when it joins the cluster.
#[derive(Debug, Clone, Copy)]
enum Membership {
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

/// A request that waits for replies.
#[derive(Debug)]
struct Pending {
    replies: Replies,
    deadline: PeerDeadline,
    timeout: Duration,
    /// The servers whose replies are missing.
    waiting: HashMap<NodeId, Awaited>,
}

/// What a request waits for from one server.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// One reply.
    Reply,
    /// The number of its clients. Some of them may be known already.
    Count { replied: usize },
    /// The acknowledgements of this many clients.
    Clients(usize),
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
    fn push(&mut self, replies: &Replies, reply: Reply) {
        self.replies.push((replies.clone(), Some(reply)));
    }

    /// Takes a request that is complete, so that it is dropped outside the lock.
    fn end(&mut self, request: Pending) {
        self.replies.push((request.replies, None));
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
            next_heartbeat: None,
            link: Link::Up,
            membership: Membership::Joined,
        }
    }

    pub(super) fn start(&mut self, now: Time) {
        self.next_heartbeat = Some(now + self.options.heartbeat_interval);
        let _ = self.knows_all_peers(now);
    }

    pub(super) fn server_count(&self) -> usize {
        1 + self.peers.len()
    }

    /// Notes that another server is alive.
    pub(super) fn handle_sign_of_life(&mut self, peer: &NodeId, now: Time) {
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
            for node in self.peers.keys().cloned() {
                deliveries.push(&replies, Reply::Missing(Missing::Server { node, reason }));
            }
            deliveries.replies.push((replies, None));
            return (None, deliveries);
        }
        let id = self.next_id();
        if self.peers.is_empty() {
            deliveries.replies.push((replies, None));
            return (Some(id), deliveries);
        }
        let awaited = if wants_acks { Awaited::Count { replied: 0 } } else { Awaited::Reply };
        let waiting = self.peers.keys().map(|node| (node.clone(), awaited)).collect();
        let deadline = PeerDeadline::new(now + timeout);
        self.requests.insert(id, Pending { replies, deadline, timeout, waiting });
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
        self.membership = match self.membership {
            Membership::Joined => Membership::Incomplete(now + self.options.claim_timeout),
            Membership::Incomplete(until) if until <= now => Membership::Complete,
            membership => membership,
        };
        matches!(self.membership, Membership::Complete)
    }

    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// Handles the only reply of a server to a request.
    pub(super) fn handle_reply(&mut self, id: RequestId, from: &NodeId, reply: Reply) -> Deliveries {
        self.update(id, from, |awaited| match awaited {
            Awaited::Reply => Some((None, Some(reply))),
            _ => None,
        })
    }

    /// Handles the number of clients that have received a broadcast.
    pub(super) fn handle_client_count(&mut self, id: RequestId, from: &NodeId, count: usize) -> Deliveries {
        self.update(id, from, |awaited| match awaited {
            Awaited::Count { replied } => Some((remaining(count.saturating_sub(replied)), None)),
            _ => None,
        })
    }

    /// Handles the acknowledgement of a client, or that there will be none.
    pub(super) fn handle_client(&mut self, id: RequestId, from: &NodeId, reply: Reply) -> Deliveries {
        self.update(id, from, |awaited| match awaited {
            // On some buses, the number may arrive after the first acknowledgement.
            Awaited::Count { replied } => Some((Some(Awaited::Count { replied: replied + 1 }), Some(reply))),
            Awaited::Clients(clients) => Some((remaining(clients - 1), Some(reply))),
            Awaited::Reply => None,
        })
    }

    /// Handles that a server has left the cluster.
    pub(super) fn handle_close(&mut self, peer: &NodeId) -> Deliveries {
        let mut deliveries = Deliveries::default();
        self.peers.remove(peer);
        for pending in self.requests.values_mut() {
            if let Some(awaited) = pending.waiting.remove(peer) {
                let missing = awaited.missing(peer.clone(), MissingReason::Disconnected);
                deliveries.push(&pending.replies, missing);
            }
        }
        self.end_complete_requests(&mut deliveries);
        deliveries.claims = self.claims.handle_close(peer);
        deliveries
    }

    /// Ends a request that the message bus has refused.
    pub(super) fn handle_refused(&mut self, id: RequestId, reason: MissingReason) -> Deliveries {
        let mut deliveries = Deliveries::default();
        if let Some(pending) = self.requests.remove(&id) {
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
            self.membership = Membership::Joined;
        }
        if link == Link::Closed {
            self.next_heartbeat = None;
            self.peers.clear();
        }
        if link != Link::Up {
            for (_, pending) in self.requests.drain() {
                pending.fail(MissingReason::Disconnected, &mut deliveries);
            }
            deliveries.claims = self.claims.handle_lost_link();
        }
        deliveries
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let requests = self.requests.values().map(|pending| pending.deadline.time());
        let peers = self.peers.values().map(|deadline| deadline.time());
        requests.chain(peers).chain(self.next_heartbeat).chain(self.claims.poll_timeout()).min()
    }

    /// Handles the deadlines that have passed. Returns the message that is due.
    pub(super) fn handle_timeout(&mut self, now: Time) -> (Option<Message>, Deliveries) {
        let _ = self.knows_all_peers(now);
        let mut deliveries = Deliveries { claims: self.claims.handle_timeout(now), replies: Vec::new() };
        for (_, pending) in
            self.requests.extract_if(|_, pending| pending.deadline.expired_or_restart(pending.timeout, now))
        {
            pending.fail(MissingReason::TimedOut, &mut deliveries);
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
        (is_due.then_some(Message::Heartbeat), deliveries)
    }

    /// Changes what a request waits for from one server. `change` returns what is awaited now, and what to pass on.
    /// Replies that nobody waits for are ignored.
    fn update(
        &mut self,
        id: RequestId,
        from: &NodeId,
        change: impl FnOnce(Awaited) -> Option<(Option<Awaited>, Option<Reply>)>,
    ) -> Deliveries {
        let mut deliveries = Deliveries::default();
        let Some(pending) = self.requests.get_mut(&id) else { return deliveries };
        let Some((awaited, reply)) = pending.waiting.get(from).copied().and_then(change) else {
            return deliveries;
        };
        match awaited {
            Some(awaited) => pending.waiting.insert(from.clone(), awaited),
            None => pending.waiting.remove(from),
        };
        if let Some(reply) = reply {
            deliveries.push(&pending.replies, reply);
        }
        if pending.waiting.is_empty()
            && let Some(complete) = self.requests.remove(&id)
        {
            deliveries.end(complete);
        }
        deliveries
    }

    fn end_complete_requests(&mut self, deliveries: &mut Deliveries) {
        for (_, complete) in self.requests.extract_if(|_, pending| pending.waiting.is_empty()) {
            deliveries.end(complete);
        }
    }
}

impl Pending {
    /// Reports everything that the request still waits for as missing.
    fn fail(mut self, reason: MissingReason, deliveries: &mut Deliveries) {
        for (node, awaited) in std::mem::take(&mut self.waiting) {
            deliveries.push(&self.replies, awaited.missing(node, reason));
        }
        deliveries.end(self);
    }
}

impl Awaited {
    fn missing(self, node: NodeId, reason: MissingReason) -> Reply {
        Reply::Missing(match self {
            Self::Reply | Self::Count { .. } => Missing::Server { node, reason },
            Self::Clients(count) => Missing::Clients { node, count, reason },
        })
    }
}

/// What is awaited if this many clients remain.
fn remaining(clients: usize) -> Option<Awaited> {
    (clients > 0).then_some(Awaited::Clients(clients))
}
