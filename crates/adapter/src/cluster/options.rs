//! The settings of a server in a cluster.

use std::time::Duration;

use super::{NodeId, OutgoingLimits};

/// The settings of a [`ClusterAdapter`](super::ClusterAdapter).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// The name of this server. Each namespace may have its own.
    pub id: NodeId,
    /// The id of the first request. It must be random, so that the ids of different servers differ.
    pub first_request: u64,
    /// When an event reaches the sockets of the server that sends it. Default [`LocalDelivery::AtOnce`].
    pub local_delivery: LocalDelivery,
    /// How this server knows how many others there are. Default [`Membership::Heartbeats`].
    pub membership: Membership,
    /// The interval in which a server tells the others that it is alive, or counts them. Default 5 s, as in Node.
    pub heartbeat_interval: Duration,
    /// The silence after which another server counts as dead. Requests do not wait for it then. Default 10 s, as in
    /// Node.
    pub heartbeat_timeout: Duration,
    /// The maximum number of other servers. Requests do not wait for servers beyond the limit; everything else works.
    /// With [`Membership::Counted`], requests wait for all that the message bus counts, and this is the maximum number of those
    /// that a request tells apart by name. Default 1,000.
    ///
    /// Protects against programs on the message bus that invent names.
    pub max_peers: usize,
    /// The maximum number of requests that wait for other servers. At the limit, a request gets
    /// [`MissingReason::Limit`](crate::MissingReason::Limit) for each of them. Default 10,000.
    ///
    /// Protects against requests that pile up while another server does not reply.
    pub max_requests: usize,
    /// The longest time that this server waits for clients on behalf of another server. Default 10 min.
    ///
    /// Protects against servers that request acknowledgements with a timeout of days: each client has an entry for
    /// that time.
    pub max_ack_timeout: Duration,
    /// How long an event waits until the message bus returns it ([`LocalDelivery::InLogOrder`]). After that, the sockets of
    /// this server get it, and [no session](crate::ClaimError::Gap) that this server has is recovered. An event that is sent
    /// while others wait may wait twice as long. Default 5 s.
    pub log_timeout: Duration,
    /// How much waits for events that the message bus has not returned ([`LocalDelivery::InLogOrder`]): these events, and what
    /// comes after them, as when a socket leaves a room. At the limit, the sockets of this server get the events that wait, as after
    /// [`log_timeout`](Self::log_timeout). Default: 100,000, 64 MiB.
    ///
    /// Protects against a message bus that hangs while the clients of this server send events or join rooms.
    pub log_limits: OutgoingLimits,
    /// How long a client that wants to recover its session waits for the message bus and for the servers that may have the
    /// session. After that, it connects as a new client. The server that has the session has this time once more to hand it
    /// over, and repeats the last step in a third of it. A server that has just joined the cluster waits this long until it knows the others. Default 1 s.
    pub claim_timeout: Duration,
    /// The limit of each of these five numbers. Default 10,000.
    ///
    /// - Clients of this server whose claims wait for the message bus. At the limit, a client connects as a new one:
    ///   [`ClaimError::TooManyClaims`](crate::ClaimError::TooManyClaims).
    /// - Claims that wait for other servers. At the limit, the same.
    /// - Claims of other servers that wait for the message bus here. At the limit, this server replies
    ///   [`ClaimReply::Unavailable`](super::ClaimReply::Unavailable).
    /// - Sessions that other servers take and have not acknowledged. At the limit, no other session is handed over.
    /// - Sessions that this server has not taken because the confirmation came too late. At the limit, the one that expires
    ///   first is forgotten: it may be lost.
    ///
    /// Protects against clients that all come back at the same moment, and against those that invent sessions.
    pub max_claims: usize,
}

impl ClusterOptions {
    /// Creates options with default values. `random` must be random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let [id, first_request] = [0, 8].map(|start| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&random[start..start + 8]);
            bytes
        });
        Self {
            id: NodeId::from_random(id),
            first_request: u64::from_be_bytes(first_request),
            local_delivery: LocalDelivery::AtOnce,
            membership: Membership::Heartbeats,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            max_peers: 1_000,
            max_requests: 10_000,
            max_ack_timeout: Duration::from_secs(600),
            log_timeout: Duration::from_secs(5),
            log_limits: OutgoingLimits::default(),
            claim_timeout: Duration::from_secs(1),
            max_claims: 10_000,
        }
    }
}

/// How a server knows how many others there are, and for which of them a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// The servers tell each other that they are alive. A request waits for those that are known by name.
    Heartbeats,
    /// The message bus counts the servers, as Redis does in Node's adapters. Replies may be anonymous.
    ///
    /// The adapter calls [`Bus::count_servers`](super::Bus::count_servers) for each request, and the driver reports the number
    /// with [`ClusterAdapter::handle_server_count`](super::ClusterAdapter::handle_server_count). A request waits for so many
    /// replies, and for the acknowledgements of so many clients as these replies say. Replies may arrive before the number. A
    /// reply that does not come has [no name](crate::Missing::Server). If the number does not come, the request lasts until its
    /// timeout.
    ///
    /// Nobody knows which of the servers have replied. So a server that has left is missing at once only if the number becomes
    /// lower than that of the replies that are missing.
    Counted,
}

/// When an event reaches the sockets of the server that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalDelivery {
    /// Before `emit` returns.
    AtOnce,
    /// When the message bus returns the event with its offset. So all servers deliver the events of all servers in the
    /// same order. The bus must deliver broadcasts to their sender too. Broadcasts that request acknowledgements have no
    /// offset, and are delivered at once.
    ///
    /// An event that the bus refuses, or does not return [in time](ClusterOptions::log_timeout), is delivered on its own server
    /// at its place in the order. The namespace [learns it](crate::Host::on_publish_error).
    InLogOrder,
}
