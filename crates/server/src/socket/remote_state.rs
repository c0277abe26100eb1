//! What the other servers of a cluster may know about a socket, in the form that Node uses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapter::{RemoteSocketState, Room};
use handlers::ReceivedEvent;
use serde::{Deserialize, Serialize};
use socketio_proto::{Arguments, Object, RawJson};

use super::Socket;
use crate::connection::Handshake;

/// The handshake as JSON, without the auth payload.
#[derive(Serialize)]
struct LocalHandshake<'a> {
    headers: BTreeMap<&'a str, String>,
    time: String,
    address: Option<IpAddr>,
    xdomain: bool,
    secure: bool,
    issued: u64,
    url: &'a str,
    query: BTreeMap<String, String>,
}

/// The handshake of a socket of another server. Every part may be missing, and unknown parts are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RemoteHandshake {
    headers: BTreeMap<String, HeaderValue>,
    address: Option<String>,
    secure: bool,
    issued: f64,
    url: String,
    auth: serde_json::Value,
}

/// A header is a text, or in Node a list of texts if it may occur several times.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderValue {
    One(String),
    Several(Vec<String>),
    Other(serde::de::IgnoredAny),
}

impl HeaderValue {
    fn values(&self) -> impl Iterator<Item = &str> {
        let values = match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
            Self::Other(_) => &[],
        };
        values.iter().map(String::as_str)
    }
}

impl Socket {
    /// Returns what the other servers may know about the socket.
    pub(super) fn remote_state(&self, rooms: Vec<Room>) -> RemoteSocketState {
        RemoteSocketState::new(&self.0.id, self.handshake_json(), rooms, self.data_arguments())
    }

    /// Returns the data of the socket as one argument.
    fn data_arguments(&self) -> Arguments<'static> {
        self.stored_data().map_or_else(empty_object, |data| Arguments::clone(&data))
    }

    fn handshake_json(&self) -> String {
        let handshake = self.handshake();
        let mut headers = BTreeMap::<_, String>::new();
        for (name, value) in handshake.headers() {
            let joined = headers.entry(name).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(value);
        }
        let issued = handshake.issued().duration_since(UNIX_EPOCH).unwrap_or_default();
        let query = handshake.url().split_once('?').map_or("", |(_, query)| query);
        let json = LocalHandshake {
            headers,
            time: httpdate::fmt_http_date(UNIX_EPOCH + issued),
            address: handshake.address(),
            xdomain: handshake.xdomain(),
            secure: handshake.secure(),
            issued: u64::try_from(issued.as_millis()).unwrap_or(u64::MAX),
            url: handshake.url(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        };
        let mut json = serde_json::to_string(&json).expect("texts and numbers are valid JSON");
        json.pop();
        json.extend([r#","auth":"#, self.0.auth.as_str(), "}"]);
        json
    }
}

/// Parses the handshake of a socket of another server. What cannot be parsed is empty.
pub(crate) fn parse_handshake(json: &str) -> (Handshake, RawJson<'static>) {
    let RemoteHandshake { headers, address, secure, issued, url, auth } =
        serde_json::from_str(json).unwrap_or_default();
    let headers =
        || headers.iter().flat_map(|(name, value)| value.values().map(move |value| (&**name, value.into())));
    let address = address.and_then(|address| address.parse().ok());
    let since_epoch = Duration::try_from_secs_f64(issued / 1000.0).unwrap_or_default();
    let issued = UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH);
    let auth = RawJson::object(&auth).unwrap_or(RawJson::EMPTY_OBJECT);
    (Handshake::of_remote(&url, headers, address, issued, secure), auth)
}

/// `{}` as one argument, the data of a socket for which the program has set none.
fn empty_object() -> Arguments<'static> {
    let event = ReceivedEvent::new("data", Object::new()).expect("an empty object is JSON");
    event.arguments().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_of_node_is_read_and_broken_parts_are_empty() {
        let json = r#"{"headers":{"host":"a.test","x":["1","2"],"n":7,"b:d":"no"},"time":"Mon Nov 30 2026",
            "address":"::1","xdomain":true,"secure":true,"issued":1500,"url":"/socket.io/?token=t","query":{},
            "auth":{"user":"ann"}}"#;
        let (handshake, auth) = parse_handshake(json);
        assert_eq!(handshake.query("token").as_deref(), Some("t"));
        let headers: Vec<_> = handshake.headers().collect();
        assert_eq!(headers, [("host", "a.test"), ("x", "1"), ("x", "2")]);
        assert_eq!(handshake.address(), "::1".parse().ok());
        assert_eq!(handshake.issued(), UNIX_EPOCH + Duration::from_millis(1500));
        assert!(handshake.secure());
        assert_eq!(auth.as_str(), r#"{"user":"ann"}"#);
        for broken in ["", "7", "{}", r#"{"issued":-1}"#, r#"{"issued":1e300,"url":"/a\n/b","address":"?"}"#]
        {
            let (handshake, auth) = parse_handshake(broken);
            assert_eq!((handshake.headers().count(), auth.as_str()), (0, "{}"), "{broken}");
            assert_eq!(handshake.issued(), UNIX_EPOCH, "{broken}");
        }
    }
}
