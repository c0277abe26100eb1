//! An event that is encoded once for any number of receivers.

use bytes::Bytes;
use engineio_proto::{EncodedMessage, MessageEncoder, SharedMessage, StoredMessage};
use serde::Serialize;

use crate::encode;
use crate::error::EncodeError;
use crate::json_string::write_json_string;

/// An encoded event whose memory is shared. A broadcast passes it to the adapter, and the adapter passes a clone to
/// each receiver. Cloning is cheap.
///
/// The JSON of the event is available as text, so a log or a message bus can store it without encoding it again.
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
    /// Encodes an event. See [`encode::event`].
    ///
    /// # Errors
    /// Returns an error if the name is reserved, or if the arguments cannot be encoded.
    pub fn encode<T: Serialize + ?Sized>(
        encoder: &mut MessageEncoder,
        namespace: &str,
        ack: Option<u64>,
        name: &str,
        arguments: &T,
    ) -> Result<Self, EncodeError> {
        encode::event(encoder, namespace, ack, name, arguments).map(Self::from)
    }

    /// Returns the name and the arguments as JSON, `["name",…]`. Binary values are replaced by placeholders. The
    /// placeholders are numbered in the order of the [attachments](Self::attachments).
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.body()
    }

    /// Returns the binary values among the arguments, in order.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        self.0.attachments()
    }

    /// Returns the message that connections send.
    #[must_use]
    pub fn message(&self) -> &SharedMessage {
        &self.0
    }

    /// Returns the same event with an acknowledgement id. `namespace` is the namespace that the event was encoded for.
    /// This copies the event once for all receivers. A server calls it for an event of another server: each server has
    /// ids of its own.
    #[must_use]
    pub fn with_ack(&self, encoder: &mut MessageEncoder, namespace: &str, ack: u64) -> Self {
        let message = encode::raw_event(encoder, namespace, Some(ack), self.json(), self.attachments());
        Self(message.with_compression(self.0.allows_compression()).to_shared())
    }

    /// Returns the same event with an additional last argument, the `offset` of the event in a log. To recover the
    /// events it has missed, a client sends the last offset that it has received. This copies the text once for all
    /// receivers.
    #[must_use]
    pub fn with_offset(&self, offset: &str) -> Self {
        self.with_last(offset.len() + 3, |text| write_json_string(text, offset))
    }

    /// Returns the same event with `null` as an additional last argument. A client takes text at the end of an event for an
    /// offset, and null not.
    #[must_use]
    pub fn with_null(&self) -> Self {
        self.with_last(5, |text| text.extend_from_slice(b"null"))
    }

    /// Returns whether the event has arguments and the last one is text.
    #[must_use]
    pub fn ends_with_text(&self) -> bool {
        // What ends with a quote is text: the last argument, or the name if there are no arguments.
        self.json().ends_with("\"]") && !is_name_only(self.json())
    }

    /// Returns the content of the event, for a log.
    #[must_use]
    pub fn to_stored(&self) -> StoredEvent {
        StoredEvent(self.0.to_stored())
    }

    fn with_last(&self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let json = self.json();
        let mut extended = Vec::with_capacity(json.len() + len);
        extended.extend_from_slice(json.strip_suffix(']').unwrap_or(json).as_bytes());
        // The list is never empty, because an event has a name.
        extended.push(b',');
        write(&mut extended);
        extended.push(b']');
        let extended = std::str::from_utf8(&extended).expect("JSON extended by JSON is UTF-8");
        Self(self.0.with_body(extended))
    }
}

/// The content of an [`EncodedEvent`], without the forms of it that its receivers need. See [`StoredMessage`].
///
/// ```
/// use engineio_proto::MessageEncoder;
/// use tidewire_socketio_proto::EncodedEvent;
///
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/chat", None, "say", &("hello", 2))?;
/// assert_eq!(event.to_stored().share().json(), event.json());
/// # Ok::<(), tidewire_socketio_proto::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct StoredEvent(StoredMessage);

impl StoredEvent {
    /// Returns the event for a receiver. This copies no content.
    pub fn share(&mut self) -> EncodedEvent {
        EncodedEvent(self.0.share())
    }

    /// Returns the size of the event in memory, in bytes, without `Self`. It never changes, see [`StoredMessage::memory`].
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// Returns whether a list of JSON that begins with a string has no other element.
fn is_name_only(json: &str) -> bool {
    let mut is_escaped = false;
    let end = json.bytes().skip(2).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.is_some_and(|end| end + 4 == json.len())
}

impl From<EncodedMessage<'_>> for EncodedEvent {
    /// Copies an event that [`encode::event`] has encoded into shared memory.
    fn from(event: EncodedMessage<'_>) -> Self {
        Self(event.to_shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_attachments_do_not_depend_on_namespace_and_ack() {
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
    fn with_ack_changes_the_acknowledgement_id_and_nothing_else() {
        let mut encoder = MessageEncoder::new();
        let image = Bytes::from_static(&[1, 2]);
        for (namespace, before) in [("/", "51-9"), ("/a", "51-/a,9")] {
            let event = encode::event(&mut encoder, namespace, Some(1), "x", &(7, &image)).unwrap();
            let event = EncodedEvent::from(event.with_compression(false));
            let other = event.with_ack(&mut encoder, namespace, 9);
            assert!(!other.message().allows_compression());
            assert_eq!(other.message().text(), format!("{before}{}", event.json()));
            assert_eq!((other.json(), other.attachments()), (event.json(), event.attachments()));
        }
    }

    #[test]
    fn with_offset_adds_a_last_argument_and_changes_nothing_else() {
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

    #[test]
    fn an_event_ends_with_text_if_its_last_argument_is_text() {
        let mut encoder = MessageEncoder::new();
        for name in ["x", "\"", "\\", "\\\"", "a\",\"b", ""] {
            let mut ends_with_text = |arguments: &dyn Fn(&mut MessageEncoder) -> EncodedEvent| {
                arguments(&mut encoder).ends_with_text()
            };
            assert!(!ends_with_text(&|e| EncodedEvent::encode(e, "/", None, name, &()).unwrap()), "{name}");
            assert!(ends_with_text(&|e| EncodedEvent::encode(e, "/", None, name, &"").unwrap()), "{name}");
            assert!(ends_with_text(&|e| EncodedEvent::encode(e, "/", None, name, &(1, "\\")).unwrap()));
            assert!(!ends_with_text(&|e| EncodedEvent::encode(e, "/", None, name, &("a", 1)).unwrap()));
            assert!(!ends_with_text(&|e| EncodedEvent::encode(e, "/", None, name, &["a"]).unwrap()));
        }
        let text = EncodedEvent::encode(&mut encoder, "/", None, "x", &"a").unwrap();
        assert_eq!(text.with_null().json(), r#"["x","a",null]"#);
    }
}
