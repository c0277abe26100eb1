//! The tests that use only what the crate exports, in one program, because each program is linked by itself.

mod cluster;
mod cluster_counted;
mod cluster_publish_errors;
mod cluster_recovery;
mod contract;
mod hostile_server;
mod model;
mod suite;
mod support;
mod threads;
