//! The settings of a session and the packet that announces them.

use std::time::Duration;

use crate::id::SessionId;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long-polling: a GET that waits for packets, a POST that brings them.
    Polling,
    /// One WebSocket connection, one packet a message.
    WebSocket,
}

impl Transport {
    /// The name in the `transport` query parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// What both ends of a session must agree on; the server announces it in the open packet.
///
/// The defaults are those of the Node packages, so that a client tuned for them meets nothing new.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long after the last pong (or the open) the server sends a ping. Default 25 s.
    pub ping_interval: Duration,
    /// How long the server waits for the pong before it closes the session. Default 20 s.
    pub ping_timeout: Duration,
    /// How long a client that began an upgrade may take to finish it. Default 10 s.
    pub upgrade_timeout: Duration,
    /// The longest message, in bytes: a WebSocket message or a POST body. Answers memory exhaustion by one large
    /// message. Default 1,000,000.
    pub max_payload: usize,
    /// Transports that a client may use. Default: polling and WebSocket.
    pub transports: Vec<Transport>,
    /// Whether a polling session may move to WebSocket. Default true.
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

/// The open packet of a session that starts on `transport`.
#[must_use]
pub fn open_packet(id: &SessionId, transport: Transport, settings: &Settings) -> String {
    let upgradable = transport == Transport::Polling
        && settings.allow_upgrades
        && settings.transports.contains(&Transport::WebSocket);
    format!(
        r#"0{{"sid":"{id}","upgrades":[{}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        if upgradable { r#""websocket""# } else { "" },
        settings.ping_interval.as_millis(),
        settings.ping_timeout.as_millis(),
        settings.max_payload,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_packet_has_the_key_order_of_the_node_server() {
        let id = SessionId::from_random([0; 15]);
        let settings = Settings::default();
        assert_eq!(
            open_packet(&id, Transport::Polling, &settings),
            r#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(
            open_packet(&id, Transport::WebSocket, &settings),
            r#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    #[test]
    fn no_upgrade_is_offered_where_none_is_allowed() {
        let id = SessionId::from_random([0; 15]);
        for settings in [
            Settings { allow_upgrades: false, ..Settings::default() },
            Settings { transports: vec![Transport::Polling], ..Settings::default() },
        ] {
            assert!(open_packet(&id, Transport::Polling, &settings).contains(r#""upgrades":[]"#));
        }
    }
}
