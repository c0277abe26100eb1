//! The adapter over a real Redis or Valkey, in one program, because each program is linked by itself.
//!
//! The tests start servers of their own. The environment variable `TIDEWIRE_REDIS_SERVER` names the binary; without it, it is
//! `redis-server` in `PATH`.

mod emitter;
mod links;
mod messages;
mod metrics;
mod redis_cluster;
mod suite;
mod support;
