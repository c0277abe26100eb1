//! What the programs of the bench share: the least of each protocol, and what the kernel says about a process.
//!
//! Nothing here comes from Tidewire's own crates. A generator built from the code it measures would forgive that code
//! its mistakes, and a floor built from it would be no floor.

pub mod floor;
pub mod host;
pub mod load;
pub mod suite;
pub mod wire;
