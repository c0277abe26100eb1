//! The open packet of a session, as a client reads it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::handshake::Transport;

/// The data of an open packet, as a client reads it.
///
/// Unknown members are ignored. The `Debug` output hides all but the first characters of the session id, which is a
/// secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The session id. It is the `sid` parameter of every further request. The server may choose any text, so
    /// percent-encode it in a URL.
    pub session_id: Box<str>,
    /// The transports that the server offers for an upgrade, in the server's order, without duplicates. Unknown
    /// transports are left out. If the server sends no list, this is empty.
    pub upgrades: Vec<Transport>,
    /// How long after the last pong the server sends a ping.
    pub ping_interval: Duration,
    /// How long the client waits for an overdue ping before it closes the session.
    pub ping_timeout: Duration,
    /// The longest body of a POST, in bytes. `None` if the server announces no limit, or zero.
    pub max_payload: Option<usize>,
}

/// Why an open packet cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The data is not a JSON object.
    Json,
    /// `sid` is missing, not a string, empty, or longer than the limit.
    SessionId,
    /// `upgrades` is not a list of strings.
    Upgrades,
    /// `pingInterval` or `pingTimeout` is missing, not a number, or out of range. Their sum must be at least 1 ms, and
    /// at most the longest time that a JavaScript timer can wait: with a longer time, a JavaScript client would close
    /// the session at once.
    Heartbeat,
    /// `maxPayload` is present, but not a number of bytes.
    MaxPayload,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "the open packet is not a JSON object",
            Self::SessionId => "`sid` in the open packet is missing, empty, too long or not a string",
            Self::Upgrades => "`upgrades` in the open packet is not a list of strings",
            Self::Heartbeat => {
                "`pingInterval` or `pingTimeout` in the open packet is missing, not a number or out of range"
            }
            Self::MaxPayload => "`maxPayload` in the open packet is not a number of bytes",
        })
    }
}

impl std::error::Error for HandshakeError {}

impl Handshake {
    /// The longest time that a JavaScript timer can wait, in milliseconds: 24.8 days.
    const MAX_TIMER_MS: f64 = 2_147_483_647.0;

    /// Parses the data of an open packet. The session id may be at most `max_id_len` bytes long.
    ///
    /// # Errors
    /// Returns an error for the first member that is not usable.
    pub fn parse(json: &str, max_id_len: usize) -> Result<Self, HandshakeError> {
        // The derived `Deserialize` would also accept a JSON list.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(HandshakeError::Json);
        }
        let members: RawHandshake<'_> = serde_json::from_str(json).map_err(|_| HandshakeError::Json)?;
        let session_id: Box<str> = parse_member(members.sid).ok_or(HandshakeError::SessionId)?;
        if session_id.is_empty() || session_id.len() > max_id_len {
            return Err(HandshakeError::SessionId);
        }
        let upgrades = match members.upgrades {
            Some(list) => parse_member::<Upgrades>(Some(list)).ok_or(HandshakeError::Upgrades)?.0,
            None => Vec::new(),
        };
        let interval: f64 = parse_member(members.ping_interval).ok_or(HandshakeError::Heartbeat)?;
        let timeout: f64 = parse_member(members.ping_timeout).ok_or(HandshakeError::Heartbeat)?;
        let both = interval + timeout;
        if interval < 0.0 || timeout < 0.0 || !(1.0..=Self::MAX_TIMER_MS).contains(&both) {
            return Err(HandshakeError::Heartbeat);
        }
        let max_payload = match members.max_payload {
            Some(number) => {
                let bytes: f64 = parse_member(Some(number)).ok_or(HandshakeError::MaxPayload)?;
                if bytes < 0.0 {
                    return Err(HandshakeError::MaxPayload);
                }
                // A number that is too large for a `usize` becomes the largest `usize`, which does not limit anything
                // in practice.
                Some(bytes as usize).filter(|bytes| *bytes > 0)
            }
            None => None,
        };
        Ok(Self {
            session_id,
            upgrades,
            ping_interval: Duration::from_micros((interval * 1_000.0) as u64),
            ping_timeout: Duration::from_micros((timeout * 1_000.0) as u64),
            max_payload,
        })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.session_id.chars().take(4).collect();
        f.debug_struct("Handshake")
            .field("session_id", &format_args!("{shown:?}…"))
            .field("upgrades", &self.upgrades)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("max_payload", &self.max_payload)
            .finish()
    }
}

/// The members of the open packet, not parsed yet, so that each member has an error of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHandshake<'a> {
    #[serde(borrow)]
    sid: Option<&'a RawValue>,
    #[serde(borrow)]
    upgrades: Option<&'a RawValue>,
    #[serde(borrow)]
    ping_interval: Option<&'a RawValue>,
    #[serde(borrow)]
    ping_timeout: Option<&'a RawValue>,
    #[serde(borrow)]
    max_payload: Option<&'a RawValue>,
}

