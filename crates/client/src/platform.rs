//! What differs between native programs and programs in a browser, besides the transports: clock, timer, randomness, tasks.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{ErrorLogLimit, SpawnTask, Timer, now, print_if_unlogged, random, spawn};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::{ErrorLogLimit, SpawnTask, Timer, now, print_if_unlogged, random, spawn};
