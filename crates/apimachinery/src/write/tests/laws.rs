//! Laws of every write, on objects with random damage: nothing panics, and what is accepted is
//! whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::{netpol, request};
use crate::{defaulting, strict, validate};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (1_u16..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9./:=' -]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "TCP",
            "Allow",
            "Ingress",
            "10.0.0.0/8",
            "fd00::/8",
            "all()",
            "global()",
            "In",
            "$patch",
            "replace",
            "delete",
            "a == 'b'",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "metadata",
        "name",
        "labels",
        "spec",
        "status",
        "ingress",
        "egress",
        "ports",
        "port",
        "from",
        "to",
        "podSelector",
        "selector",
        "source",
        "destination",
        "nets",
        "protocol",
        "containers",
        "image",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "finalizers",
        "x",
        "",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
    ])
    .prop_map(str::to_owned)
}

fn good() -> Vec<(Request<'static>, Value)> {
    vec![
        (
            netpol(),
            json!({
                "metadata": {"name": "a", "labels": {"x": "y"}, "finalizers": ["a/b"]},
                "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{
                    "from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                    "ports": [{"port": 80, "endPort": 90}, {"port": "http"}],
                }], "egress": [{}]},
            }),
        ),
        (
            request("projectcalico.org/v3", "GlobalNetworkPolicy"),
            json!({
                "metadata": {"name": "a"},
                "spec": {"order": 1.5, "selector": "a == 'b'", "ingress": [{
                    "action": "Allow", "protocol": "TCP", "source": {"nets": ["10.0.0.0/8"]},
                    "destination": {"ports": [80, "1:2", "http"]},
                }]},
            }),
        ),
        (
            request("v1", "Pod"),
            json!({
                "metadata": {"name": "a"},
                "spec": {"nodeName": "n", "containers": [
                    {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]},
                ]},
            }),
        ),
        (
            request("bulkhead.dev/v1", "Workload"),
            json!({
                "metadata": {"name": "a"},
                "spec": {"addresses": ["10.0.0.1"], "ports": [{"port": 80, "name": "http"}]},
            }),
        ),
        (
            request("v1", "Service"),
            json!({
                "metadata": {"name": "a"},
                "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}]},
            }),
        ),
    ]
}

/// Puts `junk` at the place that `steps` leads to.
fn damage(value: &mut Value, steps: &[usize], junk: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *value = junk;
        return;
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = step % fields.len();
            if let Some((_, inner)) = fields.iter_mut().nth(at) {
                damage(inner, rest, junk);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = step % items.len();
            damage(&mut items[at], rest, junk);
        }
        _ => *value = junk,
    }
}

fn check_whole(request: &Request<'_>, object: &Value) {
    let resource = request.resource;
    assert_eq!(validate::object(resource, object), Vec::new());
    let mut again = object.clone();
    assert_eq!(strict::prune(resource.schema().slot(), &mut again), Vec::<String>::new());
    defaulting::complete(resource, &mut again);
    assert_eq!(again, *object, "defaults are missing");
    let same = replace(request, object, object.clone()).unwrap();
    assert!(!same.changed, "an object differs from itself");
}

proptest! {
    #[test]
    fn a_damaged_object_is_refused_or_made_whole(
        which in 0_usize..5, steps in prop::collection::vec(0_usize..8, 0..7), junk in any_json(),
    ) {
        let (request, mut body) = good().swap_remove(which);
        damage(&mut body, &steps, junk);
        let request = Request { field_validation: FieldValidation::Ignore, ..request };
        if let Ok(written) = create(&request, body.clone()) {
            check_whole(&request, &written.object);
        }
        if let Ok(written) = apply(&request, None, body) {
            check_whole(&request, &written.object);
        }
    }

    #[test]
    fn a_damaged_patch_is_refused_or_leaves_a_whole_object(
        which in 0_usize..5, steps in prop::collection::vec(0_usize..8, 0..7), junk in any_json(),
    ) {
        let (request, body) = good().swap_remove(which);
        let live = create(&request, body.clone()).unwrap().object;
        let mut change = body;
        damage(&mut change, &steps, junk);
        let request = Request { field_validation: FieldValidation::Ignore, ..request };
        for patch_type in [PatchType::Merge, PatchType::Strategic, PatchType::Json] {
            if let Ok(written) = patch(&request, &live, patch_type, &change) {
                check_whole(&request, &written.object);
                prop_assert_eq!(meta::text(&written.object, "uid"), meta::text(&live, "uid"));
            }
        }
        if let Ok(written) = apply(&request, Some(&live), change) {
            check_whole(&request, &written.object);
        }
    }
}
