use serde_json::{Value, json};

use super::*;
use crate::kinds;

mod calico;
mod cluster;
mod hosts;
mod kubernetes;

fn resource(api_version: &str, kind: &str) -> &'static Resource {
    kinds::by_kind(api_version, kind).unwrap()
}

/// What is wrong with an object of `kind` named `a` with this spec, as sentences.
fn broken(api_version: &str, kind: &str, spec: Value) -> Vec<String> {
    let resource = resource(api_version, kind);
    let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
    if resource.namespaced {
        object["metadata"]["namespace"] = json!("n");
    }
    texts(&super::object(resource, &object))
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn metadata(kind: &str, metadata: Value) -> Vec<String> {
    let resource = resource("v1", kind);
    texts(&super::object(resource, &json!({ "metadata": metadata })))
}

#[test]
fn names_are_dns_names_and_the_error_shows_one() {
    assert_eq!(metadata("Node", json!({"name": "a.b-c"})), Vec::<String>::new());
    let errors = metadata("Node", json!({"name": "Bad_Name"}));
    assert_eq!(
        errors,
        [
            "metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of \
          lower case alphanumeric characters, '-' or '.', and must start and end with an \
          alphanumeric character (e.g. 'example.com', regex used for validation is \
          '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]
    );
    for name in ["-a", "a-", "a..b", "a b", &"x".repeat(254)] {
        assert!(!metadata("Node", json!({"name": name})).is_empty(), "{name}");
    }
    assert!(metadata("Namespace", json!({"name": "a.b"}))[0].contains("RFC 1123 label"));
    assert!(metadata("Service", json!({"name": "1a", "namespace": "n"}))[0].contains("DNS-1035"));
}

#[test]
fn a_missing_name_is_required() {
    let errors = metadata("Node", json!({}));
    assert_eq!(errors, ["metadata.name: Required value: name or generateName is required"]);
}

#[test]
fn labels_are_short_words() {
    let with =
        |key: &str, value: &str| metadata("Node", json!({"name": "a", "labels": {key: value}}));
    for (key, value) in [("a", ""), ("a.b/c_d", "X-1.y_z"), ("a", &"x".repeat(63))] {
        assert!(with(key, value).is_empty(), "{key}={value}");
    }
    assert!(with("a", &"x".repeat(64))[0].ends_with("must be no more than 63 characters"));
    assert!(with("a", "-x")[0].contains("a valid label must be an empty string or consist of"));
    assert!(with("-a", "x")[0].contains("name part must consist of"));
    assert!(with("A.B/c", "x")[0].contains("prefix part a lowercase RFC 1123 subdomain"));
    assert!(with("a/b/c", "x")[0].contains("a qualified name must consist of"));
    assert!(with("/c", "x")[0].contains("prefix part must be non-empty"));
}

#[test]
fn a_million_character_label_makes_a_short_error() {
    let errors = metadata("Node", json!({"name": "a", "labels": {"x": "y".repeat(1_000_000)}}));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].len() < 300, "{}", errors[0].len());
}

#[test]
fn cluster_kinds_have_no_namespace_and_others_need_one() {
    let errors = metadata("Node", json!({"name": "a", "namespace": "n"}));
    assert_eq!(errors, ["metadata.namespace: Forbidden: not allowed on this type"]);
    let errors = metadata("ServiceAccount", json!({"name": "a"}));
    assert_eq!(errors, ["metadata.namespace: Required value"]);
}

#[test]
fn wrong_types_are_named_with_both_types() {
    let errors = broken("projectcalico.org/v3", "Tier", json!({"order": "ten"}));
    assert_eq!(
        errors,
        [
            "spec.order: Invalid value: \"string\": spec.order in body must be of type number: \"string\""
        ]
    );
    let errors = broken("networking.k8s.io/v1", "NetworkPolicy", json!({"podSelector": []}));
    assert_eq!(
        errors,
        ["spec.podSelector: Invalid value: \"array\": spec.podSelector in body must be of type \
          object: \"array\""]
    );
}

#[test]
fn many_errors_of_one_object_are_all_told() {
    let ports = json!([{"port": 0}, {"port": 65536}, {"port": "A"}, {"protocol": "ICMP"}]);
    let spec = json!({"podSelector": {}, "ingress": [{"ports": ports}]});
    let errors = broken("networking.k8s.io/v1", "NetworkPolicy", spec);
    assert!(errors.len() >= 4, "{errors:#?}");
    assert!(errors[1].starts_with("spec.ingress[0].ports[1].port: Invalid value: 65536"));
}

#[test]
fn identity_cannot_change() {
    let old = json!({"metadata": {"name": "a", "uid": "1"}});
    let new = json!({"metadata": {"name": "b", "uid": "1"}});
    let errors = texts(&super::update(resource("v1", "Node"), &old, &new));
    assert_eq!(errors, ["metadata.name: Invalid value: \"b\": field is immutable"]);
}
