//! The server's answer about who reaches whom is `bulkhead reach -f --output json` of its objects:
//! both whole objects are compared, after each of several changes that the server follows.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_api::Object;
use bulkhead_apimachinery::kinds;
use bulkhead_server::controller::directory::Directory;
use bulkhead_server::controller::{Controller, Programs};
use bulkhead_server::registry::Registry;
use bulkhead_server::shutdown;
use bulkhead_store::{Batch, Expect, Key, Limits, RedbStore, Store, Write};
use serde_json::{Value, json};

/// A server's heart, and the same objects for the offline tool.
struct Twins {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    programs: Programs,
    objects: BTreeMap<String, Value>,
    folder: tempfile::TempDir,
    _switch: shutdown::Switch,
}

impl Twins {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("db"), Limits::default()).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let registry = Arc::new(Registry::default());
        let (switch, shutdown) = shutdown::channel();
        let directory = Arc::new(Directory::default());
        let (controller, programs) =
            Controller::new(Arc::clone(&store), Arc::clone(&registry), directory);
        tokio::spawn(controller.run(shutdown));
        Self { store, registry, programs, objects: BTreeMap::new(), folder, _switch: switch }
    }

    fn key(value: &Value) -> Key {
        let object = Object::from_value(value.clone()).unwrap().key();
        let resource = kinds::all().iter().find(|resource| resource.id == object.kind).unwrap();
        Key::new(resource.qualified_plural(), object.namespace, object.name)
    }

    async fn put(&mut self, value: Value) {
        let key = Self::key(&value);
        self.objects.insert(format!("{key:?}"), value.clone());
        let write = Write::Put { key, expect: Expect::Anything, value };
        self.written(Batch::from(write)).await;
    }

    async fn delete(&mut self, value: &Value) {
        let key = Self::key(value);
        self.objects.remove(&format!("{key:?}")).unwrap();
        self.written(Batch::from(Write::Delete { key, expect: Expect::Anything })).await;
    }

    async fn written(&self, batch: Batch) {
        let revision = self.store.commit(batch).await.unwrap().revision.0;
        let reach = async {
            while self.registry.enforcement().resource_version < revision {
                self.registry.moved().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reach).await.unwrap();
    }

    async fn told_by_the_server(&self, focus: &[&str]) -> Value {
        let focus: BTreeSet<String> = focus.iter().map(|name| (*name).to_owned()).collect();
        let report = self.programs.reach(focus).await.unwrap().unwrap();
        let mut told = serde_json::to_value(report).unwrap();
        told.as_object_mut().unwrap().remove("resourceVersion").unwrap();
        told
    }

    fn told_offline(&self, focus: &[&str]) -> Value {
        let file = self.folder.path().join("world.json");
        let items: Vec<&Value> = self.objects.values().collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(&file, list.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command.args(["reach", "--output", "json", "-f"]).arg(&file);
        for name in focus {
            command.args(["--focus", name]);
        }
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Holds the two against one another, whole and from single workloads; gives the whole.
    async fn agree(&self, when: &str) -> Value {
        let told = self.told_by_the_server(&[]).await;
        assert_eq!(told, self.told_offline(&[]), "{when}");
        for name in ["shop/web[Deployment]", "shop/db[Pod]"] {
            let focused = self.told_by_the_server(&[name]).await;
            assert_eq!(focused, self.told_offline(&[name]), "{when}, from {name}");
            // It is the part of the whole that has an end there.
            let all = told["connections"].as_array().unwrap().iter();
            let part = all.filter(|told| told["src"] == name || told["dst"] == name);
            assert_eq!(
                focused["connections"],
                part.cloned().collect::<Value>(),
                "{when}, from {name}"
            );
        }
        told
    }
}

fn pod(name: &str, set: Option<&str>, labels: Value, addresses: &[&str]) -> Value {
    let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "ports": [{"name": "web", "containerPort": 8080}]},
        ]},
        "status": {"podIPs": addresses},
    });
    if let Some(set) = set {
        pod["metadata"]["labels"]["pod-template-hash"] = json!("7d4b9");
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{set}-7d4b9"),
            "uid": "1", "controller": true,
        }]);
    }
    pod
}

fn calico(name: &str, app: &str, spec: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"tier": "default", "selector": format!("app == '{app}'")},
    });
    let fields = policy["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    policy
}

