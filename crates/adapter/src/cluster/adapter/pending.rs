//! A request that waits for the replies of other servers.

use std::collections::HashMap;
use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use super::node::Deliveries;
use crate::cluster::NodeId;
use crate::request::{Missing, MissingReason, Replies, Reply};

/// A request that waits for replies.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) replies: Replies,
    deadline: PeerDeadline,
    timeout: Duration,
    awaited: Awaited,
}

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// These servers.
    Named(HashMap<NodeId, FromServer>),
    /// So many servers. Their replies may be anonymous.
    Counted(Counted),
}

/// What a request waits for from one server.
#[derive(Debug, Clone, Copy)]
pub(super) enum FromServer {
    /// One reply.
    Reply,
    /// The number of its clients. Some of them may be known already.
    Count { replied: usize },
    /// The acknowledgements of this many clients.
    Clients(usize),
}

/// The numbers of replies. Those of clients may arrive before the number of the clients of their server.
#[derive(Debug)]
pub(super) struct Counted {
    wants_acks: bool,
    /// The number of the other servers, when the message bus has reported it.
    servers: Option<usize>,
    /// The number of servers that have replied, or have said how many clients they have.
    replied: usize,
    /// The clients of all servers.
    clients: Clients,
    /// The servers whose messages name them. The limit is that of peers.
    named: HashMap<NodeId, Named>,
    max_named: usize,
}

/// What is known of a server that has named itself.
#[derive(Debug, Default)]
struct Named {
    has_replied: bool,
    clients: Clients,
}

#[derive(Debug, Default, Clone, Copy)]
struct Clients {
    /// How many clients have received the event.
    receivers: usize,
    /// How many of them have acknowledged it, or will not.
    replied: usize,
}

impl Clients {
    fn remaining(self) -> usize {
        self.receivers.saturating_sub(self.replied)
    }
}

impl Awaited {
    /// Waits for these servers.
    pub(super) fn named<'n>(servers: impl Iterator<Item = &'n NodeId>, wants_acks: bool) -> Self {
        let from_each = if wants_acks { FromServer::Count { replied: 0 } } else { FromServer::Reply };
        Self::Named(servers.map(|node| (node.clone(), from_each)).collect())
    }

    /// Waits for a number of servers that the message bus reports later.
    pub(super) fn counted(wants_acks: bool, max_named: usize) -> Self {
        Self::Counted(Counted {
            wants_acks,
            servers: None,
            replied: 0,
            clients: Clients::default(),
            named: HashMap::new(),
            max_named,
        })
    }

    fn is_complete(&self) -> bool {
        match self {
            Self::Named(servers) => servers.is_empty(),
            Self::Counted(counted) => {
                counted.servers.is_some_and(|servers| servers <= counted.replied)
                    && counted.clients.remaining() == 0
            }
        }
    }
}

impl Pending {
    pub(super) fn new(replies: Replies, timeout: Duration, now: Time, awaited: Awaited) -> Self {
        Self { replies, deadline: PeerDeadline::new(now + timeout), timeout, awaited }
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline.time()
    }

    /// Returns whether the time for replies is over.
    pub(super) fn is_expired(&mut self, now: Time) -> bool {
        self.deadline.expired_or_restart(self.timeout, now)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.awaited.is_complete()
    }

    /// Handles the only reply of a server. Returns whether somebody waits for it, as the methods below do.
    pub(super) fn handle_reply(&mut self, from: Option<&NodeId>) -> bool {
        match &mut self.awaited {
            Awaited::Named(servers) => {
                let Some(from) = from else { return false };
                let is_awaited = matches!(servers.get(from), Some(FromServer::Reply));
                if is_awaited {
                    servers.remove(from);
                }
                is_awaited
            }
            Awaited::Counted(counted) => !counted.wants_acks && counted.handle_server(from),
        }
    }

    /// Handles the number of clients that have received the event.
    pub(super) fn handle_client_count(&mut self, from: Option<&NodeId>, count: usize) {
        match &mut self.awaited {
            Awaited::Named(servers) => {
                let Some(from) = from else { return };
                let Some(FromServer::Count { replied }) = servers.get(from) else { return };
                match count.saturating_sub(*replied) {
                    0 => servers.remove(from),
                    remaining => servers.insert(from.clone(), FromServer::Clients(remaining)),
                };
            }
            Awaited::Counted(counted) => {
                if counted.wants_acks && counted.handle_server(from) {
                    counted.clients.receivers = counted.clients.receivers.saturating_add(count);
                    if let Some(named) = counted.named(from) {
                        named.clients.receivers = count;
                    }
                }
            }
        }
    }

