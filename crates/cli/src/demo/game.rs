//! The server of the page `/game/`: the namespace `/game`.

use tidewire::server::Server;

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let game = io.of("/game");
    // The pages measure the round trip.
    game.on("round-trip", async || {});
}