fn world() -> Vec<Value> {
    vec![
        pod("web-1", Some("web"), json!({"app": "web"}), &["10.0.0.1", "fd00::1"]),
        pod("web-2", Some("web"), json!({"app": "web", "old": "yes"}), &["10.0.0.2", "fd00::2"]),
        pod("db", None, json!({"app": "db"}), &["10.0.0.3"]),
        json!({"apiVersion": "bulkhead.dev/v1", "kind": "Workload",
            "metadata": {"name": "till", "namespace": "shop", "labels": {"app": "till"}},
            "spec": {"nodeName": "n2", "addresses": ["10.0.0.9"]}}),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": "web"}]}}),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "till", "namespace": "shop"},
            "spec": {"type": "NodePort", "ports": [{"name": "pay", "port": 443}]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "till-1", "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "till"}},
            "endpoints": [{"addresses": ["10.0.0.9"]}],
            "ports": [{"name": "pay", "port": 8443, "protocol": "TCP"}]}),
        calico(
            "db",
            "db",
            json!({"types": ["Ingress"], "ingress": [
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [5432]},
                 "source": {"selector": "app == 'web' && !has(old)"}},
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [8080]},
                 "source": {"selector": "app == 'till'"}, "http": {"methods": ["GET"],
                    "paths": [{"prefix": "/stock"}, {"exact": "/health"}]}},
            ]}),
        ),
        calico(
            "web",
            "web",
            json!({"types": ["Egress"], "egress": [
                {"action": "Allow", "protocol": "TCP", "destination":
                    {"domains": ["*.example.com"], "ports": [443]}},
                {"action": "Allow", "destination": {"nets": ["198.51.100.0/24"], "ports": [443]},
                 "protocol": "TCP"},
                {"action": "Allow", "destination": {"selector": "app == 'db'"}},
            ]}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_the_offline_tool_says_and_follows_it() {
    let mut twins = Twins::new();
    for object in world() {
        twins.put(object).await;
    }
    let told = twins.agree("at first").await;
    let has = |told: &Value, key: &str| {
        let all = told["connections"].as_array().unwrap();
        all.iter().any(|connection| connection.get(key).is_some())
    };
    let from = |told: &Value, src: &str| {
        let all = told["connections"].as_array().unwrap();
        all.iter().any(|connection| connection["src"] == src)
    };
    assert!(["pods", "addresses", "http"].iter().all(|key| has(&told, key)), "{told:#}");
    assert!(from(&told, "shop/web[Service]") && from(&told, "shop/till[Service]"), "{told:#}");

    // A change of a rule that asks for requests, and one of those that it means.
    let mut db = world().swap_remove(7);
    db["spec"]["ingress"][1]["http"] = json!({"methods": ["PUT"]});
    twins.put(db.clone()).await;
    twins.agree("after other requests").await;
    let mut till = world().swap_remove(3);
    till["metadata"]["labels"]["app"] = json!("kiosk");
    twins.put(till).await;
    let told = twins.agree("after the one that may ask has gone").await;
    assert!(!has(&told, "http"), "{told:#}");
    twins.put(world().swap_remove(3)).await;
    assert!(has(&twins.agree("after it came back").await, "http"));

    // No rule asks any more; then one asks again.
    twins.delete(&db).await;
    let told = twins.agree("without the policy").await;
    assert!(!has(&told, "http"), "{told:#}");
    twins.put(db).await;
    assert!(has(&twins.agree("with the policy again").await, "http"));

    // What is on no node is so for the server only: files do not say where pods will run.
    let mut till = world().swap_remove(3);
    till["spec"].as_object_mut().unwrap().remove("nodeName");
    twins.put(till).await;
    let told = twins.told_by_the_server(&[]).await;
    let because = "no node: its own rules are not enforced";
    let marked = json!([{"workload": "shop/till[Workload]", "because": because}]);
    assert_eq!(told["unenforced"], marked);
    twins.put(world().swap_remove(3)).await;

    let host = json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": "gate"},
        "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": ["198.51.100.7"]}});
    twins.put(host.clone()).await;
    let told = twins.agree("with a host").await;
    assert_eq!(told["notComputed"][0]["end"], "gate[HostEndpoint]");
    twins.delete(&host).await;
    assert!(twins.agree("without the host").await.get("notComputed").is_none());

    twins.delete(&world().swap_remove(6)).await;
    let told = twins.agree("without the slice").await;
    assert!(!from(&told, "shop/till[Service]"), "{told:#}");
}
