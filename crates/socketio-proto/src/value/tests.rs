//! Reading binary data and values of any type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;
use crate::Arguments;

const IMAGE: &str = r#"{"_placeholder":true,"num":1}"#;

/// Reads an argument of a packet with the attachments "zero" and "one".
fn resolve<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    read(&received(json)).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(arguments: &Arguments<'_>) -> Result<T, ArgumentsError> {
    arguments.deserialize::<(T,)>().map(|(value,)| value)
}

fn received(json: &str) -> Arguments<'static> {
    let mut arguments = Arguments::new(json, 0, 1).into_owned();
    *arguments.attachments_mut() = vec![Bytes::from("zero"), Bytes::from("one")];
    arguments
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Post {
    title: String,
    image: Bytes,
    thumbnail: Option<Bytes>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
enum Shape {
    Plain,
    Newtype(Bytes),
    Tuple(u8, Bytes),
    Struct { image: Bytes },
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Wrapped(Bytes);

#[test]
fn bytes_are_found_at_any_depth() {
    let one = || Bytes::from("one");
    assert_eq!(resolve(IMAGE), Ok(one()));
    assert_eq!(resolve(r#" { "num" : 1 , "x" : [{}] , "_placeholder" : true } "#), Ok(one()));
    assert_eq!(resolve(r#"{"\u005fplaceholder":true,"num":1}"#), Ok(one()));
    assert_eq!(resolve(IMAGE), Ok(Wrapped(one())));
    assert_eq!(resolve(IMAGE), Ok(Some(one())));
    assert_eq!(resolve("null"), Ok(None::<Bytes>));
    assert_eq!(resolve(&format!("[1,{IMAGE},null]")), Ok((1, one(), None::<Bytes>)));
    assert_eq!(resolve(&format!("[[{IMAGE}]]")), Ok(vec![[one()]]));
    assert_eq!(resolve(&format!(r#"{{"a":{IMAGE}}}"#)), Ok(BTreeMap::from([("a".to_owned(), one())])));
    let post = Post { title: "t".into(), image: one(), thumbnail: Some("zero".into()) };
    let json = format!(r#"{{"title":"t","image":{IMAGE},"thumbnail":{{"_placeholder":true,"num":0}}}}"#);
    assert_eq!(resolve(&json), Ok(post));
}

#[test]
fn bytes_are_found_in_enums() {
    let one = || Bytes::from("one");
    assert_eq!(resolve(r#""Plain""#), Ok(Shape::Plain));
    assert_eq!(resolve(&format!(r#"{{"Newtype":{IMAGE}}}"#)), Ok(Shape::Newtype(one())));
    assert_eq!(resolve(&format!(r#"{{"Tuple":[1,{IMAGE}]}}"#)), Ok(Shape::Tuple(1, one())));
    assert_eq!(resolve(&format!(r#"{{"Struct":{{"image":{IMAGE}}}}}"#)), Ok(Shape::Struct { image: one() }));
}

#[test]
fn an_attachment_can_be_read_as_a_sequence_of_numbers() {
    assert_eq!(resolve(IMAGE), Ok(b"one".to_vec()));
    assert_eq!(resolve(IMAGE), Ok(*b"one"));
    assert_eq!(resolve("[1,2]"), Ok(vec![1, 2]));
    assert_eq!(resolve("[1,2]"), Ok(Bytes::from(vec![1, 2])));
    assert_eq!(resolve(r#""text""#), Ok(Bytes::from("text")));
}

#[test]
fn a_value_holds_everything_and_is_sent_as_it_came() {
    for json in [
        IMAGE,
        "null",
        r#""text \" \u00e9 é""#,
        r#"{"z":1,"a":{"_placeholder":true,"num":0},"m":[{"_placeholder":true,"num":1},{}],"z2":[]}"#,
        "[1.0,-0,1e3,18446744073709551616,0.1,12345678901234567890.123]",
        r#"{"a":1,"a":2}"#,
        r#"{"_placeholder":false,"num":1}"#,
        r#"{"$tidewire::private::Value":"1,2"}"#,
    ] {
        let value: Value = resolve(json).unwrap();
        let (text, attachments) = sent(&value);
        let list = format!("{text}]");
        let mut again = Arguments::new(&list, 0, 1).into_owned();
        *again.attachments_mut() = attachments;
        assert_eq!(read::<Value>(&again).unwrap(), value, "{json}");
        // Placeholders get numbers in their new order, and unnecessary escapes disappear.
        let expected = json.replace("\\u00e9", "é");
        assert_eq!(text.replace(r#""num":0"#, r#""num":1"#), expected.replace(r#""num":0"#, r#""num":1"#));
    }
}

/// Returns the text and the attachments of an argument.
fn sent(value: &Value) -> (String, Vec<Bytes>) {
    let mut encoder = engineio_proto::MessageEncoder::new();
    let message = crate::encode::event(&mut encoder, "/", None, "e", value).unwrap();
    let text = message.text().split_once(r#"["e","#).unwrap().1.strip_suffix(']').unwrap().to_owned();
    (text, message.attachments().map(Bytes::copy_from_slice).collect())
}

#[test]
fn a_value_without_attachments_keeps_the_text_of_numbers_too() {
    let text = r#"[{"a":[1.0,1e400,"x",null,true]},2.50]"#;
    let arguments = Arguments::new(text, 1, 2);
    let values: (Value, Value) = arguments.deserialize().unwrap();
    assert_eq!(sent(&Value::from(vec![values.0, values.1])).0, text);
    assert_eq!(read::<Value>(&Arguments::new(r#""text","#, 0, 1)), Ok("text".into()));
    // Without attachments, an object that looks like a placeholder is an object.
    let object: Value = read(&Arguments::new(format!("{IMAGE}]"), 0, 1)).unwrap();
    assert_eq!(object.get("num").and_then(Value::as_u64), Some(1));
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum Untagged {
    Numbers { a: u8, b: u8 },
    Named { name: String, data: Value },
    Other(Value),
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tagged {
    Picture { data: Bytes },
    Any { data: Value },
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[test]
fn a_text_is_the_same_from_every_deserializer() {
    let json = r#"{"a\"b":["x","\u00e9"]}"#;
    let list = Value::from(vec![Value::from("x"), Value::from("é")]);
    let expected = Value::Object([("a\"b", list)].into_iter().collect());
    assert_eq!(read(&Arguments::new(&*format!("{json}]"), 0, 1)), Ok(expected.clone()));
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), expected);
    assert_eq!(serde_json::from_reader::<_, Value>(json.as_bytes()).unwrap(), expected);
    let value = serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(serde_json::from_value::<Value>(value).unwrap(), expected);
    for (json, text) in [(r#""text"]"#, "text"), (r#""a\"b"]"#, "a\"b"), (r#"""]"#, "")] {
        let arguments = Arguments::new(json, 0, 1);
        assert_eq!(read(&arguments), Ok(Value::from(text)), "{json}");
        assert_eq!(read(&arguments), Ok(Some(Value::from(text))), "{json}");
    }
}

#[test]
fn bytes_are_found_where_serde_buffers() {
    let one = || Value::from(Bytes::from("one"));
    let named = format!(r#"{{"name":"n","data":{IMAGE}}}"#);
    assert_eq!(resolve(&named), Ok(Untagged::Named { name: "n".into(), data: one() }));
    assert_eq!(resolve(r#"{"a":1,"b":2}"#), Ok(Untagged::Numbers { a: 1, b: 2 }));
    assert_eq!(resolve(IMAGE), Ok(Untagged::Other(one())));
    assert_eq!(
        resolve(&format!(r#"{{"data":{IMAGE},"type":"picture"}}"#)),
        Ok(Tagged::Picture { data: "one".into() })
    );
    let nested = format!(r#"{{"type":"any","data":[{IMAGE}]}}"#);
    assert_eq!(resolve(&nested), Ok(Tagged::Any { data: vec![one()].into() }));
    let flat = Flat { name: "n".into(), rest: BTreeMap::from([("data".to_owned(), one())]) };
    assert_eq!(resolve(&named), Ok(flat));
}

#[test]
fn a_type_that_cannot_hold_bytes_is_an_error_that_names_value() {
    for json in [IMAGE.to_owned(), format!("[1,{IMAGE}]"), format!(r#"{{"a":{IMAGE}}}"#)] {
        let errors =
            [resolve::<serde_json::Value>(&json).unwrap_err(), resolve::<Box<RawValue>>(&json).unwrap_err()];
        for error in errors {
            assert!(error.contains("cannot hold binary data, but `Value` can"), "{json}: {error}");
        }
    }
}

#[test]
fn binary_data_is_no_text_and_no_object() {
    let errors =
        [resolve::<BTreeMap<String, Value>>(IMAGE).unwrap_err(), resolve::<String>(IMAGE).unwrap_err()];
    for error in errors {
        assert!(error.contains("invalid type: binary data, expected a "), "{error}");
    }
}

#[test]
fn values_without_bytes_are_read_as_serde_json_reads_them() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
    enum Letter {
        A,
    }
    let json = r#"{"a":[1,-2,0.5,true,null,"é\n"],"b":{"_placeholder":false,"num":1}}"#;
    let value = json!({"a": [1, -2, 0.5, true, null, "é\n"], "b": {"_placeholder": false, "num": 1}});
    assert_eq!(resolve(json), Ok(value.clone()));
    let raw = resolve::<Box<RawValue>>(json).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(raw.get()).unwrap(), value);
    assert_eq!(resolve(r#"["x",{"y":1}]"#), Ok(("x".to_owned(), BTreeMap::from([('y', 1u64)]))));
    assert_eq!(resolve(r#"{"1":true,"-2":false}"#), Ok(BTreeMap::from([(1i8, true), (-2, false)])));
    assert_eq!(resolve(r#"{"A":null}"#), Ok(BTreeMap::from([(Letter::A, None::<u8>)])));
    assert_eq!(resolve("340282366920938463463374607431768211455"), Ok(u128::MAX));
    assert_eq!(resolve("-170141183460469231731687303715884105728"), Ok(i128::MIN));
    // These are also the shortest texts of floats.
    assert_eq!(resolve("18446744073709552000"), Ok(18_446_744_073_709_552_000_u128));
    assert_eq!(resolve("-9223372036854776000"), Ok(-9_223_372_036_854_776_000_i128));
    for json in [r#"{" 1":true}"#, r#"{"1 ":true}"#, r#"{"\t1":true}"#, r#"{"":true}"#] {
        assert!(resolve::<BTreeMap<u8, bool>>(json).is_err(), "{json}");
    }
    assert_eq!(resolve("[1,2]"), Ok(Wrapping(1, 2)));
    for json in ["[1,2,3]", "[1]", r#"{"x":1}"#, "1e3"] {
        assert!(resolve::<(u8, u8)>(json).is_err(), "{json}");
        assert!(resolve::<u8>(json).is_err(), "{json}");
        assert!(resolve::<Letter>(json).is_err(), "{json}");
        assert!(resolve::<BTreeMap<u8, u8>>(json).is_err(), "{json}");
    }
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Wrapping(u8, u8);

#[test]
fn nesting_is_limited_and_a_deep_value_is_an_error() {
    let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(resolve::<Value>(&nested(127)).is_ok());
    for depth in [128, 100_000] {
        let error = resolve::<Value>(&nested(depth)).unwrap_err();
        assert!(error.contains("nested deeper than 127 levels"), "{error}");
        assert!(read::<Value>(&Arguments::new(&(nested(depth) + "]"), 0, 1)).is_err());
    }
    let objects = [r#"{"a":"#.repeat(200), "1".to_owned(), "}".repeat(200)].concat();
    assert!(resolve::<Value>(&objects).is_err());
}

#[test]
fn a_value_that_is_not_an_attachment_is_a_clear_error() {
    for json in [
        "{}",
        r#"{"num":1}"#,
        r#"{"_placeholder":false,"num":1}"#,
        r#"{"_placeholder":{},"num":1}"#,
        r#"{"_placeholder":true}"#,
        r#"{"_placeholder":true,"num":2}"#,
    ] {
        let error = resolve::<Bytes>(json).unwrap_err();
        assert!(error.contains("invalid type: map"), "{json}: {error}");
        assert!(resolve::<Vec<u8>>(json).is_err(), "{json}");
    }
    assert!(resolve::<Bytes>("7").unwrap_err().contains("expected byte array"));
    assert!(resolve::<Vec<u8>>("7").unwrap_err().contains("expected a sequence"));
}

#[test]
fn lists_and_objects_of_a_parsed_value_take_no_more_memory_than_they_need() {
    fn assert_exact(value: &Value) {
        match value {
            Value::Array(elements) => {
                assert_eq!(elements.capacity(), elements.len());
                elements.iter().for_each(assert_exact);
            }
            Value::Object(object) => object.iter().for_each(|(_, value)| assert_exact(value)),
            _ => {}
        }
    }
    let text = r#"[[],[[1]],{"a":[1,2,3],"b":{"c":[[2],"x"]}},[null,true]]"#;
    let value: Value = serde_json::from_str(text).expect("valid");
    assert_exact(&value);
    assert_eq!(serde_json::to_string(&value).expect("valid"), text);
}
