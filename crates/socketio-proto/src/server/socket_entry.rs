//! The sockets of a connection and their states.

use ws_proto::PeerDeadline;

use super::{Connection, Socket};

/// The data that a connection stores for a socket.
#[derive(Debug)]
pub(super) enum Slot<S> {
    Socket {
        state: SocketState,
        socket: S,
    },
    /// The server has disconnected the socket, and the driver has removed it. The client may not have received the
    /// disconnect packet yet, so packets for this namespace are ignored and do not close the connection.
    DisconnectedByServer {
        namespace: Box<str>,
    },
}

/// The state of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// The client has requested the namespace, and the middleware has not decided yet.
    Connecting,
    /// The client is connected to the namespace.
    Connected,
    /// The client or the server has disconnected the socket, or the connection is closed. The handlers of the socket
    /// may still be running.
    Disconnected {
        /// Whether the socket was connected before.
        was_connected: bool,
    },
}

impl<S: Socket> Slot<S> {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Socket { socket, .. } => socket.namespace(),
            Self::DisconnectedByServer { namespace } => namespace,
        }
    }

    pub(super) fn socket(&self) -> Option<&S> {
        match self {
            Self::Socket { socket, .. } => Some(socket),
            Self::DisconnectedByServer { .. } => None,
        }
    }

    /// Whether the socket is connected or may still become connected.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Socket { state: SocketState::Connecting | SocketState::Connected, socket } => {
                !socket.is_disconnected()
            }
            Self::Socket { .. } | Self::DisconnectedByServer { .. } => false,
        }
    }

    /// Whether the socket is connected or was connected before.
    pub(super) fn was_connected(&self) -> bool {
        match self {
            Self::Socket { state, .. } => {
                matches!(state, SocketState::Connected | SocketState::Disconnected { was_connected: true })
            }
            Self::DisconnectedByServer { .. } => true,
        }
    }

    pub(super) fn disconnect(&mut self) {
        let was_connected = self.was_connected();
        if let Self::Socket { state, .. } = self {
            *state = SocketState::Disconnected { was_connected };
        }
    }
}

/// Access to one socket of a connection. The entry borrows the connection.
#[derive(Debug)]
pub struct SocketEntry<'c, S> {
    connection: &'c mut Connection<S>,
    /// The index of a `Slot::Socket`.
    index: usize,
}

impl<'c, S: Socket> SocketEntry<'c, S> {
    pub(super) fn new(connection: &'c mut Connection<S>, index: usize) -> Self {
        Self { connection, index }
    }

    /// Returns the driver's data for the socket.
    #[must_use]
    pub fn socket(&self) -> &S {
        match &self.connection.slots[self.index] {
            Slot::Socket { socket, .. } => socket,
            Slot::DisconnectedByServer { .. } => {
                unreachable!("an entry always refers to a socket")
            }
        }
    }

    /// Returns the driver's data for the socket, mutably.
    #[must_use]
    pub fn socket_mut(&mut self) -> &mut S {
        match &mut self.connection.slots[self.index] {
            Slot::Socket { socket, .. } => socket,
            Slot::DisconnectedByServer { .. } => {
                unreachable!("an entry always refers to a socket")
            }
        }
    }

    /// Returns the state of the socket. A socket that the program has disconnected is in the state
    /// [`SocketState::Disconnected`].
    #[must_use]
    pub fn state(&self) -> SocketState {
        let slot = &self.connection.slots[self.index];
        match slot {
            Slot::Socket { state, .. } if slot.is_open() => *state,
            _ => SocketState::Disconnected { was_connected: slot.was_connected() },
        }
    }

    /// Accepts the connect request, after the middleware has allowed it. The client may send events from now on. If
    /// this returns `true`, the driver must send [`encode::connect`](crate::encode::connect) at once, or
    /// [`encode::protocol4::connect`](crate::encode::protocol4::connect) to a client of Socket.IO 4.
    ///
    /// Returns `false` if the client or the program has disconnected the socket, or if the connection is closed. The
    /// driver must then send nothing and [remove](Self::remove) the entry. If the socket is already connected, this
    /// does nothing and returns `true`.
    #[must_use = "if this returns `false`, the driver must not send a CONNECT packet"]
    pub fn accept(&mut self) -> bool {
        let is_open = self.connection.slots[self.index].is_open();
        if is_open {
            self.set_connected();
        }
        is_open
    }

    /// Notes that the client has been sent the response to its connect request, for example with the events of a session that
    /// it recovers. The client may send events from now on, even if the program has disconnected the socket meanwhile.
    pub fn set_connected(&mut self) {
        if let Slot::Socket { state: state @ SocketState::Connecting, .. } =
            &mut self.connection.slots[self.index]
        {
            *state = SocketState::Connected;
            self.connection.connect_deadline = PeerDeadline::NEVER;
        }
    }

    /// Removes the socket from the connection. The driver calls this after the socket is disconnected and its last
    /// handler has finished, or after the middleware has rejected the request.
    ///
    /// To reject a request, the driver also sends [`encode::connect_error`](crate::encode::connect_error), or
    /// [`encode::protocol4::error`](crate::encode::protocol4::error) to a client of Socket.IO 4. The
    /// connection stays open, the client may request the namespace again, and the [connect
    /// timeout](super::Limits::connect_timeout) continues. If the program has disconnected the socket, the connection
    /// stores the name of the namespace until the client requests it again, to ignore late packets.
    pub fn remove(self) {
        let Self { connection, index } = self;
        let slot = &mut connection.slots[index];
        match slot {
            Slot::Socket { socket, .. } if socket.is_disconnected() => {
                *slot = Slot::DisconnectedByServer { namespace: socket.namespace().into() };
            }
            _ => {
                connection.slots.remove(index);
            }
        }
    }
}
