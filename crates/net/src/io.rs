//! The I/O of a connection: what its task reads into, writes from and sleeps on.

mod clock;
mod deadline;
mod mask_keys;
mod outbox;
mod read_buffer;
mod stream;
mod websocket;
mod write_queue;

pub use clock::now;
pub use deadline::Deadline;
pub use outbox::{Attention, Outbox, Outgoing, PushError};
pub use read_buffer::ReadBuffer;
pub use stream::{AnyStream, Stream};
pub(crate) use websocket::LINGER;
pub use websocket::{Ended, READS_WHILE_CLOSING, WebSocketStream};
pub use write_queue::{Wire, WriteQueue};
