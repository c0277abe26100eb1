//! The server of the page `/`: the namespace `/figures`, which sends the figures of this server.

use tidewire::server::Server;

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let figures = io.of("/figures");
    // The pages measure the round trip.
    figures.on("round-trip", async || {});
}