fn parse_member<'a, T: Deserialize<'a>>(member: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(member?.get()).ok()
}

/// The known names of a list, without duplicates. Unknown names take no memory.
struct Upgrades(Vec<Transport>);

impl<'de> Deserialize<'de> for Upgrades {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Upgrades;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of transport names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Upgrades, A::Error> {
                let mut upgrades = Vec::new();
                while let Some(name) = names.next_element::<Cow<'de, str>>()? {
                    let known = Transport::from_name(&name);
                    upgrades.extend(known.filter(|transport| !upgrades.contains(transport)));
                }
                Ok(Upgrades(upgrades))
            }
        }

        deserializer.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Settings, handshake_json};
    use crate::id::SessionId;

    #[test]
    fn a_client_reads_what_a_server_announces() {
        let settings = Settings {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            max_payload: 5_000,
            ..Settings::default()
        };
        let read = Handshake::parse(
            &handshake_json(&SessionId::from_random([0; 15]), Transport::Polling, &settings),
            1_024,
        );
        let expected = Handshake {
            session_id: "AAAAAAAAAAAAAAAAAAAA".into(),
            upgrades: vec![Transport::WebSocket],
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            max_payload: Some(5_000),
        };
        assert_eq!(read, Ok(expected));
    }

    /// Parses an open packet with one additional member, or with a usual member replaced. A `member` without a value is
    /// removed.
    fn with(member: &str) -> Result<Handshake, HandshakeError> {
        let name = member.split(':').next().unwrap_or_default();
        let usual = [r#""sid":"s""#, r#""upgrades":[]"#, r#""pingInterval":1"#, r#""pingTimeout":1"#];
        let others = usual.into_iter().filter(|usual| !usual.starts_with(name));
        let members: Vec<_> =
            others.chain([member].into_iter().filter(|member| member.contains(':'))).collect();
        Handshake::parse(&format!("{{{}}}", members.join(",")), 8)
    }

    #[test]
    fn what_a_client_cannot_use_is_named() {
        for (member, error) in [
            (r#""sid""#, HandshakeError::SessionId),
            (r#""sid":null"#, HandshakeError::SessionId),
            (r#""sid":7"#, HandshakeError::SessionId),
            (r#""sid":"""#, HandshakeError::SessionId),
            (r#""sid":"123456789""#, HandshakeError::SessionId),
            (r#""upgrades":"websocket""#, HandshakeError::Upgrades),
            (r#""upgrades":[1]"#, HandshakeError::Upgrades),
            (r#""pingInterval""#, HandshakeError::Heartbeat),
            (r#""pingInterval":"25000""#, HandshakeError::Heartbeat),
            (r#""pingInterval":-1"#, HandshakeError::Heartbeat),
            (r#""pingInterval":2147483647"#, HandshakeError::Heartbeat),
            (r#""pingTimeout""#, HandshakeError::Heartbeat),
            (r#""pingTimeout":1e300"#, HandshakeError::Heartbeat),
            (r#""maxPayload":-1"#, HandshakeError::MaxPayload),
            (r#""maxPayload":"many""#, HandshakeError::MaxPayload),
        ] {
            assert_eq!(with(member), Err(error), "{member}");
        }
        for json in ["", "{", "null", "7", r#"["s",[],1,1,1]"#, "{\"sid\":\"s\"} more"] {
            assert_eq!(Handshake::parse(json, 8), Err(HandshakeError::Json), "{json}");
        }
    }

    #[test]
    fn what_a_client_can_do_without_has_a_default() {
        let handshake = with(r#""upgrades""#).unwrap();
        assert_eq!((handshake.upgrades, handshake.max_payload), (vec![], None));
        assert_eq!(with(r#""maxPayload":0"#).unwrap().max_payload, None, "as in JavaScript");
        assert_eq!(with(r#""maxPayload":1e300"#).unwrap().max_payload, Some(usize::MAX));
        assert_eq!(with(r#""sid":"12345678""#).unwrap().session_id, "12345678".into());
        assert_eq!(with(r#""pingInterval":2147483646"#).unwrap().ping_timeout, Duration::from_millis(1));
        assert!(with(r#""new":[{"member":7}]"#).is_ok());
    }

    #[test]
    fn a_transport_is_offered_once_and_an_unknown_one_not_at_all() {
        let handshake = with(r#""upgrades":["webtransport","websocket","web\u0073ocket"]"#).unwrap();
        assert_eq!(handshake.upgrades, [Transport::WebSocket]);
    }

    #[test]
    fn a_log_line_does_not_reveal_the_session_id() {
        let handshake = with(r#""sid":"ab😀defg""#);
        assert!(handshake.is_err(), "the limit counts bytes");
        let shown = format!("{:?}", with(r#""sid":"secrets""#).unwrap());
        assert!(shown.contains("secr\"…") && !shown.contains("secrets"), "{shown}");
    }
}
