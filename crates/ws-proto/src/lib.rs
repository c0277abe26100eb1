//! WebSocket (RFC 6455) as a state machine without input or output of its own.
