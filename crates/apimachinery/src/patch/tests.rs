use serde_json::json;

use super::*;
use crate::kinds;

fn pod() -> &'static Resource {
    kinds::by_kind("v1", "Pod").unwrap()
}

fn strategic(live: Value, change: Value) -> Value {
    patch(pod(), &live, PatchType::Strategic, &change).unwrap()
}

fn containers(items: Value) -> Value {
    json!({"spec": {"containers": items}})
}

#[test]
fn lists_with_a_merge_key_merge_by_it() {
    let live = containers(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]));
    let change = containers(json!([{"name": "b", "image": "z"}, {"name": "c", "image": "w"}]));
    let expected = containers(json!([
        {"name": "a", "image": "x"}, {"name": "b", "image": "z"}, {"name": "c", "image": "w"},
    ]));
    assert_eq!(strategic(live, change), expected);
}

#[test]
fn patch_delete_removes_the_item_with_that_key() {
    let live = containers(json!([{"name": "a"}, {"name": "b"}]));
    let change = containers(json!([{"$patch": "delete", "name": "a"}]));
    assert_eq!(strategic(live, change), containers(json!([{"name": "b"}])));
}

#[test]
fn patch_replace_replaces_a_list_or_a_map() {
    let live = containers(json!([{"name": "a"}, {"name": "b"}]));
    let change = containers(json!([{"name": "c"}, {"$patch": "replace"}]));
    assert_eq!(strategic(live, change), containers(json!([{"name": "c"}])));
    let live = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let change = json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}});
    assert_eq!(strategic(live, change), json!({"metadata": {"labels": {"c": "3"}}}));
}

#[test]
fn patch_delete_and_null_remove_a_field() {
    let live = json!({"metadata": {"labels": {"a": "1"}, "name": "x"}});
    let change = json!({"metadata": {"labels": {"$patch": "delete"}}});
    assert_eq!(strategic(live.clone(), change), json!({"metadata": {"name": "x"}}));
    let change = json!({"metadata": {"labels": {"a": null}}});
    assert_eq!(strategic(live, change), json!({"metadata": {"labels": {}, "name": "x"}}));
}

#[test]
fn the_order_of_a_merged_list_can_be_stated() {
    let live = containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]));
    let change = json!({"spec": {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "new"}, {"name": "a"}],
        "containers": [{"name": "new"}, {"$patch": "delete", "name": "b"}],
    }});
    let expected = containers(json!([{"name": "c"}, {"name": "new"}, {"name": "a"}]));
    assert_eq!(strategic(live, change), expected);
}

#[test]
fn scalars_are_deleted_from_merged_lists_by_value() {
    let live = json!({"metadata": {"finalizers": ["a", "b"]}});
    let change = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c", "b"],
    }});
    let patched = strategic(live, change);
    let mut names: Vec<&str> = patched["metadata"]["finalizers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn retained_keys_drop_the_other_members_of_a_union() {
    let live = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let change = json!({"spec": {"volumes": [
        {"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}},
    ]}});
    let expected = json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}});
    assert_eq!(strategic(live, change), expected);
}

#[test]
fn lists_without_a_merge_key_are_replaced() {
    let live = json!({"spec": {"tolerations": [{"key": "a"}]}});
    let change = json!({"spec": {"tolerations": [{"key": "b"}]}});
    assert_eq!(strategic(live, change.clone()), change);
}

#[test]
fn custom_kinds_refuse_strategic_merge_with_415_and_say_what_they_take() {
    let tier = kinds::by_kind("projectcalico.org/v3", "Tier").unwrap();
    let refused = patch(tier, &json!({}), PatchType::Strategic, &json!({})).unwrap_err();
    assert_eq!(refused.code(), 415);
    assert!(refused.message.contains("application/merge-patch+json"), "{refused}");
    assert!(!refused.message.contains("strategic"), "{refused}");
}

#[test]
fn a_merge_patch_replaces_lists_and_removes_nulls() {
    let live = containers(json!([{"name": "a"}]));
    let change = json!({"spec": {"containers": [{"name": "b"}], "nodeName": null}});
    let patched = patch(pod(), &live, PatchType::Merge, &change).unwrap();
    assert_eq!(patched, containers(json!([{"name": "b"}])));
}

#[test]
fn a_json_patch_that_does_not_apply_is_422_and_one_that_is_none_is_400() {
    let live = json!({"a": 1});
    let test = json!([{"op": "test", "path": "/a", "value": 2}]);
    assert_eq!(patch(pod(), &live, PatchType::Json, &test).unwrap_err().code(), 422);
    let broken = json!({"op": "test"});
    assert_eq!(patch(pod(), &live, PatchType::Json, &broken).unwrap_err().code(), 400);
    let add = json!([{"op": "add", "path": "/b", "value": 2}]);
    assert_eq!(patch(pod(), &live, PatchType::Json, &add).unwrap(), json!({"a": 1, "b": 2}));
}

#[test]
fn copies_cannot_blow_up_a_document() {
    let live = json!({"metadata": {"annotations": {"a": "x".repeat(1000)}}});
    let deeper = json!({"op": "copy", "from": "/metadata", "path": "/metadata/annotations"});
    let deep = Value::Array(vec![deeper; 200]);
    assert!(patch(pod(), &live, PatchType::Json, &deep).is_err());
    let wide: Vec<Value> = (0..4000)
        .map(|n| json!({"op": "copy", "from": "/metadata/annotations/a", "path": format!("/x{n}")}))
        .collect();
    let refused = patch(pod(), &live, PatchType::Json, &Value::Array(wide)).unwrap_err();
    assert_eq!(refused.code(), 413);
}

#[test]
fn long_lists_merge_without_delay() {
    let named = |prefix: &str| -> Vec<Value> {
        (0..20_000).map(|n| json!({"name": format!("{prefix}{n}")})).collect()
    };
    let live = containers(json!(named("a")));
    let change = json!({"spec": {
        "$setElementOrder/containers": named("b"), "containers": named("b"),
    }});
    let merged = strategic(live, change);
    assert_eq!(merged["spec"]["containers"].as_array().unwrap().len(), 40_000);
}
