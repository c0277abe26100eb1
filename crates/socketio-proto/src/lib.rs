//! Socket.IO 5 packets and their JSON codec, without input or output of their own.
