//! What selectors see of endpoints and sets.

use bulkhead_api::{Object, ObjectKey};
use bulkhead_types::EndpointId;
use serde_json::{Value, json};

use super::Inventory;

fn inventory(objects: &[Value]) -> Inventory {
    let mut inventory = Inventory::default();
    for value in objects {
        inventory.upsert(&Object::from_value(value.clone()).expect("object"));
    }
    inventory
}

fn mk_pod(spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "db", "pcns.team": "liar"}},
        "spec": spec, "status": status,
    })
}

#[test]
fn an_endpoint_has_its_own_labels_and_inherits_those_of_namespace_and_account() {
    let inventory = inventory(&[
        mk_pod(json!({"serviceAccountName": "robot"}), json!({})),
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"team": "x"}},
        }),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "robot", "namespace": "shop", "labels": {"role": "db"}},
        }),
    ]);
    let pod = &inventory.endpoints[&EndpointId::pod("shop", "db")];
    let labels: Vec<String> =
        inventory.labels_of(pod).iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        labels,
        [
            "app=db",
            "pcns.kubernetes.io/metadata.name=shop",
            "pcns.projectcalico.org/name=shop",
            "pcns.team=x",
            "pcsa.projectcalico.org/name=robot",
            "pcsa.role=db",
            "projectcalico.org/namespace=shop",
            "projectcalico.org/orchestrator=k8s",
            "projectcalico.org/serviceaccount=robot",
        ]
    );
}

#[test]
fn undeclared_namespaces_and_accounts_have_their_names() {
    let inventory = inventory(&[mk_pod(json!({}), json!({}))]);
    let labels = inventory.labels_of(&inventory.endpoints[&EndpointId::pod("shop", "db")]);
    assert_eq!(labels["pcns.kubernetes.io/metadata.name"], "shop");
    assert_eq!(labels["pcsa.projectcalico.org/name"], "default");
}

#[test]
fn a_finished_pod_has_no_addresses_and_a_running_one_has_all() {
    let ips = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    for (phase, n_addresses) in [("Running", 2), ("Pending", 2), ("Succeeded", 0), ("Failed", 0)] {
        let status = json!({"phase": phase, "podIPs": ips, "podIP": "10.0.0.1"});
        let inventory = inventory(&[mk_pod(json!({}), status)]);
        let pod = &inventory.endpoints[&EndpointId::pod("shop", "db")];
        assert_eq!(pod.addresses.len(), n_addresses, "{phase}");
    }
}

#[test]
fn a_pod_on_the_hosts_network_is_no_endpoint() {
    assert!(inventory(&[mk_pod(json!({"hostNetwork": true}), json!({}))]).endpoints.is_empty());
    assert_eq!(inventory(&[mk_pod(json!({"hostNetwork": false}), json!({}))]).endpoints.len(), 1);
}

#[test]
fn sidecars_give_names_to_ports_and_other_init_containers_do_not() {
    let spec = json!({
        "containers": [{"name": "a", "ports": [{"containerPort": 80}, {"name": "x", "containerPort": 1}]}],
        "initContainers": [
            {"name": "b", "restartPolicy": "Always", "ports": [{"name": "y", "containerPort": 2}]},
            {"name": "c", "ports": [{"name": "z", "containerPort": 3}]},
        ],
    });
    let inventory = inventory(&[mk_pod(spec, json!({}))]);
    let pod = &inventory.endpoints[&EndpointId::pod("shop", "db")];
    let names: Vec<&str> = pod.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["x", "y"]);
}

#[test]
fn only_namespaced_sets_belong_to_a_namespace() {
    let set = |kind: &str, namespace: Value| {
        let object = Object::from_value(json!({
            "apiVersion": "projectcalico.org/v3", "kind": kind,
            "metadata": {
                "name": "s", "namespace": namespace,
                "labels": {"a": "b", "projectcalico.org/namespace": "liar"},
            },
            "spec": {"nets": ["10.0.0.1/8", "1.2.3.4", "nonsense"]},
        }));
        let object = object.expect("object");
        let mut inventory = Inventory::default();
        let (_, said) = inventory.upsert(&object);
        assert_eq!(said.len(), 1, "the broken net is named: {said:?}");
        let key: ObjectKey = object.key();
        let set = &inventory.network_sets[&key];
        assert_eq!(set.nets.len(), 2, "the others stay");
        inventory.labels_of_set(set)
    };
    let labels = set("NetworkSet", json!("shop"));
    assert_eq!(labels["projectcalico.org/namespace"], "shop");
    assert_eq!(labels["pcns.kubernetes.io/metadata.name"], "shop");
    let labels = set("GlobalNetworkSet", json!(null));
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["a"]);
}
