//! Tests with a real database. They need the programs of PostgreSQL, in the folder that `TIDEWIRE_POSTGRES_BIN` names, or where
//! Debian installs version 15: `cargo test -p tidewire-adapter-postgres --features postgres-server-tests`.

mod cluster;
mod database;
mod emitter;
mod link;
mod messages;
mod relay;
mod suite;
