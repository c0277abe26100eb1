//! Passes a finished value through serde.
//!
//! A deserializer of this crate often has the [`Value`] that a type asks for. serde has no way to pass it on as a whole: the
//! visitor would have to build every list in it again, from its elements, at several times the cost of parsing it. So the
//! value waits here while serde calls the visitor.

use std::cell::Cell;

use serde::de::{Error, Visitor};

use super::Value;

thread_local! {
    /// Set only during a call of [`hand_over`].
    static FINISHED: Cell<Option<Value>> = const { Cell::new(None) };
}

/// Passes `value` to a visitor that asked for [`VALUE_NAME`](super::VALUE_NAME). It gets it from [`take`].
pub(crate) fn hand_over<'de, V: Visitor<'de>, E: Error>(value: Value, visitor: V) -> Result<V::Value, E> {
    FINISHED.set(Some(value));
    let visited = visitor.visit_unit();
    // The visitor of another type with that name would leave it.
    drop(FINISHED.take());
    visited
}

/// Returns the value that a deserializer hands over at the moment.
pub(super) fn take() -> Option<Value> {
    FINISHED.take()
}
