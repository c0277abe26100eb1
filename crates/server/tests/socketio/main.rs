//! The server as the programs that are written against it, and their clients, see it.

mod acknowledgements;
mod asking;
mod attachments;
mod closing;
mod dropping;
mod errors;
mod joining;
mod leaving;
mod mounting;
mod order;
mod overlapping;
mod rooms;
mod slow_readers;
mod support;
