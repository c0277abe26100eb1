//! Code shared by the programs of the bench: a minimum of each protocol, and what the kernel reports about a process.
//!
//! Nothing here uses Tidewire's own crates. A generator built from the code that it measures would not notice that
//! code's mistakes, and a floor built from it would not be a lower bound.

pub mod compile;
pub mod floor;
pub mod host;
pub mod load;
pub mod memory;
pub mod scale;
pub mod storm;
pub mod suite;
pub mod wire;
