//! The smallest world in which a policy decides something.

use bulkhead_api::Object;
use serde_json::json;

/// `app/client` and `app/server`, each on a node of its own.
pub fn mk_world() -> Vec<Object> {
    let pod = |name: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "app", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [
                {"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 80}]}]},
        })
    };
    let mut objects: Vec<Object> = [pod("client", "n1"), pod("server", "n2")]
        .into_iter()
        .map(|value| Object::from_value(value).unwrap())
        .collect();
    bulkhead_api::addressing::assign(&mut objects);
    objects
}
