//! WebSocket for programs: upgrade in any hyper or axum server, receive and send.
