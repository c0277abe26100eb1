//! Connection state recovery, with a client that sends literal packets.

mod client;
mod node_faults;
mod observers;
mod sessions;
