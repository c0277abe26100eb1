//! The server of the page `/tracking/`: the namespace `/tracking`.

use tidewire::server::Server;

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let tracking = io.of("/tracking");
    // The pages measure the round trip.
    tracking.on("round-trip", async || {});
}
