//! The tests that use only what the crate exports, in one program, because each program is linked by itself.

mod advisories;
mod chunks;
mod deflate;
mod random_messages;
mod rfc6455;
mod rfc7692;
mod rfc8441;
mod split_input;
mod support;
