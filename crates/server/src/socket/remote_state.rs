//! What the other servers of a cluster may know about a socket, in the form that Node uses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use adapter::{RemoteSocketState, Room};
use handlers::ReceivedEvent;
use serde::Serialize;
use socketio_proto::{Arguments, Object};

use super::Socket;

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

/// `{}` as one argument, the data of a socket for which the program has set none.
fn empty_object() -> Arguments<'static> {
    let event = ReceivedEvent::new("data", Object::new()).expect("an empty object is JSON");
    event.arguments().clone()
}
