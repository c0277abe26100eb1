//! A client that asks for a namespace.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Connection, Socket, SocketEntry, SocketState};
use crate::arguments::RawJson;
use crate::server::socket_entry::Slot;

/// A client asks for a namespace. The driver [inserts](Self::insert) a socket for it, or drops this and sends a refusal.
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

    /// The name of the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What the client authenticates with: a JSON object, as it came; `{}` if the client sent nothing. The fields for
    /// recovery are in it too.
    #[must_use]
    pub fn auth(&self) -> &RawJson<'m> {
        self.auth.as_ref().unwrap_or(&RawJson::EMPTY_OBJECT)
    }

    /// The private id that the client was given before, if it wants to be recovered.
    #[must_use]
    pub fn pid(&self) -> Option<String> {
        self.recovery().pid.text()
    }

    /// The offset of the last event that the client has received, if it wants to be recovered.
    #[must_use]
    pub fn offset(&self) -> Option<String> {
        self.recovery().offset.text()
    }

    /// The client may join if the middleware lets it. What is inserted must be a socket of the namespace that was
    /// asked for.
    pub fn insert(self, socket: S) -> SocketEntry<'c, S> {
        debug_assert_eq!(socket.namespace(), self.namespace);
        self.connection.slots.push(Slot::Socket { state: SocketState::Connecting, socket });
        let index = self.connection.slots.len() - 1;
        SocketEntry::new(self.connection, index)
    }

    fn recovery(&self) -> RecoveryFields {
        self.auth.as_ref().and_then(|auth| auth.deserialize().ok()).unwrap_or_default()
    }
}

/// The fields for recovery. What is no text is as good as absent.
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
