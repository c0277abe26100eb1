//! Serialization of received arguments, to forward them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arguments::Arguments;

/// Serializes as a list of arguments. A program can emit the arguments of an event again, including their binary data.
///
/// Without attachments, the text of each argument is copied unchanged, at any nesting depth. With attachments, the text
/// is parsed again, because the placeholders get new numbers. In this case, serde_json limits the nesting to 128
/// levels.
impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list = format!("[{}]", self.json_elements());
        let mut arguments = serializer.serialize_seq(Some(self.len()))?;
        if self.attachments().is_empty() {
            let elements: Vec<&RawValue> = serde_json::from_str(&list).map_err(S::Error::custom)?;
            for element in elements {
                arguments.serialize_element(element)?;
            }
        } else {
            let elements: Vec<Node> = serde_json::from_str(&list).map_err(S::Error::custom)?;
            for node in &elements {
                arguments.serialize_element(&WithAttachments { node, arguments: self })?;
            }
        }
        arguments.end()
    }
}

/// A JSON value that preserves the order of object members.
enum Node {
    Scalar(Value),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A value together with the attachments that its placeholders refer to.
struct WithAttachments<'a> {
    node: &'a Node,
    arguments: &'a Arguments<'a>,
}

impl Node {
    /// Returns the index of the attachment if this value is a placeholder.
    fn placeholder(&self) -> Option<usize> {
        let Self::Object(members) = self else { return None };
        let member = |name| members.iter().rev().find(|(found, _)| found == name).map(|(_, node)| node);
        match (member("_placeholder"), member("num")) {
            (Some(Self::Scalar(Value::Bool(true))), Some(Self::Scalar(index))) => {
                index.as_u64().and_then(|index| index.try_into().ok())
            }
            _ => None,
        }
    }
}

impl Serialize for WithAttachments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attachment = self.node.placeholder().and_then(|index| self.arguments.attachments().get(index));
        if let Some(attachment) = attachment {
            return serializer.serialize_bytes(attachment);
        }
        let below = |node| WithAttachments { node, arguments: self.arguments };
        match self.node {
            Node::Scalar(value) => value.serialize(serializer),
            Node::Array(elements) => serializer.collect_seq(elements.iter().map(below)),
            Node::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (name, node) in members {
                    object.serialize_entry(name, &below(node))?;
                }
                object.end()
            }
        }
    }
}

/// One parser reads the whole value, so that its nesting limit applies to the whole value.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use engineio_proto::MessageEncoder;

    use crate::{Decoder, DecoderLimits, Packet, encode};

    /// Emits the arguments of the packet in `text` again, as the event "again". Returns the resulting message.
    fn relayed(text: &str, attachments: &[&[u8]]) -> (String, Vec<Vec<u8>>) {
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let mut packet = decoder.decode_text(text).unwrap().map(Packet::into_owned);
        for attachment in attachments {
            packet = decoder.decode_binary(*attachment).unwrap();
        }
        let Some(Packet::Event { event, .. }) = packet else { panic!("no event in {text}") };
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, "/", None, "again", event.arguments()).unwrap();
        (message.text().to_owned(), message.attachments().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn relayed_arguments_are_the_list_of_arguments_and_keep_their_text() {
        assert_eq!(relayed(r#"2["a"]"#, &[]).0, r#"2["again"]"#);
        assert_eq!(relayed(r#"2["a",{"z":1,"a":[1e3]},"x"]"#, &[]).0, r#"2["again",{"z":1,"a":[1e3]},"x"]"#);
    }

    #[test]
    fn relayed_attachments_follow_with_new_numbers() {
        let text = r#"52-["a",{"z":{"_placeholder":true,"num":1}},7,{"_placeholder":true,"num":0}]"#;
        let expected = r#"52-["again",{"z":{"_placeholder":true,"num":0}},7,{"_placeholder":true,"num":1}]"#;
        let (text, attachments) = relayed(text, &[b"zero", b"one"]);
        assert_eq!(text, expected);
        assert_eq!(attachments, [&b"one"[..], b"zero"]);
    }

    #[test]
    fn deep_arguments_are_relayed_and_deep_binary_ones_are_an_error_not_a_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let (text, _) = relayed(&format!(r#"2["a",{deep}]"#), &[]);
        assert_eq!(text, format!(r#"2["again",{deep}]"#));

        let mut decoder = Decoder::new(&DecoderLimits::default());
        let text = format!(r#"51-["a",{deep},{{"_placeholder":true,"num":0}}]"#);
        assert_eq!(decoder.decode_text(&text), Ok(None));
        let Some(Packet::Event { event, .. }) = decoder.decode_binary(&b"x"[..]).unwrap() else { panic!() };
        assert!(encode::event(&mut MessageEncoder::new(), "/", None, "again", event.arguments()).is_err());
    }
}
