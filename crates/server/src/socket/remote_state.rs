//! What the other servers of a cluster may know about a socket, in the form that Node uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapter::{RemoteSocketState, Room};
use serde_json::{Map, Value as JsonValue};
use socketio_proto::{Arguments, RawJson};

use super::Socket;
use crate::connection::Handshake;

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
        let mut headers = Map::new();
        for (name, value) in handshake.headers() {
            match headers.get_mut(name) {
                Some(JsonValue::String(joined)) if !joined.is_empty() => joined.extend([", ", value]),
                _ => {
                    headers.insert(name.to_owned(), value.into());
                }
            }
        }
        let mut query = Map::new();
        for (name, value) in handshake.queries() {
            query.insert(name.into_owned(), value.into_owned().into());
        }
        let issued = handshake.issued().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut json = Map::new();
        let mut insert = |name: &str, value: JsonValue| json.insert(name.to_owned(), value);
        insert("headers", headers.into());
        insert("time", httpdate::fmt_http_date(UNIX_EPOCH + issued).into());
        insert("address", handshake.address().map(|address| address.to_string()).into());
        insert("xdomain", handshake.xdomain().into());
        insert("secure", handshake.secure().into());
        insert("issued", u64::try_from(issued.as_millis()).unwrap_or(u64::MAX).into());
        insert("url", handshake.url().into());
        insert("query", query.into());
        let mut json = JsonValue::from(json).to_string();
        json.pop();
        json.extend([r#","auth":"#, self.0.auth.as_str(), "}"]);
        json
    }
}

/// Parses the handshake of a socket of another server. Every part may be missing. What cannot be parsed is empty.
pub(crate) fn parse_handshake(json: &str) -> (Handshake, RawJson<'static>) {
    let json: JsonValue = json.parse().unwrap_or_default();
    let headers = json["headers"].as_object().into_iter().flatten();
    let mut headers =
        headers.flat_map(|(name, value)| texts(value).map(move |value| (&**name, value.into())));
    let url = json["url"].as_str().unwrap_or_default();
    let address = json["address"].as_str().and_then(|address| address.parse().ok());
    let is_secure = json["secure"].as_bool().unwrap_or_default();
    let milliseconds = json["issued"].as_f64().unwrap_or_default();
    let since_epoch = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
    let issued = UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH);
    let auth = RawJson::object(&json["auth"]).unwrap_or(RawJson::EMPTY_OBJECT);
    (Handshake::of_remote(url, &mut headers, address, issued, is_secure), auth)
}

/// Returns the values of a header: a text, or in Node a list of texts if it may occur several times.
fn texts(header: &JsonValue) -> impl Iterator<Item = &str> {
    let values = header.as_array().map_or(std::slice::from_ref(header), Vec::as_slice);
    values.iter().filter_map(JsonValue::as_str)
}

/// `{}` as one argument, the data of a socket for which the program has set none.
fn empty_object() -> Arguments<'static> {
    Arguments::from_json("[{}]", Vec::new()).expect("a list of an empty object is JSON")
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
