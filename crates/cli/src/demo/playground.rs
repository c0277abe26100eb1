//! The server of the page `/playground/`: the namespace `/playground`, whose events do something that can be seen.

use tidewire::server::Server;

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let playground = io.of("/playground");
    // The pages measure the round trip.
    playground.on("round-trip", async || {});
}
