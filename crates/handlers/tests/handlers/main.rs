//! Handlers and their queue on a side of the wire that has no network and no runtime.

mod errors;
mod order;
mod replies;
mod side;
