use std::time::Duration;

use bulkhead_store::{Batch, Expect, Limits, RedbStore, Write};
use serde_json::{Value, json};

use bulkhead_policy::Event;
use bulkhead_policy::rule::Moment;

use super::twin::Twin;
use super::*;
use crate::registry::Standing;
use crate::shutdown;

struct World {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    programs: Programs,
    _switch: shutdown::Switch,
    _folder: tempfile::TempDir,
}

fn mk_world() -> World {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = RedbStore::open(&folder.path().join("db"), Limits::default()).expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    let registry = Arc::new(Registry::default());
    let (switch, shutdown) = shutdown::channel();
    let directory = Arc::new(Directory::default());
    let (controller, programs) =
        Controller::new(Arc::clone(&store), Arc::clone(&registry), directory);
    tokio::spawn(controller.run(shutdown));
    World { store, registry, programs, _switch: switch, _folder: folder }
}

fn mk_pod(name: &str, node: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    })
}

fn mk_policy(name: &str, app: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop", "generation": generation},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"]},
    })
}

impl World {
    async fn put(&self, resource: &str, value: Value) -> u64 {
        let name = value["metadata"]["name"].as_str().expect("has a name").to_owned();
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let key = Key::new(resource, namespace, name);
        let write = Write::Put { key, expect: Expect::Anything, value };
        self.store.commit(Batch::from(write)).await.expect("is written").revision.0
    }

