//! The return value of an event handler.

use serde::Serialize;

/// The values of an acknowledgement, as the return value of an event handler. A tuple is a list of values; any other
/// type is one value.
///
/// It is serialized as the value that it contains, so `Ok(Reply(value))` and `Ok(value)` send the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reply<T>(pub T);
