//! The open packet of a session, as a server writes it.

use std::fmt;
use std::time::Duration;

use crate::id::SessionId;
use crate::packet::Packet;

/// A transport of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long-polling: a GET waits for packets of the server, and a POST carries packets of the client.
    Polling,
    /// One WebSocket connection, with one packet per message.
    WebSocket,
}

impl Transport {
    /// All transports, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Polling, Self::WebSocket];

    /// Returns the name in the `transport` query parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// Returns the transport with this [`name`](Self::name), or `None` if the name is unknown.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

/// Writes the name in the `transport` query parameter: `polling` or `websocket`.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The protocol settings of a server. The open packet announces the settings that the client needs.
///
/// The defaults are the same as in the Node packages, so a client that is tuned for Node needs no changes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long after the last pong (or the open) the server sends a ping. Default 25 s.
    pub ping_interval: Duration,
    /// How long the server waits for the pong before it closes the session. Default 20 s.
    pub ping_timeout: Duration,
    /// How long a client may take from the start of an upgrade to its end. Default 10 s.
    pub upgrade_timeout: Duration,
    /// The longest message, in bytes: a WebSocket message or the body of a POST. Protects against a single large
    /// message that exhausts the memory. Default 1,000,000.
    pub max_payload: usize,
    /// Transports that a client may use. Default: polling and WebSocket.
    pub transports: Vec<Transport>,
    /// Whether a polling session may upgrade to WebSocket. Default true.
    pub allow_upgrades: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            max_payload: 1_000_000,
            transports: vec![Transport::Polling, Transport::WebSocket],
            allow_upgrades: true,
        }
    }
}

/// Returns the open packet, in its text form, of a session that starts on `transport`.
#[must_use]
pub fn open_packet(id: &SessionId, transport: Transport, settings: &Settings) -> String {
    let mut packet = Vec::new();
    Packet::Open(&handshake_json(id, transport, settings)).encode_into(&mut packet);
    String::from_utf8(packet).expect("a type character in front of text is text")
}

/// Returns the JSON data of the open packet of a session that starts on `transport`.
#[must_use]
pub fn handshake_json(id: &SessionId, transport: Transport, settings: &Settings) -> String {
    let upgradable = transport == Transport::Polling
        && settings.allow_upgrades
        && settings.transports.contains(&Transport::WebSocket);
    // The Node server writes the members in this order, too.
    format!(
        r#"{{"sid":"{id}","upgrades":[{}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        if upgradable { r#""websocket""# } else { "" },
        settings.ping_interval.as_millis(),
        settings.ping_timeout.as_millis(),
        settings.max_payload,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of an open packet.
    fn opened(transport: Transport, settings: &Settings) -> String {
        let packet = open_packet(&SessionId::from_random([0; 15]), transport, settings);
        match Packet::parse(&packet) {
            Ok(Packet::Open(data)) => data.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_transport_is_found_by_the_name_that_it_displays_and_by_its_discriminant() {
        for transport in Transport::ALL {
            assert_eq!(Transport::from_name(&transport.to_string()), Some(transport));
            assert_eq!(Transport::ALL[transport as usize], transport);
        }
        assert_eq!(Transport::from_name("__proto__"), None);
    }

    #[test]
    fn the_open_packet_has_the_key_order_of_the_node_server() {
        let settings = Settings::default();
        assert_eq!(
            opened(Transport::Polling, &settings),
            r#"{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(
            opened(Transport::WebSocket, &settings),
            r#"{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    #[test]
    fn no_upgrade_is_offered_where_none_is_allowed() {
        for settings in [
            Settings { allow_upgrades: false, ..Settings::default() },
            Settings { transports: vec![Transport::Polling], ..Settings::default() },
        ] {
            assert!(opened(Transport::Polling, &settings).contains(r#""upgrades":[]"#));
        }
    }
}
