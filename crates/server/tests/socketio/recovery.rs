//! Connection state recovery, with a client that sends literal packets.

mod client;
mod cluster;
mod cluster_random;
mod connection;
mod message_pack;
mod node_faults;
mod observers;
mod refusals;
mod server_limits;
mod sessions;
