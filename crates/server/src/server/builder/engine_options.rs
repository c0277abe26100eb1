//! The settings of the engine: transports, heartbeat, CORS, compression, hooks.

use super::Builder;

impl Builder {
    engineio::engine_setters!("/socket.io", "tidewire_server", "tidewire_server::Server");

    /// Sets whether clients of Socket.IO 4 and Engine.IO 3 may connect: `socket.io-client` 1 and 2, also over JSONP.
    /// Default false.
    ///
    /// Such a client computes the id of its socket from the id of its session. **So the [`id`](crate::Socket::id) of its
    /// sockets reveals the secret id of its session:** a client that knows it can read, write and close the session. Do
    /// not send it to other clients if this is allowed. JSONP lets pages of every origin read responses;
    /// [`allow_origins`](Self::allow_origins) protects from both JSONP and WebSocket of other pages.
    pub fn allow_eio3(mut self, allowed: bool) -> Self {
        self.options.allow_eio3 = allowed;
        self
    }
}
