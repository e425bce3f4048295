use serde_json::json;

use super::*;
use crate::kinds;

mod laws;

const NOW: &str = "2026-11-21T21:07:00Z";

fn request(api_version: &str, kind: &str) -> Request<'static> {
    let resource = kinds::by_kind(api_version, kind).unwrap();
    Request {
        resource,
        namespace: if resource.namespaced { "shop" } else { "" },
        name: "",
        subresource: Subresource::None,
        manager: "kubectl",
        force: false,
        field_validation: FieldValidation::Strict,
        now: NOW.parse().unwrap(),
        uid: "11111111-2222-4333-8444-5555555abcde",
    }
}

fn netpol() -> Request<'static> {
    request("networking.k8s.io/v1", "NetworkPolicy")
}

fn web() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "web"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]},
    })
}

fn stored() -> Value {
    let mut live = create(&netpol(), web()).unwrap().object;
    meta::set(&mut live, "resourceVersion", Some(json!("7")));
    live
}

#[test]
fn a_created_object_is_complete_stamped_and_owned() {
    let made = create(&netpol(), web()).unwrap().object;
    assert_eq!(made["metadata"]["namespace"], "shop");
    assert_eq!(made["metadata"]["uid"], netpol().uid);
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "kubectl");
}

#[test]
fn a_name_can_be_generated() {
    let mut body = web();
    body["metadata"] = json!({"generateName": "web-"});
    let made = create(&netpol(), body).unwrap().object;
    assert_eq!(made["metadata"]["name"], "web-abcde");
}

#[test]
fn unknown_fields_are_refused_warned_about_or_ignored() {
    let mut body = web();
    body["spec"]["ingres"] = json!([]);
    let refused = create(&netpol(), body.clone()).unwrap_err();
    assert_eq!(refused.code(), 400);
    assert_eq!(
        refused.message,
        "NetworkPolicy in version \"v1\" cannot be handled as a NetworkPolicy: strict decoding \
         error: unknown field \"spec.ingres\""
    );
    let warn = Request { field_validation: FieldValidation::Warn, ..netpol() };
    let made = create(&warn, body.clone()).unwrap();
    assert_eq!(made.warnings, ["unknown field \"spec.ingres\""]);
    assert!(made.object["spec"].get("ingres").is_none());
    let ignore = Request { field_validation: FieldValidation::Ignore, ..netpol() };
    assert!(create(&ignore, body).unwrap().warnings.is_empty());
}

#[test]
fn a_body_for_another_place_or_kind_is_refused() {
    let mut body = web();
    body["metadata"]["namespace"] = json!("other");
    assert_eq!(create(&netpol(), body).unwrap_err().code(), 400);
    let named = Request { name: "api", ..netpol() };
    assert_eq!(replace(&named, &stored(), web()).unwrap_err().code(), 400);
    let mut body = web();
    body["kind"] = json!("Pod");
    let refused = create(&netpol(), body).unwrap_err();
    assert_eq!(
        refused.message,
        "the kind in the data (Pod) does not match the expected kind (NetworkPolicy)"
    );
}

#[test]
fn a_wrong_type_is_422_and_names_the_field() {
    let mut body = web();
    body["spec"]["ingress"][0]["ports"][0]["endPort"] = json!("x");
    let refused = create(&netpol(), body).unwrap_err();
    assert_eq!(refused.code(), 422);
    assert!(refused.message.contains("spec.ingress[0].ports[0].endPort"), "{refused}");
}

#[test]
fn a_stale_replacement_is_a_conflict_and_a_fresh_one_counts_generations() {
    let live = stored();
    let mut stale = live.clone();
    meta::set(&mut stale, "resourceVersion", Some(json!("6")));
    assert_eq!(replace(&netpol(), &live, stale).unwrap_err().code(), 409);
    let mut fresh = live.clone();
    fresh["spec"]["ingress"] = json!([]);
    let written = replace(&netpol(), &live, fresh).unwrap();
    assert!(written.changed);
    assert_eq!(written.object["metadata"]["generation"], 2);
}

#[test]
fn a_write_that_changes_nothing_says_so() {
    let live = stored();
    let written = replace(&netpol(), &live, live.clone()).unwrap();
    assert!(!written.changed);
    assert_eq!(written.object, live);
    let nothing = patch(&netpol(), &live, PatchType::Merge, &json!({})).unwrap();
    assert!(!nothing.changed);
}

#[test]
fn the_status_is_written_through_its_own_door_only() {
    let live = stored();
    let mut body = live.clone();
    body["status"] = json!({"enforcement": {"nodes": 1, "of": 2}});
    assert!(!replace(&netpol(), &live, body.clone()).unwrap().changed);
    let door = Request { subresource: Subresource::Status, manager: "server", ..netpol() };
    body["spec"]["ingress"] = json!([]);
    let written = replace(&door, &live, body).unwrap().object;
    assert_eq!(written["status"]["enforcement"]["of"], 2);
    assert_eq!(written["spec"], live["spec"]);
    assert_eq!(written["metadata"]["generation"], 1);
    let kept = replace(&netpol(), &written, web()).unwrap().object;
    assert_eq!(kept["status"], written["status"]);
}

#[test]
fn a_null_metadata_patch_cannot_rename() {
    let change = json!({"metadata": {"name": "other"}});
    let refused = patch(&netpol(), &stored(), PatchType::Merge, &change).unwrap_err();
    assert_eq!(refused.code(), 422);
    assert!(refused.message.contains("metadata.name: Invalid value: \"other\""), "{refused}");
}

#[test]
fn apply_creates_and_applies_again_without_change() {
    let first = apply(&netpol(), None, web()).unwrap();
    assert!(first.changed);
    assert_eq!(first.object["metadata"]["uid"], netpol().uid);
    let again = apply(&netpol(), Some(&first.object), web()).unwrap();
    assert!(!again.changed, "{:#?}", again.object);
}

#[test]
fn apply_needs_a_manager() {
    let nobody = Request { manager: "", ..netpol() };
    assert_eq!(apply(&nobody, None, web()).unwrap_err().code(), 422);
}

#[test]
fn a_deletion_honours_its_preconditions() {
    let live = stored();
    let wrong = json!({"preconditions": {"uid": "other"}});
    assert_eq!(delete(&netpol(), &live, &wrong).unwrap_err().code(), 409);
    assert_eq!(delete(&netpol(), &live, &Value::Null).unwrap(), meta::Deletion::Remove);
}

#[test]
fn rules_without_effect_are_warned_about() {
    let mut body = web();
    body["spec"]["policyTypes"] = json!(["Egress"]);
    let made = create(&netpol(), body).unwrap();
    assert_eq!(made.warnings.len(), 1);
    assert!(made.warnings[0].contains("does not list Ingress"), "{:?}", made.warnings);
}

#[test]
fn a_million_character_label_is_a_short_422() {
    let mut body = web();
    body["metadata"]["labels"] = json!({"x": "y".repeat(1_000_000)});
    let refused = create(&netpol(), body).unwrap_err();
    assert_eq!(refused.code(), 422);
    assert!(refused.message.contains("metadata.labels"), "{}", refused.message);
    assert!(refused.to_value().to_string().len() < 2_000);
}
