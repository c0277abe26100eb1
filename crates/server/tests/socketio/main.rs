//! Tests of the server, from the side of programs that use it and of their clients.

mod addresses;
mod advisories;
mod attachments;
mod broadcast;
mod client_files;
mod concurrent_handlers;
mod connect;
mod data;
mod disconnect;
mod emit_with_ack;
mod errors;
mod event_middleware;
mod event_order;
mod event_stream;
mod handler_acks;
mod handler_order;
mod keep_latest;
mod memory_budget;
mod mounting;
mod namespaces;
mod observers;
mod protocol4;
mod reentrant_drop;
mod server_close;
mod slow_readers;
mod support;
