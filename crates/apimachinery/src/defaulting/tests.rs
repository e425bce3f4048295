use serde_json::json;

use super::*;
use crate::kinds;

fn completed(api_version: &str, kind: &str, mut object: Value) -> Value {
    let resource = kinds::by_kind(api_version, kind).unwrap();
    complete(resource, &mut object);
    let once = object.clone();
    complete(resource, &mut object);
    assert_eq!(once, object, "defaulting twice differs");
    object
}

#[test]
fn policy_types_follow_the_rules_that_are_there() {
    let netpol = |spec: Value| {
        let object = json!({"metadata": {}, "spec": spec});
        completed("networking.k8s.io/v1", "NetworkPolicy", object)["spec"]["policyTypes"].clone()
    };
    assert_eq!(netpol(json!({"podSelector": {}})), json!(["Ingress"]));
    assert_eq!(netpol(json!({"podSelector": {}, "egress": [{}]})), json!(["Ingress", "Egress"]));
    assert_eq!(netpol(json!({"policyTypes": ["Egress"]})), json!(["Egress"]));
    let calico = |spec: Value| {
        let object = json!({"metadata": {}, "spec": spec});
        completed("projectcalico.org/v3", "NetworkPolicy", object)["spec"]["types"].clone()
    };
    assert_eq!(calico(json!({})), json!(["Ingress"]));
    assert_eq!(calico(json!({"egress": [{"action": "Allow"}]})), json!(["Egress"]));
    assert_eq!(
        calico(json!({"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]})),
        json!(["Ingress", "Egress"])
    );
}

#[test]
fn ports_are_tcp_unless_they_say_otherwise() {
    let object = json!({"spec": {"ingress": [{"ports": [{"port": 80}, {"protocol": "UDP"}]}]}});
    let policy = completed("networking.k8s.io/v1", "NetworkPolicy", object);
    let ports = &policy["spec"]["ingress"][0]["ports"];
    assert_eq!(*ports, json!([{"port": 80, "protocol": "TCP"}, {"protocol": "UDP"}]));
}

#[test]
fn a_namespace_carries_its_own_name_as_a_label() {
    let namespace = completed("v1", "Namespace", json!({"metadata": {"name": "shop"}}));
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    assert_eq!(namespace["status"]["phase"], "Active");
}

#[test]
fn a_floating_image_is_always_pulled() {
    let pull = |image: &str| {
        let object = json!({"spec": {"containers": [{"name": "a", "image": image}]}});
        completed("v1", "Pod", object)["spec"]["containers"][0]["imagePullPolicy"].clone()
    };
    assert_eq!(pull("web"), "Always");
    assert_eq!(pull("host:5000/web"), "Always");
    assert_eq!(pull("web:latest"), "Always");
    assert_eq!(pull("web:1"), "IfNotPresent");
    assert_eq!(pull("web@sha256:00"), "IfNotPresent");
}
