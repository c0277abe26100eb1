//! The Rust blocks of `README.md` and `docs/` as doc tests, which `build.rs` makes, and the programs of the binary's home
//! page. They are compiled and not run, except the tests in the documents, which `tests/documents.rs` runs.
//!
//! Each document has a module here. It contains the names that the document's fragments use without defining them, as
//! the reader's own program would. Blocks that are whole programs use nothing from it.
#![allow(missing_docs, missing_debug_implementations, reason = "these items stand for the reader's own code")]
#![allow(clippy::unused_async, reason = "fragments await these functions, which are async in a real program")]

macro_rules! document {
    ($name:ident, $file:literal) => {
        #[cfg_attr(doctest, doc = include_str!(concat!(env!("OUT_DIR"), "/", $file)))]
        pub mod $name;
    };
}

document!(client, "client.md");
document!(cluster, "cluster.md");
document!(deployment, "deployment.md");
document!(engineio, "engineio.md");
document!(from_node, "from-node.md");
document!(guide, "guide.md");
document!(home_page, "home-page.md");
document!(limits, "limits.md");
document!(metrics, "metrics.md");
document!(readme, "README.md");
document!(recipes, "recipes.md");
document!(websocket, "websocket.md");
