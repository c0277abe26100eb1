//! Rooms, and who receives a broadcast: the Socket.IO adapter interface and the in-memory adapter.
//!
//! An [`Adapter`] knows the sockets of one namespace ([`LocalSocket`]s), which [`Room`]s they are in, and how to reach those
//! that a [`BroadcastOptions`] selects. [`InMemoryAdapter`] is the adapter of a single process, and the local half of every
//! adapter that speaks to others.
//!
//! Not here: encoding (a broadcast is one [`EncodedEvent`], encoded before it gets here), queues, and
//! sockets of the operating system. An adapter never waits: delivering is a push, and whoever has to be woken is woken
//! when no lock is held.
//!
//! The contract of delivery:
//!
//! - The receivers are the members of any of the rooms, less the members of any of the excepted ones. No rooms are all
//!   members of the namespace; rooms that do not exist are nobody.
//! - A member of several of the rooms receives one copy.
//! - A member is in the room of its own id from [`Adapter::add`] to [`Adapter::del_all`]. Other members may join that
//!   room, as any other.
//! - A member is in no more rooms than its [`Limits`] allow; one join more is refused, and everything else stays as it
//!   was.
//! - What one thread broadcasts, each member receives in that order.
//! - A member that is being removed by another thread receives a broadcast or does not; once
//!   [`del_all`](Adapter::del_all) has returned, it receives none that begins afterwards, and joining is without effect.

mod adapter;
mod in_memory;
mod index;
mod limits;
mod options;
mod room;
mod slab;

pub use adapter::{Adapter, LocalSocket};
pub use engineio_proto::{MessageEncoder, SharedMessage};
pub use in_memory::InMemoryAdapter;
pub use limits::{JoinError, Limits};
pub use options::BroadcastOptions;
pub use room::Room;
pub use socketio_proto::{EncodeError, EncodedEvent, SocketId};
