//! Collections that several crates use.
//!
//! A `BTreeMap` or a `BTreeSet` compiles to 5,000 to 8,000 lines of LLVM IR for each type of its entries. Programs that use
//! Tidewire compile them with it. These types compile to a tenth of that, because they fit what is stored: numbers that were
//! assigned in order, and deadlines of which only the earliest one is asked for.

mod ascending_map;
mod deadline_set;

pub use ascending_map::AscendingMap;
pub use deadline_set::DeadlineSet;
