//! The definitions for other API servers: committed, up to date, and such as an API server takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulkhead_apimachinery::crd;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds")
}

#[test]
fn the_committed_definitions_are_those_of_the_schemas() {
    let mut expected = BTreeSet::from(["kustomization.yaml".to_owned()]);
    for resource in crd::resources() {
        let name = crd::file_name(resource);
        let path = folder().join(&name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let made = serde_saphyr::to_string(&crd::definition(resource)).unwrap();
        assert!(committed == made, "`{name}` is out of date: run `cargo xtask crds`");
        expected.insert(name);
    }
    let entries = std::fs::read_dir(folder()).expect("deploy/crds is there");
    let there: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, expected, "run `cargo xtask crds`, and remove what has no kind any more");
}

/// The rules of structural schemas, as the documentation of API servers has them.
#[test]
fn every_schema_is_structural() {
    let mut n_places = 0;
    for resource in crd::resources() {
        let definition = crd::definition(resource);
        let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        assert_eq!(
            schema.pointer("/properties/metadata"),
            Some(&serde_json::json!({"type": "object"}))
        );
        check(schema, &format!("{}:", resource.kind), &mut n_places);
    }
    assert!(n_places > 1000, "{n_places}");
}

fn check(schema: &Value, at: &str, n_places: &mut usize) {
    *n_places += 1;
    let is_on = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let kind = schema.get("type").and_then(Value::as_str);
    let is_free =
        is_on("x-kubernetes-int-or-string") || is_on("x-kubernetes-preserve-unknown-fields");
    assert!(kind.is_some() || is_free, "{at} has no type");
    for refused in ["$ref", "oneOf", "anyOf", "allOf", "definitions", "nullable"] {
        assert!(schema.get(refused).is_none(), "{at} has `{refused}`");
    }
    let (fields, rest) = (schema.get("properties"), schema.get("additionalProperties"));
    assert!(fields.is_none() || rest.is_none(), "{at} has fields and free keys");
    assert!(kind == Some("object") || (fields.is_none() && rest.is_none()), "{at} is no object");
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        assert!(fields.and_then(|fields| fields.get(name)).is_some(), "{at} requires `{name}`");
    }
    for (name, field) in fields.and_then(Value::as_object).into_iter().flatten() {
        check(field, &format!("{at}.{name}"), n_places);
    }
    rest.into_iter().for_each(|value| check(value, &format!("{at}.*"), n_places));
    if let Some(items) = schema.get("items") {
        check(items, &format!("{at}[]"), n_places);
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        for key in keys.into_iter().flatten() {
            let required = items.get("required").and_then(Value::as_array);
            assert!(required.is_some_and(|list| list.contains(key)), "{at} may lack its key {key}");
        }
    }
    assert_eq!(schema.get("items").is_some(), kind == Some("array"), "{at} has items or is none");
}

#[test]
fn names_columns_and_status_are_as_our_own_server_has_them() {
    let resource = crd::resources().find(|r| r.kind == "GlobalNetworkPolicy").unwrap();
    let definition = crd::definition(resource);
    let at = |pointer: &str| definition.pointer(pointer).unwrap();
    assert_eq!(at("/metadata/name"), "globalnetworkpolicies.projectcalico.org");
    assert_eq!(at("/spec/scope"), "Cluster");
    assert_eq!(at("/spec/names/shortNames"), &serde_json::json!(["gnp", "cgnp"]));
    assert!(at("/spec/versions/0/subresources/status").is_object());
    let columns = at("/spec/versions/0/additionalPrinterColumns").as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Tier", "Order", "Selector", "Types", "Enforced", "Age"]);
}
