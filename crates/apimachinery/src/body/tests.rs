use serde_json::json;

use super::*;

#[test]
fn json_and_yaml_give_the_same_object() {
    let from_json = parse_object(br#"{"a":{"b":[1,"x"]}}"#, Format::Json).unwrap();
    let from_yaml = parse_object(b"a:\n  b: [1, x]\n", Format::Yaml).unwrap();
    assert_eq!(from_json, from_yaml);
    assert_eq!(from_json, json!({"a": {"b": [1, "x"]}}));
}

#[test]
fn broken_bodies_are_400_with_the_place() {
    let broken = parse(b"{\n \"a\": }", Format::Json).unwrap_err();
    assert_eq!(broken.code(), 400);
    assert!(broken.message.contains("line 2 column 7"), "{broken}");
    let broken = parse(b"a: [1\nb: 2", Format::Yaml).unwrap_err();
    assert_eq!(broken.code(), 400);
    assert!(broken.message.starts_with("the body is not YAML"), "{broken}");
    assert_eq!(parse_object(b"[]", Format::Json).unwrap_err().code(), 400);
}

#[test]
fn a_deep_nest_is_refused_and_not_recursed_into() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(deep.as_bytes(), Format::Json).unwrap_err().code(), 400);
}