    async fn reached(&self, revision: u64) {
        let reach = async {
            while self.registry.enforcement().resource_version < revision {
                self.registry.moved().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reach).await.expect("in time");
    }

    async fn program_of(&self, node: &str) -> watch::Receiver<Published> {
        self.programs.subscribe(node, Revision(0), 0).await.expect("the controller lives")
    }
}

#[tokio::test]
async fn a_change_moves_the_concerned_nodes_only() {
    let world = mk_world();
    world.put("pods", mk_pod("web", "n1", "10.0.0.1")).await;
    let written = world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    world.reached(written).await;
    let (n1, n2) = (world.program_of("n1").await, world.program_of("n2").await);
    let (before_1, before_2) = (n1.borrow().revision(), n2.borrow().revision());
    assert_eq!(n1.borrow().program().endpoints.len(), 1);

    let written = world.put("networkpolicies.networking.k8s.io", mk_policy("p", "db", 1)).await;
    world.reached(written).await;
    assert_eq!(n1.borrow().revision(), before_1, "web's node is not concerned");
    assert!(n2.borrow().revision() > before_2);
    let state = world.registry.snapshot();
    let placement = state.policies.values().next().expect("the policy is placed");
    assert_eq!(placement.required, [("n2".to_owned(), n2.borrow().revision())].into());
}

#[tokio::test]
async fn a_status_moves_no_program_and_counts_as_compiled() {
    let world = mk_world();
    world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    let mut policy = mk_policy("p", "db", 1);
    let written = world.put("networkpolicies.networking.k8s.io", policy.clone()).await;
    world.reached(written).await;
    let n2 = world.program_of("n2").await;
    let before = n2.borrow().revision();
    let placed = world.registry.snapshot().policies;
    policy["status"] = json!({"enforcement": {"nodes": 1, "of": 1}});
    let written = world.put("networkpolicies.networking.k8s.io", policy).await;
    world.reached(written).await;
    assert_eq!(n2.borrow().revision(), before);
    assert_eq!(world.registry.snapshot().policies, placed);
}

#[tokio::test]
async fn a_rewritten_policy_must_be_enforced_anew_and_others_not() {
    let world = mk_world();
    let policies = "networkpolicies.networking.k8s.io";
    world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    world.put(policies, mk_policy("a", "db", 1)).await;
    let written = world.put(policies, mk_policy("b", "db", 1)).await;
    world.reached(written).await;
    let required = |name: &str| {
        let state = world.registry.snapshot();
        let found = state.policies.iter().find(|(key, _)| key.name == name);
        found.and_then(|(_, placement)| placement.required.get("n2").copied())
    };
    let before = (required("a"), required("b"));
    let mut rewritten = mk_policy("b", "db", 2);
    rewritten["spec"]["ingress"] = json!([{"ports": [{"port": 80}]}]);
    let written = world.put(policies, rewritten).await;
    world.reached(written).await;
    assert_eq!(required("a"), before.0);
    assert!(required("b") > before.1);
}

#[tokio::test]
async fn a_node_that_has_seen_more_gets_a_higher_number() {
    let world = mk_world();
    let written = world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    world.reached(written).await;
    let seen = Revision(1_000);
    let n2 = world.programs.subscribe("n2", seen, 0).await.expect("the controller lives");
    assert_eq!(n2.borrow().revision(), seen.next());
    let written = world.put("networkpolicies.networking.k8s.io", mk_policy("p", "db", 1)).await;
    world.reached(written).await;
    assert_eq!(n2.borrow().revision(), seen.next().next());
    assert_eq!(world.registry.enforcement().nodes[0].wanted, seen.0 + 2);
}

#[tokio::test]
async fn a_node_without_workloads_has_an_empty_program() {
    let world = mk_world();
    let published = world.program_of("n9").await;
    let program = published.borrow().program();
    assert!(program.revision > Revision(0));
    assert!(program.endpoints.is_empty());
}

#[tokio::test]
async fn a_policy_ends_at_its_moment_and_its_node_is_told() {
    let world = mk_world();
    let policies = "networkpolicies.networking.k8s.io";
    world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    let mut brief = mk_policy("brief", "db", 1);
    brief["metadata"]["annotations"] = json!({"bulkhead.dev/expires": soon.to_string()});
    world.put(policies, brief).await;
    let written = world.put(policies, mk_policy("lasting", "db", 1)).await;
    world.reached(written).await;
    let mut n2 = world.program_of("n2").await;
    let rules = |n2: &watch::Receiver<Published>| {
        let program = n2.borrow().program().clone();
        program.rules.values().map(|rule| format!("{rule:?}")).collect::<Vec<_>>()
    };
    assert!(!rules(&n2).is_empty());
    let before = n2.borrow_and_update().revision();
    let ended = tokio::time::timeout(Duration::from_secs(20), n2.changed()).await;
    ended.expect("the node is told").expect("the controller lives");
    assert!(n2.borrow().revision() > before);
    let reached = async {
        loop {
            let state = world.registry.snapshot();
            let mut standings =
                state.policies.iter().map(|(k, p)| (k.name.clone(), p.standing.clone()));
            let brief = standings.find(|(name, _)| name == "brief");
            if let Some((_, Standing::Expired(since))) = brief {
                return since;
            }
            world.registry.moved().await;
        }
    };
    let since = tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time");
    assert_eq!(since.parse::<jiff::Timestamp>().ok(), Some(soon));
    let lasting = world.registry.snapshot();
    let lasting = lasting.policies.iter().find(|(key, _)| key.name == "lasting");
    assert_eq!(lasting.map(|(_, placed)| placed.standing.clone()), Some(Standing::InForce));
}

#[tokio::test]
async fn reach_is_told_whole_and_then_change_by_change() {
    let world = mk_world();
    world.put("pods", mk_pod("web", "n1", "10.0.0.1")).await;
    let written = world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    world.reached(written).await;
    let all = world.programs.reach(BTreeSet::new()).await.expect("lives").expect("few enough");
    let pair = |report: &ReachReport| {
        let names = ("shop/web[Pod]", "shop/db[Pod]");
        report.connections.iter().any(|c| (c.src.as_str(), c.dst.as_str()) == names)
    };
    assert!(pair(&all), "{all:?}");
    let none = world.programs.reach_changes(written).await.expect("lives");
    assert_eq!(none.changes, []);

    let policies = "networkpolicies.networking.k8s.io";
    let later = world.put(policies, mk_policy("isolate", "db", 1)).await;
    world.reached(later).await;
    let told = world.programs.reach_changes(written).await.expect("lives");
    let [change] = told.changes.as_slice() else { panic!("{told:?}") };
    assert_eq!(change.resource_version, later);
    let to_db: Vec<_> =
        change.altered.iter().filter(|a| a.dst == ["shop/db[Pod]"] && a.after.is_empty()).collect();
    assert!(to_db.iter().any(|a| a.src.contains(&"shop/web[Pod]".to_owned())), "{change:?}");
    let only = BTreeSet::from(["shop/db[Pod]".to_owned()]);
    let of_db = world.programs.reach(only).await.expect("lives").expect("it is known");
    assert!(!pair(&of_db));
    let unknown = BTreeSet::from(["shop/nobody[Pod]".to_owned()]);
    assert!(world.programs.reach(unknown).await.expect("lives").is_err());
}

#[tokio::test]
async fn what_happens_while_the_model_without_requests_is_made_is_not_missed() {
    let world = mk_world();
    world.put("pods", mk_pod("web", "n1", "10.0.0.1")).await;
    let written = world.put("pods", mk_pod("db", "n2", "10.0.0.2")).await;
    let held = Held::new(Arc::clone(&world.store), ResourceVersion(written));
    let mut twin = Twin::make(held, Moment::default());
    let late = Object::from_value(mk_pod("late", "n1", "10.0.0.3")).expect("a pod");
    let gone = Object::from_value(mk_pod("db", "n2", "10.0.0.2")).expect("a pod").key();
    twin.apply(|| Event::Upsert(late));
    twin.apply(|| Event::Delete(gone));
    assert!(twin.ready().is_none());
    let made = twin.made().await;
    twin.take(made, Moment::default());
    let ends = twin.ready().expect("it is made").reach.endpoints().map(ToString::to_string);
    assert_eq!(ends.collect::<BTreeSet<_>>(), ["shop/late", "shop/web"].map(str::to_owned).into());

    // Where nothing could be made, the next question makes it anew.
    let mut twin = Twin::make(Held::new(world.store, ResourceVersion(written)), Moment::default());
    twin.take(None, Moment::default());
    assert!(matches!(twin, Twin::Unknown));
}

#[tokio::test]
async fn what_was_not_understood_of_a_policy_makes_it_invalid() {
    let world = mk_world();
    let mut policy = mk_policy("foreign", "db", 1);
    let note = json!({"bulkhead.dev/not-understood": "[\"`spec.x` is unknown\"]"});
    policy["metadata"]["annotations"] = note;
    let written = world.put("networkpolicies.networking.k8s.io", policy).await;
    world.reached(written).await;
    let state = world.registry.snapshot();
    let errors: Vec<_> = state.policies.values().flat_map(|placed| placed.errors.clone()).collect();
    assert_eq!(errors, ["`spec.x` is unknown"]);
}
