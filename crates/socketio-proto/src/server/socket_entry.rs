//! One socket of a connection, and the states it goes through.

use super::{Connection, Deadline, Socket};

/// What a connection keeps of a socket.
#[derive(Debug)]
pub(super) enum Slot<S> {
    Socket {
        state: SocketState,
        socket: S,
    },
    /// The server has disconnected the socket, and the driver has removed it. The client may not know it yet: what it
    /// still sends to this namespace is ignored, not punished.
    DisconnectedByServer {
        namespace: Box<str>,
    },
}

/// Where a socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// The client has asked for the namespace; the middleware decides.
    Connecting,
    /// The client has been let in.
    Connected,
    /// The client has left, the server has disconnected it, or the connection is closed. Its last handlers may still
    /// run.
    Disconnected {
        /// Whether it was let in before.
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

    /// Whether the socket is connected or will perhaps be.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Socket { state: SocketState::Connecting | SocketState::Connected, socket } => {
                !socket.is_disconnected()
            }
            Self::Socket { .. } | Self::DisconnectedByServer { .. } => false,
        }
    }

    /// Whether the client has been let in, and may since have left.
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

/// One socket of a connection, which is borrowed meanwhile.
#[derive(Debug)]
pub struct SocketEntry<'c, S> {
    connection: &'c mut Connection<S>,
    /// Of a slot with a socket.
    index: usize,
}

impl<'c, S: Socket> SocketEntry<'c, S> {
    pub(super) fn new(connection: &'c mut Connection<S>, index: usize) -> Self {
        Self { connection, index }
    }

    /// What the driver keeps for the socket.
    #[must_use]
    pub fn socket(&self) -> &S {
        match &self.connection.slots[self.index] {
            Slot::Socket { socket, .. } => socket,
            Slot::DisconnectedByServer { .. } => {
                unreachable!("an entry is made for a socket and ends with it")
            }
        }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn socket_mut(&mut self) -> &mut S {
        match &mut self.connection.slots[self.index] {
            Slot::Socket { socket, .. } => socket,
            Slot::DisconnectedByServer { .. } => {
                unreachable!("an entry is made for a socket and ends with it")
            }
        }
    }

    /// Where the socket is in its life. One that the program has disconnected is disconnected.
    #[must_use]
    pub fn state(&self) -> SocketState {
        let slot = &self.connection.slots[self.index];
        match slot {
            Slot::Socket { state, .. } if slot.is_open() => *state,
            _ => SocketState::Disconnected { was_connected: slot.was_connected() },
        }
    }

    /// The middleware has let the client in: it may send events from now on, so the driver sends CONNECT at once.
    ///
    /// `false` if the client has left meanwhile, the program has disconnected the socket, or the connection is closed:
    /// then nothing is to be sent, and the entry is to be [removed](Self::remove). For a socket that is connected already,
    /// this does nothing.
    #[must_use = "a client that has left meanwhile must not be told that it has joined"]
    pub fn accept(&mut self) -> bool {
        let slot = &mut self.connection.slots[self.index];
        let is_open = slot.is_open();
        if let Slot::Socket { state, .. } = slot
            && is_open
        {
            *state = SocketState::Connected;
            self.connection.connect_deadline = Deadline::NEVER;
        }
        is_open
    }

    /// The driver has finished with the socket: it is disconnected and its last handler has ended, or the middleware has
    /// refused it. A refused client is told so by the driver and may ask again; its connection stays, and so does the
    /// deadline until which some namespace must be joined. If the program has disconnected the socket, the name of the
    /// namespace is kept until the client asks for it again.
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
