use serde_json::json;

use super::*;

fn set(written: Value) -> FieldSet {
    FieldSet::from_value(&written)
}

#[test]
fn the_written_form_reads_back_the_same() {
    let written = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}},
        "f:x": {"v:\"a\"": {}},
    });
    assert_eq!(set(written.clone()).to_value(), written);
}

#[test]
fn keys_are_the_same_in_any_order() {
    let one = set(json!({"k:{\"protocol\":\"TCP\",\"port\":80}": {}}));
    let two = set(json!({"k:{\"port\":80,\"protocol\":\"TCP\"}": {}}));
    assert_eq!(one, two);
}

#[test]
fn paths_read_like_those_of_upstream() {
    let paths = set(json!({
        "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}},
        "f:metadata": {"f:finalizers": {"v:\"b\"": {}}},
    }));
    let expected = [
        ".metadata.finalizers[=\"b\"]",
        ".spec.containers[name=\"a\"]",
        ".spec.containers[name=\"a\"].image",
    ];
    assert_eq!(paths.paths(), expected);
}

#[test]
fn a_difference_takes_away_exact_paths_only() {
    let all = set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}}));
    let rest = all.difference(&set(json!({"f:a": {"f:b": {}}})));
    assert_eq!(rest, set(json!({"f:a": {".": {}, "f:c": {}}})));
    assert!(all.difference(&all).is_empty());
}
