//! What servers tell each other about a socket.

use socketio_proto::Arguments;

use crate::room::Room;

/// The state of a socket as another server sees it: what `fetchSockets` of Node returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteSocketState {
    /// The id. It is text, because the ids of servers in other languages may have any form.
    pub id: Box<str>,
    /// The handshake as JSON, in the form that Node uses.
    pub handshake: Box<str>,
    /// The rooms.
    pub rooms: Vec<Room>,
    /// The data of the socket: one value, as JSON and binary values.
    pub data: Arguments<'static>,
}

impl RemoteSocketState {
    /// Creates the state of a socket. `handshake` must be JSON, and `data` one argument.
    #[must_use]
    pub fn new(id: &str, handshake: String, rooms: Vec<Room>, data: Arguments<'static>) -> Self {
        Self { id: id.into(), handshake: handshake.into(), rooms, data }
    }
}
