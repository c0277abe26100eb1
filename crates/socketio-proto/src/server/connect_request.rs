//! The connect request of a client.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Connection, Protocol, Socket, SocketEntry, SocketState};
use crate::arguments::RawJson;
use crate::server::socket_entry::Slot;

/// A client's request to connect to a namespace. To process it, the driver [inserts](Self::insert) a socket. To reject
/// it, the driver drops the request and sends [`encode::connect_error`](crate::encode::connect_error), in both revisions
/// of the protocol.
#[derive(Debug)]
pub struct ConnectRequest<'c, 'm, S> {
    connection: &'c mut Connection<S>,
    namespace: Cow<'m, str>,
    auth: Option<RawJson<'m>>,
}

impl<'c, 'm, S: Socket> ConnectRequest<'c, 'm, S> {
    pub(super) fn new(
        connection: &'c mut Connection<S>,
        namespace: Cow<'m, str>,
        auth: Option<RawJson<'m>>,
    ) -> Self {
        Self { connection, namespace, auth }
    }

    /// Returns the revision of the protocol that the client uses, which decides the form of the response.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.connection.protocol
    }

    /// Returns the name of the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the auth payload of the client, a JSON object, as received. It includes the fields for recovery. If the
    /// client sent no payload, it is `{}`. A client of Socket.IO 4 sends the query of the namespace instead: the payload
    /// has its parameters.
    #[must_use]
    pub fn auth(&self) -> &RawJson<'m> {
        self.auth.as_ref().unwrap_or(&RawJson::EMPTY_OBJECT)
    }

    /// Returns how many sockets the connection has, not counting the requested one. Sockets that have not been removed
    /// yet count, and so do the namespaces that [`SocketEntry::remove`] makes it store. A driver that lets clients choose
    /// the names of namespaces must limit this number.
    #[must_use]
    pub fn socket_count(&self) -> usize {
        self.connection.slots.len()
    }

    /// Inserts the socket for this request, in the state [`SocketState::Connecting`]. It connects as soon as the driver
    /// calls [`SocketEntry::accept`]. The namespace of the socket must be the requested one.
    pub fn insert(self, socket: S) -> SocketEntry<'c, S> {
        debug_assert_eq!(socket.namespace(), self.namespace);
        self.connection.slots.push(Slot::Socket { state: SocketState::Connecting, socket });
        let index = self.connection.slots.len() - 1;
        SocketEntry::new(self.connection, index)
    }
}

/// What a client sends to recover its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRequest {
    /// The private id of the session.
    pub pid: String,
    /// The offset of the last event that the client has received. `None` if it has received none.
    pub offset: Option<String>,
}

impl RecoveryRequest {
    /// Reads the request from the [auth payload](ConnectRequest::auth) of a client. Returns `None` if the client does not
    /// want to recover a session.
    #[must_use]
    pub fn from_auth(auth: &RawJson<'_>) -> Option<Self> {
        let RecoveryFields { pid, offset } = auth.deserialize().ok()?;
        Some(Self { pid: pid.text()?, offset: offset.text() })
    }
}

/// The fields for recovery. A field that is not a string is ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RecoveryFields {
    pid: StringOrIgnored,
    offset: StringOrIgnored,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StringOrIgnored {
    Text(String),
    Other(IgnoredAny),
}

impl Default for StringOrIgnored {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

impl StringOrIgnored {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }
}
