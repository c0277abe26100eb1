//! The revisions of the protocol, and what a server reads differently in revision 4.
//!
//! A client of Socket.IO 4 does not request `/`: the server connects it when the session opens. It requests other
//! namespaces with a query instead of an auth payload, as in `0/admin?token=1`.

use std::borrow::Cow;
use std::collections::BinaryHeap;

use crate::arguments::RawJson;
use crate::error::DecodeError;
use crate::json_string::write_json_string;
use crate::packet::{Packet, scan_json};

/// The revision of the Socket.IO protocol that a client uses. The revision of Engine.IO that its session uses decides
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Socket.IO 4, with Engine.IO 3: `socket.io-client` 1 and 2.
    V4,
    /// Socket.IO 5, with Engine.IO 4: `socket.io-client` 3 and 4.
    V5,
}

/// The longest query of a connect request, in bytes. The same parameters in the URL of the session have this limit in
/// Node.
///
/// Protects against queries of megabytes that are all names. Reading one takes many times its memory, and its JSON may
/// be six times as long.
const MAX_QUERY_LEN: usize = 16 * 1024;

/// Changes a packet of Socket.IO 4 to what it means in Socket.IO 5: splits the query from its namespace, and makes the
/// query of a connect request its auth payload. As in Node, such a request has no other auth payload.
pub(super) fn read_query(packet: &mut Packet<'_>) -> Result<(), DecodeError> {
    let query = split_query(packet.namespace_mut());
    if let Packet::Connect { auth, .. } = packet {
        *auth = query.map(|query| query_object(&query)).transpose()?;
    }
    Ok(())
}

/// Removes the query and the fragment from the namespace and returns the query. The program of the client writes the
/// namespace as a URL path, so the name stays as it is: percent-encoded, if the client sent it so.
fn split_query<'a>(namespace: &mut Cow<'a, str>) -> Option<Cow<'a, str>> {
    let end = namespace.find(['?', '#'])?;
    let (path, rest) = match &*namespace {
        Cow::Borrowed(text) => {
            let (path, rest) = text.split_at(end);
            (Cow::Borrowed(path), Cow::Borrowed(rest))
        }
        Cow::Owned(text) => {
            let (path, rest) = text.split_at(end);
            (Cow::Owned(path.to_owned()), Cow::Owned(rest.to_owned()))
        }
    };
    *namespace = path;
    if !rest.starts_with('?') {
        return None;
    }
    let end = rest.find('#').unwrap_or(rest.len());
    Some(match rest {
        Cow::Borrowed(rest) => Cow::Borrowed(&rest[1..end]),
        Cow::Owned(rest) => Cow::Owned(rest[1..end].to_owned()),
    })
}

/// Returns the parameters of a query as a JSON object of strings. If a parameter occurs several times, its last value
/// counts.
fn query_object(query: &str) -> Result<RawJson<'static>, DecodeError> {
    if query.len() > MAX_QUERY_LEN {
        return Err(DecodeError::QueryTooLong { max: MAX_QUERY_LEN });
    }
    // By name, and those of one name in their order. A heap sorts almost as fast as `sort`, and compiles to much less.
    let parameters = form_urlencoded::parse(query.as_bytes()).enumerate();
    let parameters: BinaryHeap<_> = parameters.map(|(index, (name, value))| (name, index, value)).collect();
    let mut parameters = parameters.into_sorted_vec().into_iter().peekable();
    let mut text = vec![b'{'];
    while let Some((name, _, value)) = parameters.next() {
        if parameters.peek().is_some_and(|(next, ..)| *next == name) {
            continue;
        }
        if text.len() > 1 {
            text.push(b',');
        }
        write_json_string(&mut text, &name);
        text.push(b':');
        write_json_string(&mut text, &value);
    }
    text.push(b'}');
    let text = String::from_utf8(text).expect("JSON strings of text are UTF-8");
    // An auth payload of Socket.IO 5 is checked in the same way.
    scan_json(&text).map(RawJson::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, DecoderLimits};

    fn read(text: &str) -> Result<(String, Option<String>), DecodeError> {
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let mut packet = decoder.decode_text(text)?.expect("the packet is complete");
        let owned = read_query(&mut packet.clone().into_owned());
        assert_eq!(owned, read_query(&mut packet));
        owned?;
        let auth = match &packet {
            Packet::Connect { auth: Some(auth), .. } => Some(auth.as_str().to_owned()),
            _ => None,
        };
        Ok((packet.namespace().to_owned(), auth))
    }

    #[test]
    fn a_namespace_ends_at_its_query_and_the_query_of_a_request_is_its_auth_payload() {
        for (text, namespace, auth) in [
            ("0", "/", None),
            ("0/admin", "/admin", None),
            ("0/admin?", "/admin", Some("{}")),
            ("0/admin?token=1", "/admin", Some(r#"{"token":"1"}"#)),
            ("0/admin?token=1&a=b+c%20d&token=2,", "/admin", Some(r#"{"a":"b c d","token":"2"}"#)),
            ("0/admin?%22=%00&é", "/admin", Some(r#"{"\"":"\u0000","é":""}"#)),
            ("0/admin?a=1#b?c=2", "/admin", Some(r#"{"a":"1"}"#)),
            ("0/admin#a?b=1", "/admin", None),
            (r#"0/admin,{"token":1}"#, "/admin", None),
            (r#"0/admin?a=1,{"token":1}"#, "/admin", Some(r#"{"a":"1"}"#)),
            (r#"2/admin?a=1,["x"]"#, "/admin", None),
            ("1/admin?a=1,", "/admin", None),
            ("0/a%20b?c", "/a%20b", Some(r#"{"c":""}"#)),
        ] {
            assert_eq!(read(text), Ok((namespace.to_owned(), auth.map(str::to_owned))), "{text}");
        }
    }

    #[test]
    fn the_length_of_a_query_is_limited() {
        let longest = format!("0/a?{}", "\u{1}".repeat(MAX_QUERY_LEN));
        assert!(read(&longest).is_ok());
        assert_eq!(read(&format!("{longest}x")), Err(DecodeError::QueryTooLong { max: MAX_QUERY_LEN }));
        assert!(read(&format!("2/a?{},[\"x\"]", "x".repeat(MAX_QUERY_LEN + 1))).is_ok(), "it is not kept");
    }

    #[test]
    fn a_name_that_no_auth_payload_may_contain_is_refused() {
        let reserved = "$serde_json::private::RawValue";
        let payload = Decoder::new(&DecoderLimits::default())
            .decode_text(&format!(r#"0{{"{reserved}":"1"}}"#))
            .map(drop);
        assert!(matches!(payload, Err(DecodeError::ReservedKey { .. })));
        assert!(matches!(read(&format!("0/a?{reserved}=1")), Err(DecodeError::ReservedKey { .. })));
    }
}
