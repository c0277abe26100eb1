//! An error with its causes, in one line: the lowest floor has it, so that all crates print errors alike.

pub use ws_proto::Chain;
