use serde_json::json;

use super::*;
use crate::kinds;

mod laws;

fn netpol() -> &'static Resource {
    kinds::by_kind("networking.k8s.io/v1", "NetworkPolicy").unwrap()
}

fn pod() -> &'static Resource {
    kinds::by_kind("v1", "Pod").unwrap()
}

fn author(manager: &str) -> Author<'_> {
    Author { manager, subresource: "", now: "2026-11-21T21:07:00Z".parse().unwrap() }
}

fn labels(labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": labels}})
}

fn applied(live: &Value, manager: &str, config: &Value) -> Value {
    apply(pod(), live, config, author(manager), false).unwrap()
}

fn labels_of(object: &Value) -> Value {
    object["metadata"]["labels"].clone()
}

fn owned(object: &Value, manager: &str) -> Vec<String> {
    let (_, managers) = managed::split(object);
    managers.iter().filter(|m| m.manager == manager).flat_map(|m| m.set.paths()).collect()
}

#[test]
fn an_apply_owns_what_it_states_and_nothing_of_the_servers() {
    let object = applied(&json!({}), "alice", &labels(json!({"x": "1"})));
    assert_eq!(owned(&object, "alice"), [".metadata.labels.x"]);
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!(entry["operation"], "Apply");
    assert_eq!(entry["time"], "2026-11-21T21:07:00Z");
    assert_eq!(entry["fieldsV1"], json!({"f:metadata": {"f:labels": {"f:x": {}}}}));
}

#[test]
fn a_field_no_longer_applied_goes() {
    let one = applied(&json!({}), "alice", &labels(json!({"x": "1", "y": "2"})));
    let two = applied(&one, "alice", &labels(json!({"y": "2"})));
    assert_eq!(labels_of(&two), json!({"y": "2"}));
    assert_eq!(two["metadata"]["name"], "a");
}

#[test]
fn a_field_that_another_also_applies_stays() {
    let one = applied(&json!({}), "alice", &labels(json!({"x": "1", "y": "2"})));
    let two = applied(&one, "bob", &labels(json!({"x": "1"})));
    let three = applied(&two, "alice", &labels(json!({})));
    assert_eq!(labels_of(&three), json!({"x": "1"}));
    assert_eq!(owned(&three, "bob"), [".metadata.labels.x"]);
}

#[test]
fn changing_what_another_owns_is_a_conflict_that_names_both() {
    let one = applied(&json!({}), "alice", &labels(json!({"x": "1"})));
    let config = labels(json!({"x": "2"}));
    let refused = apply(pod(), &one, &config, author("bob"), false).unwrap_err();
    assert_eq!(refused.code(), 409);
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"alice\" using v1: .metadata.labels.x"
    );
    let cause = &refused.to_value()["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(cause["field"], ".metadata.labels.x");
    assert_eq!(cause["message"], "conflict with \"alice\" using v1");

    let forced = apply(pod(), &one, &config, author("bob"), true).unwrap();
    assert_eq!(labels_of(&forced), json!({"x": "2"}));
    assert_eq!(owned(&forced, "alice"), Vec::<String>::new());
    assert_eq!(owned(&forced, "bob"), [".metadata.labels.x"]);
}

#[test]
fn several_conflicts_are_listed_by_manager() {
    let made =
        record_update(pod(), &json!({}), labels(json!({"x": "1", "y": "1"})), author("edit"));
    let config = labels(json!({"x": "2", "y": "2"}));
    let refused = apply(pod(), &made, &config, author("bob"), false).unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"edit\" using v1 at 2026-11-21T21:07:00Z:\n\
         - .metadata.labels.x\n- .metadata.labels.y"
    );
}

#[test]
fn an_update_takes_what_it_changes_and_drops_what_it_removes() {
    let one = applied(&json!({}), "alice", &labels(json!({"x": "1", "y": "2", "z": "3"})));
    let edited = labels(json!({"x": "9", "z": "3"}));
    let two = record_update(pod(), &one, edited, author("kubectl-edit"));
    assert_eq!(owned(&two, "alice"), [".metadata.labels.z"]);
    assert_eq!(owned(&two, "kubectl-edit"), [".metadata.labels.x"]);
}

#[test]
fn items_of_keyed_lists_have_owners_of_their_own() {
    let containers =
        |items: Value| json!({"metadata": {"name": "a"}, "spec": {"containers": items}});
    let one = applied(&json!({}), "alice", &containers(json!([{"name": "a", "image": "1"}])));
    let sidecar =
        containers(json!([{"name": "s", "image": "2", "ports": [{"containerPort": 80}]}]));
    let two = applied(&one, "mesh", &sidecar);
    let names = |object: &Value| {
        let items = object["spec"]["containers"].as_array().unwrap().clone();
        items.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&two), ["s", "a"]);
    assert!(owned(&two, "mesh").contains(
        &".spec.containers[name=\"s\"].ports[containerPort=80,protocol=\"TCP\"]".to_owned()
    ));
    let three = applied(&two, "mesh", &json!({"metadata": {"name": "a"}}));
    assert_eq!(names(&three), ["a"]);
}

#[test]
fn atomic_lists_have_one_owner_and_change_whole() {
    let policy = |types: Value| json!({"metadata": {"name": "a"}, "spec": {"policyTypes": types}});
    let put = |live: &Value, manager, config: &Value, force| {
        apply(netpol(), live, config, author(manager), force)
    };
    let one = put(&json!({}), "alice", &policy(json!(["Ingress", "Egress"])), false).unwrap();
    assert_eq!(owned(&one, "alice"), [".spec.policyTypes"]);
    assert!(put(&one, "bob", &policy(json!(["Ingress"])), false).is_err());
    let two = put(&one, "bob", &policy(json!(["Ingress"])), true).unwrap();
    assert_eq!(two["spec"]["policyTypes"], json!(["Ingress"]));
}

#[test]
fn an_object_without_books_belongs_to_its_past() {
    let live = labels(json!({"x": "1"}));
    let refused =
        apply(pod(), &live, &labels(json!({"x": "2"})), author("bob"), false).unwrap_err();
    assert!(refused.message.contains("conflict with \"before-first-apply\""), "{refused}");
}

#[test]
fn a_status_author_is_told_apart_from_the_same_manager_elsewhere() {
    let author = Author { subresource: "status", ..author("agent") };
    let new = json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}});
    let object = record_update(pod(), &json!({}), new, author);
    assert_eq!(object["metadata"]["managedFields"][0]["subresource"], "status");
}

#[test]
fn kubectl_takes_over_what_it_applied_from_the_client_unless_it_was_changed_since() {
    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let policy = |port: u16| json!({"metadata": {"name": "a"}, "spec": {"ingress": [{"ports": [{"port": port}]}]}});
    let mut live = policy(80);
    live["metadata"]["annotations"] = json!({ ANNOTATION: policy(80).to_string() });
    live["spec"]["ingress"][0]["ports"][0]["protocol"] = json!("TCP");
    let live = record_update(netpol(), &json!({}), live, author("kubectl-client-side-apply"));
    let put = |live: &Value, manager| apply(netpol(), live, &policy(81), author(manager), false);
    assert_eq!(put(&live, "kubectl").unwrap()["spec"], policy(81)["spec"]);
    assert!(put(&live, "other").is_err());
    let mut edited = live.clone();
    edited["spec"]["ingress"][0]["ports"][0]["port"] = json!(82);
    let edited = record_update(netpol(), &live, edited, author("kubectl-edit"));
    assert!(put(&edited, "kubectl").is_err());
}
