//! Engine.IO sessions over HTTP long-polling and WebSocket, as a tower service.
