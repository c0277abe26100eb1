//! The Socket.IO adapter interface, the in-memory adapter, and with the feature `cluster` the adapter of a cluster without its
//! message bus. An adapter stores rooms and selects the receivers of a broadcast.
//!
//! An [`Adapter`] stores the sockets of one namespace ([`LocalSocket`]s) and the [`Room`]s they are in, and delivers
//! events to the sockets that a [`BroadcastOptions`] selects. [`InMemoryAdapter`] is the adapter of a single process.
//! `cluster::ClusterAdapter` is the adapter of several processes. It leaves the message bus between them to a `cluster::Bus`.
//!
//! This crate does not encode packets for connections (a broadcast takes an [`EncodedEvent`], which is encoded once for
//! all receivers), does not buffer messages, and does no I/O. An adapter never waits: delivery pushes to a queue, and
//! the connections are woken after all locks are released.
//!
//! An adapter delivers events by these rules:
//!
//! - The receivers are the members of any of the selected rooms, except the members of any excepted room. If no rooms
//!   are selected, the receivers are all sockets of the namespace. A room that does not exist selects no socket.
//! - A member of several selected rooms receives one copy.
//! - A socket is in the room of its own id from [`Adapter::insert`] to [`Adapter::del_all`]. Other sockets may join
//!   that room like any other room.
//! - A socket is in no more rooms than its [`Limits`] allow. A join beyond the limit fails and changes nothing.
//! - Each socket receives the broadcasts of one thread in the order in which the thread made them.
//! - While one thread removes a socket, a concurrent broadcast may or may not reach that socket. After
//!   [`del_all`](Adapter::del_all) has returned, the socket receives no broadcast that begins later, and joining a room
//!   does nothing.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `cluster` | in [`cluster`]: `ClusterAdapter`, `Emitter`, and `codec`, the formats of messages that Node servers understand |
//! | `testing` | `cluster`; in `testing`: a cluster in one process, and tests that every adapter must pass |
//!
//! None is on by default: an adapter that leaves its own sockets to an [`InMemoryAdapter`] needs none.

mod adapter;
pub mod cluster;
mod host;
#[cfg(test)]
mod idle_socket;
mod in_memory;
mod index;
mod limits;
mod local_socket;
mod options;
mod ready;
mod recovery;
mod remote_socket;
mod request;
mod room;
mod room_change;
mod slab;
#[cfg(feature = "testing")]
pub mod testing;

pub use adapter::{Adapter, AdapterFactory};
pub use engineio_proto::{MessageEncoder, SharedMessage};
pub use host::{Host, LinkChange, ServerSideResponder};
pub use in_memory::InMemoryAdapter;
pub use limits::{JoinError, Limits};
pub use local_socket::LocalSocket;
pub use options::{BroadcastOptions, DeliveryPolicy};
pub use ready::Ready;
pub use recovery::{
    ClaimError, Claimed, KeptForRecovery, PrivateId, Recovery, RecoveryBudget, RecoveryOptions, Resumed,
    Session,
};
pub use remote_socket::RemoteSocketState;
pub use request::{AckWaiter, Missing, MissingReason, Replies, Reply, Request};
pub use room::Room;
pub use room_change::{RoomChange, RoomObserver};
pub use socketio_proto::{Arguments, EncodeError, EncodedEvent, SocketId};
pub use ws_proto::Time;
