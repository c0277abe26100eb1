//! The connect request of a client.

use std::borrow::Cow;
use std::fmt;

use super::{Connection, Protocol, Socket, SocketEntry, SocketState};
use crate::arguments::RawJson;
use crate::json_unescape::unescape;
use crate::scan::{ScanObserver, scan_value_prefix};
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
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryRequest {
    /// The private id of the session. The [`Debug`] form does not contain it.
    pub pid: String,
    /// The offset of the last event that the client has received. `None` if it has received none.
    pub offset: Option<String>,
}

impl RecoveryRequest {
    /// The maximum length of a private id and of an offset, in bytes. An adapter may send both to other servers.
    const MAX_LEN: usize = 128;

    /// Reads the request from the [auth payload](ConnectRequest::auth) of a client. Returns `None` if the client does not
    /// want to recover a session, or if its private id or offset has more than 128 bytes: no server has sent it then.
    #[must_use]
    pub fn from_auth(auth: &RawJson<'_>) -> Option<Self> {
        let mut members = RecoveryMembers::default();
        scan_value_prefix(auth.as_str(), &mut members).ok()?;
        let RecoveryMembers { pid, offset, .. } = members;
        let pid = pid?;
        let is_short = |text: &String| text.len() <= Self::MAX_LEN;
        (is_short(&pid) && offset.iter().all(is_short)).then_some(Self { pid, offset })
    }
}

impl fmt::Debug for RecoveryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryRequest").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// Finds the members `pid` and `offset` of an auth payload. A member that is not a string is ignored. If there are several
/// of one name, the last one counts, as in `JSON.parse`.
#[derive(Default)]
struct RecoveryMembers {
    pid: Option<String>,
    offset: Option<String>,
    /// The number of open lists and objects.
    depth: usize,
    /// The member of the payload whose value comes next.
    member: Member,
}

#[derive(Clone, Copy, Default)]
enum Member {
    Pid,
    Offset,
    #[default]
    Other,
}

impl RecoveryMembers {
    fn handle_member_value(&mut self, value: Option<String>) {
        match std::mem::take(&mut self.member) {
            Member::Pid => self.pid = value,
            Member::Offset => self.offset = value,
            Member::Other => {}
        }
    }
}

impl ScanObserver for RecoveryMembers {
    fn open(&mut self, _is_object: bool) {
        self.handle_member_value(None);
        self.depth += 1;
    }

    fn key(&mut self, raw: &str) {
        if self.depth == 1 {
            self.member = match &*unescape(raw) {
                "pid" => Member::Pid,
                "offset" => Member::Offset,
                _ => Member::Other,
            };
        }
    }

    fn scalar(&mut self, raw: &str) {
        // Only members that are looked for are copied.
        if !matches!(self.member, Member::Other) {
            self.handle_member_value(raw.starts_with('"').then(|| unescape(raw)));
        }
    }

    fn close(&mut self) {
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_recovery_has_a_private_id_and_perhaps_an_offset_and_both_are_short() {
        let request = |auth: &str| RecoveryRequest::from_auth(&RawJson::new(auth));
        let expected = |offset: Option<&str>| {
            Some(RecoveryRequest { pid: "id".to_owned(), offset: offset.map(str::to_owned) })
        };
        assert_eq!(request(r#"{"pid":"id"}"#), expected(None));
        assert_eq!(request(r#"{"pid":"id","offset":"at"}"#), expected(Some("at")));
        assert_eq!(request(r#"{"pid":"id","offset":7}"#), expected(None));
        assert_eq!(request(r#"{"a":{"pid":"no"},"p\u0069d":"i\u0064","b":["offset"]}"#), expected(None));
        assert_eq!(request(r#"{"pid":[],"pid":"id","offset":"at","offset":{"pid":"no"}}"#), expected(None));
        for auth in [r#"{"offset":"at"}"#, r#"{"pid":7}"#, r#"{"pid":["id"]}"#, r#"{"a":{"pid":"id"}}"#, "{}"]
        {
            assert_eq!(request(auth), None, "{auth}");
        }
        let (longest, too_long) = ("a".repeat(128), "a".repeat(129));
        assert!(request(&format!(r#"{{"pid":"{longest}","offset":"{longest}"}}"#)).is_some());
        assert_eq!(request(&format!(r#"{{"pid":"{too_long}"}}"#)), None);
        assert_eq!(request(&format!(r#"{{"pid":"id","offset":"{too_long}"}}"#)), None);
    }

    #[test]
    fn the_debug_form_of_a_request_for_recovery_does_not_contain_the_private_id() {
        let request = RecoveryRequest::from_auth(&RawJson::new(r#"{"pid":"secret","offset":"at"}"#));
        let text = format!("{request:?}");
        assert!(text.contains("at") && !text.contains("secret"), "{text}");
    }
}
