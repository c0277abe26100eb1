//! Event names that the protocol and the JavaScript packages keep for themselves.

/// Names that no event on the wire may have: a received one closes the connection, a sent one is refused.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether `name` is one of [`RESERVED_EVENTS`]. `connection` and `error` are ordinary names.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name)
}
