//! The real-time stack in Rust: WebSocket, Engine.IO and Socket.IO.
