//! The I/O of a connection: the buffer, the queues and the timer that its task uses, and the streams below.

mod clock;
mod deadline;
mod defer_wake;
mod latest_messages;
mod mask_keys;
mod outbox;
mod peer_timeout;
mod read_buffer;
mod stream;
mod turn_budget;
mod wake_in_batches;
mod websocket;
mod write_queue;

pub use clock::now;
pub use deadline::DeadlineTimer;
pub use defer_wake::defer_wake;
pub use latest_messages::{Frame, LatestKey};
pub use outbox::{Outbox, OutboxItem, OutboxSignals, PushError, PushOutcome, Pushed, SlowReaderPolicy};
pub use peer_timeout::PeerTimeout;
pub(crate) use peer_timeout::PeerTimer;
pub use read_buffer::ReadBuffer;
pub use stream::{BoxedIo, Stream};
pub use turn_budget::TurnBudget;
pub use wake_in_batches::wake_in_batches;
pub(crate) use websocket::LINGER;
pub use websocket::{MAX_CLOSING_READS_PER_POLL, MAX_INFLATED_PER_POLL, StreamEnd, WebSocketStream};
pub use write_queue::{WireBytes, WriteQueue};