    /// Handles the acknowledgement of a client, or that there will be none.
    pub(super) fn handle_client(&mut self, from: Option<&NodeId>) -> bool {
        match &mut self.awaited {
            Awaited::Named(servers) => {
                let Some(from) = from else { return false };
                match servers.get_mut(from) {
                    // On some buses, the number may arrive after the first acknowledgement.
                    Some(FromServer::Count { replied }) => *replied += 1,
                    Some(FromServer::Clients(1)) => drop(servers.remove(from)),
                    Some(FromServer::Clients(remaining)) => *remaining -= 1,
                    Some(FromServer::Reply) | None => return false,
                }
                true
            }
            Awaited::Counted(counted) => {
                if counted.wants_acks {
                    counted.clients.replied += 1;
                    if let Some(named) = counted.named(from) {
                        named.clients.replied += 1;
                    }
                }
                counted.wants_acks
            }
        }
    }

    /// Handles that a server has left the cluster.
    pub(super) fn handle_close(&mut self, peer: &NodeId, deliveries: &mut Deliveries) {
        let reason = MissingReason::Disconnected;
        match &mut self.awaited {
            Awaited::Named(servers) => {
                if let Some(awaited) = servers.remove(peer) {
                    deliveries.push(&self.replies, awaited.missing(peer.clone(), reason));
                }
            }
            // Whether it was counted among the servers that have not replied is not known. The next count shows it.
            Awaited::Counted(counted) => {
                let Some(named) = counted.named.get_mut(peer) else { return };
                let count = named.clients.remaining();
                if count > 0 {
                    named.clients.replied += count;
                    counted.clients.replied += count;
                    let missing = Missing::Clients { node: Some(peer.clone()), count, reason };
                    deliveries.push(&self.replies, Reply::Missing(missing));
                }
            }
        }
    }

    /// Handles the number of servers that this request waits for.
    pub(super) fn handle_servers(&mut self, others: usize) {
        if let Awaited::Counted(counted) = &mut self.awaited {
            counted.servers.get_or_insert(others);
        }
    }

    /// Handles that there are now so many other servers. If those that have not replied were more, some have left.
    pub(super) fn handle_count(&mut self, others: usize, deliveries: &mut Deliveries) {
        let Awaited::Counted(counted) = &mut self.awaited else { return };
        let Some(servers) = counted.servers else { return };
        let reason = MissingReason::Disconnected;
        for _ in others..servers.saturating_sub(counted.replied) {
            deliveries.push(&self.replies, Reply::Missing(Missing::Server { node: None, reason }));
        }
        counted.servers = Some(servers.min(counted.replied + others));
        if others == 0 {
            counted.fail_clients(reason, &self.replies, deliveries);
        }
    }

    /// Reports everything that the request still waits for as missing.
    pub(super) fn fail(mut self, reason: MissingReason, deliveries: &mut Deliveries) {
        match &mut self.awaited {
            Awaited::Named(servers) => {
                for (node, awaited) in std::mem::take(servers) {
                    deliveries.push(&self.replies, awaited.missing(node, reason));
                }
            }
            Awaited::Counted(counted) => {
                // Without a number, it is not certain that nobody else was asked.
                let missing = counted.servers.map_or(1, |servers| servers.saturating_sub(counted.replied));
                for _ in 0..missing {
                    deliveries.push(&self.replies, Reply::Missing(Missing::Server { node: None, reason }));
                }
                counted.fail_clients(reason, &self.replies, deliveries);
            }
        }
        deliveries.end(self.replies);
    }
}

impl Counted {
    /// Handles the reply of a server, or the number of its clients. Returns `false` if it is the second one.
    fn handle_server(&mut self, from: Option<&NodeId>) -> bool {
        if let Some(named) = self.named(from)
            && std::mem::replace(&mut named.has_replied, true)
        {
            return false;
        }
        self.replied += 1;
        true
    }

    fn named(&mut self, from: Option<&NodeId>) -> Option<&mut Named> {
        let from = from?;
        if !self.named.contains_key(from) && self.named.len() < self.max_named {
            self.named.insert(from.clone(), Named::default());
        }
        self.named.get_mut(from)
    }

    /// Reports the clients that have not replied as missing.
    fn fail_clients(&mut self, reason: MissingReason, replies: &Replies, deliveries: &mut Deliveries) {
        let mut report = |node, count| {
            if count > 0 {
                deliveries.push(replies, Reply::Missing(Missing::Clients { node, count, reason }));
            }
        };
        let mut anonymous = self.clients.remaining();
        for (node, named) in &self.named {
            let count = named.clients.remaining().min(anonymous);
            anonymous -= count;
            report(Some(node.clone()), count);
        }
        report(None, anonymous);
        self.clients.replied = self.clients.replied.max(self.clients.receivers);
    }
}

impl FromServer {
    fn missing(self, node: NodeId, reason: MissingReason) -> Reply {
        let node = Some(node);
        Reply::Missing(match self {
            Self::Reply | Self::Count { .. } => Missing::Server { node, reason },
            Self::Clients(count) => Missing::Clients { node, count, reason },
        })
    }
}
