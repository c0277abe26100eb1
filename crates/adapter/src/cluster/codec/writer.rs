//! Writes a message as JSON or MessagePack.

use std::fmt::Write as _;

use bytes::Bytes;
use socketio_proto::message_pack::{Dialect, from_json};
use socketio_proto::{Arguments, EncodeError, EncodedEvent, Value};

use crate::cluster::{AckRequest, RequestId};
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::remote_socket::RemoteSocketState;
use crate::room::Room;

/// What binary values become in JSON text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    /// Placeholders of attachments, for MessagePack.
    Attachments,
    /// What `JSON.stringify` makes of a `Buffer`.
    Numbers,
}

/// Writes JSON text. The caller writes the punctuation.
pub(super) struct Writer {
    text: String,
    attachments: Vec<Bytes>,
    binary: Binary,
}

impl Writer {
    pub(super) fn new(binary: Binary) -> Self {
        Self { text: String::new(), attachments: vec![], binary }
    }

    /// Appends JSON.
    pub(super) fn raw(&mut self, json: &str) -> &mut Self {
        self.text.push_str(json);
        self
    }

    /// Appends a number.
    pub(super) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let _ = write!(self.text, "{}", number.into());
        self
    }

    /// Appends a text as a JSON string. `serde_json` escapes what `JSON.stringify` escapes, in the same form.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
        self
    }

    /// Appends a list of texts.
    pub(super) fn strings<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> &mut Self {
        self.list(texts, |writer, text| {
            writer.string(text);
            Ok(())
        })
        .expect("writing text does not fail")
    }

    /// Appends the list of elements that `write` writes.
    pub(super) fn list<T>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T) -> Result<(), EncodeError>,
    ) -> Result<&mut Self, EncodeError> {
        self.text.push('[');
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            write(self, element)?;
        }
        self.text.push(']');
        Ok(self)
    }

    /// Appends the id of a request.
    pub(super) fn request(&mut self, request: &RequestId) -> &mut Self {
        self.string(request.as_str())
    }

    /// Appends the rooms of the options, as members of an object.
    pub(super) fn rooms(&mut self, options: &BroadcastOptions) -> &mut Self {
        self.raw(r#""rooms":"#).strings(options.rooms.iter().map(Room::as_str));
        self.raw(r#","except":"#).strings(options.except.iter().map(Room::as_str))
    }

    /// Appends the flags of an operation: those of Node, and ours, which Node ignores.
    pub(super) fn flags(
        &mut self,
        options: &BroadcastOptions,
        event: Option<&EncodedEvent>,
        ack: Option<&AckRequest>,
    ) -> &mut Self {
        let start = self.text.len();
        if options.policy == DeliveryPolicy::Volatile {
            self.raw(r#","volatile":true"#);
        }
        if event.is_some_and(|event| !event.message().allows_compression()) {
            self.raw(r#","compress":false"#);
        }
        if let Some(timeout) = ack.and_then(|ack| u64::try_from(ack.timeout.as_millis()).ok()) {
            self.raw(r#","timeout":"#).number(timeout);
        }
        if let DeliveryPolicy::KeepLatest(key) = &options.policy {
            self.raw(r#","keepLatest":"#).string(key);
        }
        if options.private {
            self.raw(r#","private":true"#);
        }
        if self.text.len() > start {
            self.text.remove(start);
        }
        self.text.insert(start, '{');
        self.raw("}")
    }

    /// Appends the name and the arguments of an event, as a list.
    pub(super) fn event(&mut self, event: &EncodedEvent) -> Result<&mut Self, EncodeError> {
        if event.attachments().is_empty() {
            return Ok(self.raw(event.json()));
        }
        if self.takes_attachments() {
            self.attachments.extend_from_slice(event.attachments());
            return Ok(self.raw(event.json()));
        }
        let list = Arguments::from_json(event.json(), event.attachments().to_vec());
        let list = list.map_err(EncodeError::custom)?.deserialize_all::<Vec<Value>>();
        self.value(&Value::Array(list.map_err(EncodeError::custom)?));
        Ok(self)
    }

    /// Appends the first argument. If there is none, returns `false` and appends nothing: in JavaScript, it is undefined.
    pub(super) fn argument(&mut self, before: &str, arguments: &Arguments<'_>) -> Result<(), EncodeError> {
        if arguments.is_empty() {
            return Ok(());
        }
        if arguments.len() > 1 {
            let first = arguments.clone().into_owned().into_first();
            return self.argument(before, &first);
        }
        self.raw(before);
        if arguments.attachments().is_empty() {
            self.raw(arguments.json_elements());
        } else if self.takes_attachments() {
            self.attachments.extend_from_slice(arguments.attachments());
            self.raw(arguments.json_elements());
        } else {
            let list = arguments.deserialize_all::<Vec<Value>>().map_err(EncodeError::custom)?;
            list.iter().for_each(|value| self.value(value));
        }
        Ok(())
    }

    /// Appends a socket.
    pub(super) fn socket(&mut self, socket: &RemoteSocketState) -> Result<(), EncodeError> {
        self.raw(r#"{"id":"#).string(&socket.id);
        self.raw(r#","handshake":"#).raw(&socket.handshake);
        self.raw(r#","rooms":"#).strings(socket.rooms.iter().map(Room::as_str));
        self.argument(r#","data":"#, &socket.data)?;
        self.raw("}");
        Ok(())
    }

    /// Whether the next binary values can keep the numbers of their placeholders.
    fn takes_attachments(&self) -> bool {
        self.binary == Binary::Attachments && self.attachments.is_empty()
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bytes(data) if self.binary == Binary::Attachments => {
                let number = self.attachments.len() as u64;
                self.raw(r#"{"_placeholder":true,"num":"#).number(number).raw("}");
                self.attachments.push(data.clone());
            }
            Value::Bytes(data) => {
                self.raw(r#"{"type":"Buffer","data":["#);
                for (index, byte) in data.iter().enumerate() {
                    self.raw(if index == 0 { "" } else { "," }).number(*byte);
                }
                self.raw("]}");
            }
            Value::Array(elements) => {
                self.raw("[");
                for (index, element) in elements.iter().enumerate() {
                    self.raw(if index == 0 { "" } else { "," }).value(element);
                }
                self.raw("]");
            }
            Value::Object(members) => {
                self.raw("{");
                for (index, (key, value)) in members.iter().enumerate() {
                    self.raw(if index == 0 { "" } else { "," }).string(key).raw(":").value(value);
                }
                self.raw("}");
            }
            Value::String(text) => {
                self.string(text);
            }
            Value::Number(number) => {
                let _ = write!(self.text, "{number}");
            }
            Value::Bool(value) => {
                self.raw(if *value { "true" } else { "false" });
            }
            Value::Null => {
                self.raw("null");
            }
        }
    }

    /// Returns whether there are binary values, which need MessagePack.
    pub(super) fn has_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// Returns the length of the text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the text.
    pub(super) fn into_json(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Returns the text as MessagePack.
    pub(super) fn to_message_pack(&self, dialect: Dialect) -> Result<Vec<u8>, EncodeError> {
        let size = self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        let mut message = Vec::with_capacity(size);
        from_json(&self.text, &self.attachments, dialect, &mut message)?;
        Ok(message)
    }
}
