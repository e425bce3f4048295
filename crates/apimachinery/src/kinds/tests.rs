use super::*;
use crate::schema::{ListType, Shape};

#[test]
fn every_kind_is_registered_once_and_has_a_struct_schema() {
    for resource in all() {
        assert_eq!(by_id(resource.id).kind, resource.kind);
        assert!(by_kind(&resource.api_version(), resource.kind).is_some());
        let root = resource.schema().as_struct().expect(resource.kind);
        for field in ["apiVersion", "kind", "metadata"] {
            assert!(root.fields.contains_key(field), "{} has no {field}", resource.kind);
        }
        assert_eq!(resource.has_status, root.fields.contains_key("status"), "{}", resource.kind);
    }
}

#[test]
fn the_registry_holds_just_the_kinds_that_are_served() {
    for kind in bulkhead_api::object::Kind::served() {
        let resource = by_id(kind);
        assert_eq!((resource.api_version().as_str(), resource.kind), kind.api());
        assert_eq!(resource.namespaced, kind.is_namespaced(), "{}", resource.kind);
        assert_eq!(resource.plural, kind.plural());
    }
    assert_eq!(all().len(), bulkhead_api::object::Kind::served().count());
}

#[test]
fn short_names_lead_to_one_kind_only() {
    let mut seen = std::collections::BTreeSet::new();
    for name in all().iter().flat_map(|r| r.short_names) {
        assert!(seen.insert(*name), "{name} is used twice");
    }
}

#[test]
fn the_pod_schema_knows_how_its_lists_merge() {
    let pod = by_kind("v1", "Pod").unwrap().schema().slot();
    let containers = pod.child("spec").unwrap().child("containers").unwrap();
    assert_eq!(*containers.list, ListType::Map(vec!["name"]));
    assert_eq!(containers.merge.unwrap().key, Some("name"));
    let ports = containers.item().child("ports").unwrap();
    assert_eq!(*ports.list, ListType::Map(vec!["containerPort", "protocol"]));
    assert_eq!(ports.key_default("protocol"), Some("TCP"));
    assert!(pod.child("spec").unwrap().child("nodeSelector").unwrap().atomic);
}

#[test]
fn flattened_and_nullable_fields_of_ours_are_plain_fields() {
    let policy = by_kind("projectcalico.org/v3", "GlobalNetworkPolicy").unwrap().schema().slot();
    let spec = policy.child("spec").unwrap();
    assert!(matches!(spec.child("order").unwrap().node.shape, Shape::Number));
    assert!(matches!(spec.child("preDNAT").unwrap().node.shape, Shape::Boolean));
    let rule = spec.child("ingress").unwrap().item();
    let Shape::String { allowed, .. } = &rule.child("action").unwrap().node.shape else { panic!() };
    assert_eq!(*allowed, ["Allow", "Deny", "Log", "Pass"]);
    let ports = rule.child("source").unwrap().child("ports").unwrap();
    assert!(matches!(ports.item().node.shape, Shape::IntOrString));
    let nets = rule.child("destination").unwrap().child("nets").unwrap();
    assert!(matches!(nets.item().node.shape, Shape::String { .. }));
}
