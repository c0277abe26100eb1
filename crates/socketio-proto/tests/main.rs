//! The tests that use only what the crate exports, in one program, because each program is linked by itself.

mod arbitrary_input;
mod connections;
mod message_pack;
#[path = "support/message_parts.rs"]
mod message_parts;
mod round_trip;
