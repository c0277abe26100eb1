//! The Rust of `README.md` and `docs/` as doc tests, made by `build.rs`; they are compiled, and not run.
//!
//! A module for each document, with the names that its fragments take for granted: what a reader would write in the program
//! around them. Whole programs use nothing of it.
#![allow(missing_docs, missing_debug_implementations, reason = "stand-ins for what is the reader's own")]
#![allow(clippy::unused_async, reason = "what a fragment awaits is async in the program around it")]

macro_rules! document {
    ($name:ident, $file:literal) => {
        #[cfg_attr(doctest, doc = include_str!(concat!(env!("OUT_DIR"), "/", $file)))]
        pub mod $name;
    };
}

document!(guide, "guide.md");
document!(limits, "limits.md");
document!(readme, "README.md");
document!(websocket, "websocket.md");
