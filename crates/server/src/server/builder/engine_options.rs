//! The settings of the engine: transports, heartbeat, CORS, compression, hooks.

use super::Builder;

impl Builder {
    engineio::engine_setters!("/socket.io", "tidewire_server", "tidewire_server::Server");
}
