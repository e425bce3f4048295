use serde_json::json;

use super::*;
use crate::kinds;

fn netpol() -> &'static Resource {
    kinds::by_kind("networking.k8s.io/v1", "NetworkPolicy").unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T21:07:00.5Z".parse().unwrap()
}

#[test]
fn a_new_object_gets_its_identity_from_the_server_only() {
    let mut object = json!({"metadata": {"name": "a", "uid": "mine", "generation": 7}});
    stamp_new(netpol(), &mut object, "u1", now());
    let expected = json!({"metadata": {
        "name": "a", "uid": "u1", "creationTimestamp": "2026-11-21T21:07:00Z", "generation": 1,
    }});
    assert_eq!(object, expected);
}

#[test]
fn the_generation_counts_changes_of_the_spec_and_of_nothing_else() {
    let live = json!({"metadata": {"uid": "u1", "generation": 3}, "spec": {"a": 1}});
    let after = |mut object: Value| {
        carry_over(netpol(), &live, &mut object);
        object["metadata"]["generation"].as_i64().unwrap()
    };
    assert_eq!(after(json!({"metadata": {"labels": {"x": "y"}}, "spec": {"a": 1}})), 3);
    assert_eq!(after(json!({"metadata": {}, "spec": {"a": 1}, "status": {"b": 1}})), 3);
    assert_eq!(after(json!({"metadata": {}, "spec": {"a": 2}})), 4);
}

#[test]
fn deleting_waits_for_finalizers() {
    let free = json!({"metadata": {"name": "a"}});
    assert_eq!(delete(&free, now()), Deletion::Remove);
    let held = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}});
    let Deletion::Mark(marked) = delete(&held, now()) else { panic!() };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-11-21T21:07:00Z");
    assert_eq!(delete(&marked, now()), Deletion::Waiting);
    assert!(!is_released(&marked));
    let mut freed = marked;
    set(&mut freed, "finalizers", Some(json!([])));
    assert!(is_released(&freed));
}

#[test]
fn an_object_is_garbage_when_all_its_owners_are_gone() {
    let owned = json!({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b"}]}});
    assert!(!is_orphaned(&owned, |owner| owner.uid == "b"));
    assert!(is_orphaned(&owned, |_| false));
    assert!(!is_orphaned(&json!({"metadata": {}}), |_| false));
}
