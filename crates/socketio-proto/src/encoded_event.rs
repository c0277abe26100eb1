//! An event encoded once, for any number of receivers.

use bytes::Bytes;
use engineio_proto::{MessageEncoder, SharedMessage};
use serde::Serialize;

use crate::encode;
use crate::error::EncodeError;
use crate::json_string::write_json_string;

/// An event in shared memory: what a broadcast hands to an adapter, and an adapter to each receiver. Cheap to clone.
///
/// It knows its JSON, so that a log or a bus that carries JSON takes that text and never encodes again.
///
/// ```
/// use engineio_proto::MessageEncoder;
/// use tidewire_socketio_proto::EncodedEvent;
///
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/chat", None, "say", &("hello", 2))?;
/// assert_eq!(event.json(), r#"["say","hello",2]"#);
/// assert_eq!(event.message().text(), r#"2/chat,["say","hello",2]"#);
/// assert_eq!(event.with_offset("0001").json(), r#"["say","hello",2,"0001"]"#);
/// # Ok::<(), tidewire_socketio_proto::EncodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct EncodedEvent(SharedMessage);

impl EncodedEvent {
    /// Encodes an event, see [`encode::event`].
    ///
    /// # Errors
    /// When the name is reserved, or the arguments cannot be written.
    pub fn encode<T: Serialize + ?Sized>(
        encoder: &mut MessageEncoder,
        namespace: &str,
        ack: Option<u64>,
        name: &str,
        arguments: &T,
    ) -> Result<Self, EncodeError> {
        encode::event(encoder, namespace, ack, name, arguments).map(|message| Self(message.to_shared()))
    }

    /// Its name and arguments, `["name",…]`. Where bytes belong, it has placeholders, numbered in the order of the
    /// [attachments](Self::attachments).
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.body()
    }

    /// The bytes among its arguments, in order.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        self.0.attachments()
    }

    /// The event as connections send it.
    #[must_use]
    pub fn message(&self) -> &SharedMessage {
        &self.0
    }

    /// The same event with its `offset` in a log as a last argument: clients show the last offset they have received when
    /// they want to recover what they missed. Costs one copy of the text, whatever the number of receivers.
    #[must_use]
    pub fn with_offset(&self, offset: &str) -> Self {
        let json = self.json();
        let mut stamped = Vec::with_capacity(json.len() + offset.len() + 3);
        stamped.extend_from_slice(json.strip_suffix(']').unwrap_or(json).as_bytes());
        // An event has a name, so the list is never empty.
        stamped.push(b',');
        write_json_string(&mut stamped, offset);
        stamped.push(b']');
        let stamped = std::str::from_utf8(&stamped).expect("JSON text was extended by JSON text");
        Self(self.0.with_body(stamped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_knows_its_json_and_its_attachments_whatever_stands_before_them() {
        let image = Bytes::from_static(&[1, 2]);
        for (namespace, ack, before) in [("/", None, "51-"), ("/a[\"x\"]", Some(7), "51-/a[\"x\"],7")] {
            let event =
                EncodedEvent::encode(&mut MessageEncoder::new(), namespace, ack, "image", &(&image, 3))
                    .unwrap();
            let json = r#"["image",{"_placeholder":true,"num":0},3]"#;
            assert_eq!(event.json(), json);
            assert_eq!(event.message().text(), format!("{before}{json}"));
            assert_eq!(event.attachments(), [&image]);
        }
    }

    #[test]
    fn a_stamped_event_has_its_offset_as_last_argument_and_nothing_else_changed() {
        let mut encoder = MessageEncoder::new();
        let event = EncodedEvent::encode(&mut encoder, "/a", Some(1), "x", &Bytes::from("b")).unwrap();
        let stamped = event.with_offset("a\"1");
        assert_eq!(stamped.json(), r#"["x",{"_placeholder":true,"num":0},"a\"1"]"#);
        assert_eq!(stamped.message().text(), format!("51-/a,1{}", stamped.json()));
        assert_eq!(stamped.attachments(), event.attachments());
        let bare = EncodedEvent::encode(&mut encoder, "/", None, "x", &()).unwrap();
        assert_eq!(bare.with_offset("1").json(), r#"["x","1"]"#);
        assert_eq!(bare.json(), r#"["x"]"#);
    }
}
