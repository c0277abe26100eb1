//! Tests of handlers and their queue, on a side without a network and a runtime.

mod errors;
mod order;
mod replies;
mod side;
