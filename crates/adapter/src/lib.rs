//! Rooms, and who receives a broadcast: the Socket.IO adapter interface and the in-memory adapter.
