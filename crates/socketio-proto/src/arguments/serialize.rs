//! Serialization of received arguments, to forward them.

use serde::ser::{Error as _, Serialize, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::arguments::Arguments;
use crate::value::Value;

/// Serializes as a list of arguments. A program can emit the arguments of an event again, including their binary data.
///
/// Without attachments, the text of each argument is copied unchanged, at any nesting depth. With attachments, the text
/// is parsed again, because the placeholders get new numbers. In this case, the nesting is limited to 127 levels.
impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.attachments().is_empty() {
            return self.deserialize_all::<Vec<Value>>().map_err(S::Error::custom)?.serialize(serializer);
        }
        let list = format!("[{}]", self.json_elements());
        let elements: Vec<&RawValue> = serde_json::from_str(&list).map_err(S::Error::custom)?;
        let mut arguments = serializer.serialize_seq(Some(elements.len()))?;
        for element in elements {
            arguments.serialize_element(element)?;
        }
        arguments.end()
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
