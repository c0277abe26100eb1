use serde::Deserializer;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::scan;

fn arguments(payload: &str) -> Arguments<'_> {
    let list = scan::scan_array(payload, &mut ()).unwrap();
    Arguments::new(payload, list.first.start, list.len)
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Wrapped<T>(T);

#[test]
fn a_tuple_is_the_list_of_arguments() {
    let list = arguments(r#"[ 1 , "two" , {"x":3,"y":4} ]"#);
    assert_eq!(list.deserialize(), Ok((1,)));
    assert_eq!(list.deserialize(), Ok((1u8, "two".to_owned())));
    assert_eq!(list.deserialize(), Ok((1u8, "two".to_owned(), Point { x: 3, y: 4 })));
    assert_eq!(list.deserialize(), Ok((json!(1), json!("two"), json!({"x": 3, "y": 4}))));
}

#[test]
fn the_unit_takes_no_arguments() {
    assert_eq!(arguments("[]").deserialize(), Ok(()));
    assert_eq!(arguments("[1,2]").deserialize(), Ok(()));
}

#[test]
fn any_other_type_is_the_first_argument() {
    assert_eq!(arguments(r#"["one",2]"#).deserialize(), Ok("one".to_owned()));
    assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(vec![1, 2]));
    assert_eq!(arguments("[[1,2],3]").deserialize(), Ok([1, 2]));
    assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(Point { x: 1, y: 2 }));
    assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(Wrapped((1, 2))));
    assert_eq!(arguments(r#"[{"x":1,"y":2}]"#).deserialize(), Ok(Point { x: 1, y: 2 }));
    assert_eq!(arguments("[null,1]").deserialize(), Ok(None::<u8>));
    assert_eq!(arguments("[null,1]").deserialize(), Ok(Value::Null));
}

#[test]
fn a_string_is_read_as_the_requested_type() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
    }
    for red in [r#"["red",2]"#, r#"["\u0072ed" , 2]"#] {
        let list = arguments(red);
        assert_eq!(list.deserialize(), Ok(("red".to_owned(), 2)), "{red}");
        assert_eq!(list.deserialize(), Ok((Some(Colour::Red), 2)), "{red}");
        assert_eq!(list.deserialize(), Ok((Some(Wrapped("red".to_owned())), 2)), "{red}");
        assert_eq!(list.deserialize(), Ok((Value::from("red"), 2)), "{red}");
        assert_eq!(list.deserialize().map(|(_, n): (IgnoredAny, u8)| n), Ok(2), "{red}");
        assert!(matches!(list.deserialize::<(Bytes, u8)>(), Ok((bytes, 2)) if bytes == "red"), "{red}");
        let raw: Box<RawValue> = list.deserialize().unwrap();
        assert!(red.contains(raw.get()) && raw.get().ends_with("ed\""), "{red}");
        for error in [
            list.deserialize::<char>().unwrap_err(),
            list.deserialize::<Vec<u8>>().unwrap_err(),
            list.deserialize::<Point>().unwrap_err(),
            list.deserialize::<bool>().unwrap_err(),
        ] {
            assert!(error.to_string().contains("string \"red\""), "{error}");
        }
    }
    assert_eq!(arguments(r#"["x"]"#).deserialize(), Ok('x'));
    assert_eq!(arguments(r#"[""]"#).deserialize(), Ok(String::new()));
}

#[test]
fn a_missing_argument_is_none_or_an_error() {
    fn missing<T: DeserializeOwned>(payload: &str) -> Option<usize> {
        match arguments(payload).deserialize::<T>() {
            Err(ArgumentsError::Missing { index }) => Some(index),
            _ => None,
        }
    }
    assert_eq!(arguments("[]").deserialize(), Ok(None::<u8>));
    assert_eq!(arguments("[]").deserialize(), Ok(Wrapped(None::<u8>)));
    assert_eq!(arguments("[1]").deserialize(), Ok((1u8, None::<u8>, None::<u8>)));
    assert_eq!(missing::<u8>("[]"), Some(0));
    assert_eq!(missing::<Value>("[]"), Some(0));
    assert_eq!(missing::<Vec<u8>>("[]"), Some(0));
    assert_eq!(missing::<(u8, Option<u8>, u8)>("[1]"), Some(2));
    assert_eq!(missing::<(u8, u8)>(r#"["one"]"#), None);
    assert_eq!(ArgumentsError::Missing { index: 2 }.to_string(), "argument 2 is missing");
}

#[test]
fn a_wrong_argument_is_named() {
    let error = arguments(r#"[1,"two"]"#).deserialize::<(u8, u8)>().unwrap_err();
    assert!(matches!(error, ArgumentsError::Invalid { index: 1, .. }), "{error}");
    assert!(
        error.to_string().starts_with(r#"argument 1: invalid type: string "two", expected u8"#),
        "{error}"
    );
    let error = arguments("[300]").deserialize::<u8>().unwrap_err();
    assert!(matches!(error, ArgumentsError::Invalid { index: 0, .. }), "{error}");
}

#[test]
fn missing_bytes_are_a_clear_error() {
    let list = arguments(r#"[{"_placeholder":true,"num":0}]"#);
    let error = list.deserialize::<Bytes>().unwrap_err();
    assert!(error.to_string().contains("expected byte array"), "{error}");
    assert!(arguments("[7]").deserialize::<Bytes>().is_err());
}

#[test]
fn all_arguments_can_be_read_as_a_sequence() {
    let list = arguments(r#"[1,"two",[3]]"#);
    assert_eq!(list.deserialize_all(), Ok(vec![json!(1), json!("two"), json!([3])]));
    assert_eq!(list.deserialize_all(), Ok(Wrapped(vec![json!(1), json!("two"), json!([3])])));
    assert_eq!(list.deserialize_all(), Ok(json!([1, "two", [3]])));
    assert_eq!(arguments("[]").deserialize_all(), Ok(Vec::<u8>::new()));
    assert!(matches!(list.deserialize_all::<Vec<u8>>(), Err(ArgumentsError::Invalid { index: 1, .. })));
}

#[test]
fn a_type_that_reads_nothing_does_not_affect_the_others() {
    #[derive(Debug, PartialEq)]
    struct Nothing;
    impl<'de> Deserialize<'de> for Nothing {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    assert_eq!(arguments(r#"[{"a":1},2]"#).deserialize(), Ok((Nothing, 2)));
    assert_eq!(arguments(r#"[{"a":1},2]"#).deserialize(), Ok((IgnoredAny, 2)).map(|(_, n)| (Nothing, n)));
}

#[test]
fn the_raw_arguments_are_as_received() {
    assert_eq!(arguments(r#" [ 1 , [ 2 ] ] "#).json_elements(), "1 , [ 2 ]");
    assert_eq!(arguments("[]").json_elements(), "");
    assert_eq!(arguments("[ ]").json_elements(), "");
    assert!(arguments("[]").is_empty());
}

#[test]
fn the_last_argument_can_be_read_and_removed_if_it_is_a_string_without_escapes() {
    for (payload, text, rest, len) in [
        (r#"[1,"Q81oi"]"#, Some("Q81oi"), "1", 1),
        (r#"[ [1] , "x" ] "#, Some("x"), "[1]", 1),
        (r#"["é\"","x",""]"#, Some(""), r#""é\"","x""#, 2),
        (r#"["x"]"#, Some("x"), "", 0),
        (r#"["x","a\u0062"]"#, None, r#""x","a\u0062""#, 2),
        (r#"["x","\"y"]"#, None, r#""x","\"y""#, 2),
        (r#"["x",{"a":"b"}]"#, None, r#""x",{"a":"b"}"#, 2),
        (r#"["x",1]"#, None, r#""x",1"#, 2),
        ("[]", None, "", 0),
    ] {
        let list = arguments(payload);
        assert_eq!(list.last_string(), text, "{payload}");
        for list in [list.clone().without_last_string(), list.into_owned().without_last_string()] {
            assert_eq!((list.json_elements(), list.len()), (rest, len), "{payload}");
            assert_eq!(list.deserialize_all::<Vec<Value>>().unwrap().len(), len, "{payload}");
            assert_eq!(list.deserialize::<(Option<Value>, Option<Value>, Option<Value>)>().unwrap().2, None);
        }
    }
    let twice = arguments(r#"[[1],"a","b"]"#).without_last_string().without_last_string();
    assert_eq!((twice.json_elements(), twice.len(), twice.last_string()), ("[1]", 1, None));
}

#[test]
fn the_first_argument_is_cut_off_at_its_end() {
    for (payload, first) in [
        ("[]", ""),
        ("[1]", "1"),
        ("[1,2]", "1"),
        (r#"[ {"a":[1,"],"]} , "b", 3 ]"#, r#"{"a":[1,"],"]}"#),
        (r#"["a,\"b",2]"#, r#""a,\"b""#),
    ] {
        let list = arguments(payload);
        let len = list.len().min(1);
        for list in [list.clone().into_first(), list.into_owned().into_first()] {
            assert_eq!((list.json_elements(), list.len()), (first, len), "{payload}");
            assert_eq!(list.deserialize_all::<Vec<Value>>().unwrap().len(), len, "{payload}");
            assert_eq!(list.deserialize::<(Option<Value>, Option<Value>)>().unwrap().1, None, "{payload}");
        }
    }
}

#[test]
fn an_auth_payload_is_an_object() {
    assert_eq!(RawJson::object(&json!({"token": "é"})).unwrap().as_str(), r#"{"token":"é"}"#);
    for value in [json!([1]), json!("x"), json!(null)] {
        assert!(RawJson::object(&value).unwrap_err().to_string().ends_with("not an object"), "{value}");
    }
}

#[test]
fn a_number_at_the_end_of_the_list_does_not_swallow_what_follows() {
    for number in ["0", "-1", "1.5", "1e3", "123456789012345678901234567890", "0.1234567890123456789012345"] {
        let payload = format!("[{number},{number}]");
        let (a, b, c): (f64, f64, Option<f64>) = arguments(&payload).deserialize().unwrap();
        assert_eq!((a, b, c), (number.parse().unwrap(), number.parse().unwrap(), None), "{number}");
    }
}

#[test]
fn a_fraction_is_not_an_integer_of_any_width() {
    for number in ["0.1", "-7.5", "3e2", "0.0"] {
        let payload = format!("[{number} , 5]");
        for error in [
            arguments(&payload).deserialize::<u128>().unwrap_err(),
            arguments(&payload).deserialize::<i128>().unwrap_err(),
            arguments(&payload).deserialize::<(Option<i128>, u8)>().unwrap_err(),
            arguments(&format!("[{number}]")).deserialize_all::<Vec<i128>>().unwrap_err(),
        ] {
            assert!(matches!(error, ArgumentsError::Invalid { index: 0, .. }), "{number}: {error}");
        }
    }
    let largest = format!("[{} , {}]", u128::MAX, i128::MIN);
    assert_eq!(arguments(&largest).deserialize(), Ok((u128::MAX, i128::MIN)));
}

#[test]
fn a_nested_value_stops_at_serde_jsons_depth() {
    let payload = ["[".repeat(1000), "]".repeat(1000)].concat();
    assert!(arguments(&payload).deserialize::<Value>().is_err());
    assert_eq!(arguments(&payload).deserialize(), Ok(()));
}

#[test]
fn a_json_value_is_read_whole() {
    assert_eq!(RawJson::new(r#" {"token":"1"} "#).as_str(), r#"{"token":"1"}"#);
    assert_eq!(RawJson::new("[1,2]").deserialize(), Ok((1, 2)));
    assert_eq!(RawJson::EMPTY_OBJECT.deserialize(), Ok(json!({})));
    assert!(matches!(RawJson::new("{}").deserialize::<u8>(), Err(ArgumentsError::InvalidPayload { .. })));
}
