use serde_json::json;

use super::*;
use crate::kinds;

#[test]
fn unknown_fields_are_named_by_path_and_dropped_and_so_are_nulls() {
    let netpol = kinds::by_kind("networking.k8s.io/v1", "NetworkPolicy").unwrap();
    let mut object = json!({
        "metadata": {"name": "a", "creationTimestamp": null, "labels": {"any.thing/x": "1"}},
        "spec": {"podSelector": {}, "ingres": [], "ingress": [{"ports": [{"prot": "TCP"}]}]},
    });
    let unknown = prune(netpol.schema().slot(), &mut object);
    assert_eq!(unknown, ["spec.ingres", "spec.ingress[0].ports[0].prot"]);
    assert_eq!(
        object,
        json!({
            "metadata": {"name": "a", "labels": {"any.thing/x": "1"}},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{}]}]},
        })
    );
}
