use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn v3(path: &str) -> Value {
    serde_json::from_slice(v3_document(path).unwrap()).unwrap()
}

fn v2() -> Value {
    serde_json::from_slice(v2_json()).unwrap()
}

/// Every `$ref` of the document leads somewhere.
fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|inner| check_references(document, inner));
        }
        Value::Array(items) => items.iter().for_each(|inner| check_references(document, inner)),
        _ => {}
    }
}

#[test]
fn the_index_names_a_document_for_every_group_version() {
    let index = v3_index();
    for (group, version) in kinds::group_versions() {
        let path = if group.is_empty() {
            format!("api/{version}")
        } else {
            format!("apis/{group}/{version}")
        };
        let url = index["paths"][&path]["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        check_references(&v3(&path), &v3(&path));
    }
    check_references(&v2(), &v2());
}

#[test]
fn kubectl_finds_dry_run_and_field_validation_on_the_patch_of_every_kind() {
    for resource in kinds::all() {
        let gvk = definition::gvk(resource);
        let path = if resource.group.is_empty() {
            format!("api/{}", resource.version)
        } else {
            format!("apis/{}/{}", resource.group, resource.version)
        };
        for document in [v3(&path), v2()] {
            let paths = document["paths"].as_object().unwrap();
            let patch = paths.values().filter_map(|item| item.get("patch"));
            let patch = patch.into_iter().find(|op| op["x-kubernetes-group-version-kind"] == gvk);
            let patch = patch.expect(resource.kind);
            let names: Vec<&Value> =
                patch["parameters"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
            assert!(
                names.contains(&&json!("dryRun")) && names.contains(&&json!("fieldValidation"))
            );
        }
    }
}

#[test]
fn the_pod_definition_tells_clients_how_its_lists_merge() {
    for (document, prefix) in [(v2(), "/definitions"), (v3("api/v1"), "/components/schemas")] {
        let spec = document.pointer(&format!("{prefix}/io.k8s.api.core.v1.PodSpec")).unwrap();
        let containers = &spec["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
    }
}

#[test]
fn strategic_merge_is_offered_for_built_in_kinds_only() {
    let media = |document: Value, path: &str| {
        let content = document["paths"][path]["patch"]["requestBody"]["content"].clone();
        content.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let strategic = "application/strategic-merge-patch+json".to_owned();
    let pods = media(v3("api/v1"), "/api/v1/namespaces/{namespace}/pods/{name}");
    assert!(pods.contains(&strategic));
    let tiers = media(v3("apis/projectcalico.org/v3"), "/apis/projectcalico.org/v3/tiers/{name}");
    assert!(!tiers.contains(&strategic) && !tiers.is_empty());
}

#[test]
fn the_protobuf_form_says_what_the_json_form_says() {
    let message = proto::Document::decode(v2_protobuf()).unwrap();
    let json = v2();
    assert_eq!(message.swagger, "2.0");
    let definitions = message.definitions.unwrap().additional_properties;
    assert_eq!(definitions.len(), json["definitions"].as_object().unwrap().len());
    let pod = definitions.iter().find(|d| d.name == "io.k8s.api.core.v1.Pod").unwrap();
    let pod = pod.value.clone().unwrap();
    let gvk = pod.vendor_extension.iter().find(|e| e.name == "x-kubernetes-group-version-kind");
    let gvk: Value = serde_json::from_str(&gvk.unwrap().value.clone().unwrap().yaml).unwrap();
    assert_eq!(gvk, json!([{"group": "", "kind": "Pod", "version": "v1"}]));
    assert_eq!(message.paths.unwrap().path.len(), json["paths"].as_object().unwrap().len());
}
