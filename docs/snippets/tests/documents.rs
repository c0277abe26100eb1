//! Runs the tests that the documents contain. `build.rs` collects them.

include!(concat!(env!("OUT_DIR"), "/tests.rs"));
