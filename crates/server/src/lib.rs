//! A Socket.IO server: namespaces, rooms, handlers with extractors, acknowledgements, middleware.
