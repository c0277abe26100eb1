//! Plumbing between Tidewire's state machines and Tokio: read buffer, outbox, write queue, deadline, listener.
