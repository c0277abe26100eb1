//! What the test clients promise. One program, because each program is linked by itself.

mod client;
mod clock;
mod faults;
mod websocket;

/// The tests end with the first error.
type Tested = Result<(), Box<dyn std::error::Error>>;
