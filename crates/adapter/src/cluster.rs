//! Clusters of servers.
//!
//! A [`Message`] is what the servers tell each other, and a [`PublishError`] is why they do not get it: these types are part of
//! the interface between a server and any adapter, like [`BusStats`], which its metrics read.
//!
//! With the feature `cluster`, there is also the adapter of a cluster without its message bus. `ClusterAdapter` knows who
//! waits for whom, and until when. It does no I/O: a driver, which implements `Bus`, moves the messages and calls the adapter
//! when a deadline has passed. `Emitter` sends from a program that is no server. `codec` contains the formats of Node's adapters
//! for drivers that share a message bus with Node servers.

mod message;
mod publish_error;
mod stats;

pub use message::{AckRequest, ClaimReply, Message, MovedSession, NodeId, Recipient, RequestId};
pub use publish_error::PublishError;
pub use stats::{BusCounters, BusStats};

#[cfg(feature = "cluster")]
mod adapter;
#[cfg(feature = "cluster")]
mod bus;
#[cfg(feature = "cluster")]
pub mod codec;
#[cfg(feature = "cluster")]
mod emitter;
#[cfg(feature = "cluster")]
mod options;
#[cfg(feature = "cluster")]
mod outgoing_queue;

#[cfg(feature = "cluster")]
pub use self::{
    adapter::ClusterAdapter,
    bus::Bus,
    emitter::{Connect, Emitter, EmitterBroadcast, Publish},
    options::{ClusterOptions, LocalDelivery, Membership},
    outgoing_queue::{OutgoingLimits, OutgoingQueue},
};
