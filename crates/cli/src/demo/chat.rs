//! The server of the page `/chat/`: the namespace `/chat`.

use tidewire::server::Server;

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let chat = io.of("/chat");
    // The pages measure the round trip.
    chat.on("round-trip", async || {});
}
