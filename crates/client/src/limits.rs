//! Limits of the memory that a server, or a lost connection, can cause.

use std::time::Duration;

use socketio_proto::client as machine;
pub use socketio_proto::client::Overflow;

/// Limits of one client. Each one names what it protects against.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The maximum number of events that one socket buffers while it is not connected. The events that
    /// [`retries`](crate::Builder::retries) keeps have a limit of the same size. Protects against a program that emits
    /// for hours while the server cannot be reached. [`overflow`](Self::overflow) selects what happens at the limit.
    /// Default 16,384.
    pub max_send_buffer_events: usize,
    /// Like [`max_send_buffer_events`](Self::max_send_buffer_events), but counts bytes. Default 16 MiB.
    pub max_send_buffer_bytes: usize,
    /// Selects which event is dropped when the send buffer is full. Default: the newest, so that `try_emit` fails and
    /// `emit` calls the error hook. The queue of `retries` always refuses the newest.
    pub overflow: Overflow,
    /// The maximum number of events that one socket buffers before the server responds to its request to connect. A
    /// server sends events in this phase when it replays missed events. If there are more, the connection is closed,
    /// with the reason `forced close`. Protects against servers that send events without end and never respond. Default
    /// 16,384.
    pub max_receive_buffer_events: usize,
    /// Like [`max_receive_buffer_events`](Self::max_receive_buffer_events), but counts bytes. Default 16 MiB.
    pub max_receive_buffer_bytes: usize,
    /// The number of queued events at which the client stops reading from the connection: events whose handlers wait for
    /// earlier ones, or for [`start`](crate::Socket::start). Protects against servers that send faster than the
    /// handlers finish. Default 256.
    pub max_queued_events: usize,
    /// Like [`max_queued_events`](Self::max_queued_events), but counts bytes. Default 1 MiB.
    pub max_queued_bytes: usize,
    /// The maximum number of queued events while the program waits for an acknowledgement. During this time the client
    /// continues to read, because otherwise the acknowledgement could not arrive. If the limit is exceeded, the
    /// connection is closed, with the reason `forced close`. Default 16,384.
    pub max_queued_events_hard: usize,
    /// Like [`max_queued_events_hard`](Self::max_queued_events_hard), but counts bytes. Default 16 MiB.
    pub max_queued_bytes_hard: usize,
    /// The bytes of the events in an [`EventStream`](crate::EventStream) at which later events begin to wait. Protects
    /// against servers that send faster than the program takes the events from the stream. Default 64 KiB.
    pub max_stream_bytes: usize,
    /// The number of running [concurrent](crate::Registration::concurrent) handlers of one socket at which later events
    /// begin to wait. While this many run, the next concurrent handler still starts, but all later events wait until one
    /// of these handlers has finished. Protects against servers that start an unlimited number of long jobs. Default 64.
    pub max_concurrent_handlers: usize,
    /// The time in which running handlers and the `on_disconnect` handlers must finish when
    /// [`Client::close`](crate::Client::close) is called. After that, `close` no longer waits for them. Protects against
    /// a handler that never finishes, for instance because it awaits `close` itself. Default 30 s.
    pub on_disconnect_timeout: Duration,
    /// The maximum length of a socket id, and of the private id for recovery, in bytes. Protects against ids of
    /// megabytes, which are kept as long as the socket. Default 256.
    pub max_id_len: usize,
    /// The maximum length of an offset for recovery, in bytes. A longer string at the end of an event is an ordinary
    /// argument. The client sends the last offset back at every reconnect. Default 128.
    pub max_offset_len: usize,
}

impl Limits {
    pub(crate) fn machine(&self) -> machine::Limits {
        let mut limits = machine::Limits::default();
        limits.max_send_buffer_messages = self.max_send_buffer_events;
        limits.max_send_buffer_bytes = self.max_send_buffer_bytes;
        limits.overflow = self.overflow;
        limits.max_receive_buffer_events = self.max_receive_buffer_events;
        limits.max_receive_buffer_bytes = self.max_receive_buffer_bytes;
        limits.max_id_len = self.max_id_len;
        limits.max_offset_len = self.max_offset_len;
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        let machine = machine::Limits::default();
        Self {
            max_send_buffer_events: machine.max_send_buffer_messages,
            max_send_buffer_bytes: machine.max_send_buffer_bytes,
            overflow: machine.overflow,
            max_receive_buffer_events: machine.max_receive_buffer_events,
            max_receive_buffer_bytes: machine.max_receive_buffer_bytes,
            max_queued_events: 256,
            max_queued_bytes: 1024 * 1024,
            max_queued_events_hard: 16 * 1024,
            max_queued_bytes_hard: 16 * 1024 * 1024,
            max_stream_bytes: 64 * 1024,
            max_concurrent_handlers: 64,
            on_disconnect_timeout: Duration::from_secs(30),
            max_id_len: machine.max_id_len,
            max_offset_len: machine.max_offset_len,
        }
    }
}
