//! A cluster in one process, and tests that every adapter must pass. Only tests use this module.
//!
//! [`Loopback`] is a message bus between servers of this process. It does no I/O and has no clock: the test moves the
//! messages and the time. [`suite`] contains the tests; an adapter runs them with [`adapter_suite!`](crate::adapter_suite).

mod loopback;
mod probe;
pub mod suite;

pub use loopback::{Loopback, Server};
pub use probe::{Happening, Probe, ServerSideEvent, TestHost, event, event_with_ack, id};
