//! Services, nodes, names, staged policies and ends under change: after every event the programs are
//! those of an engine that sees the objects for the first time, and they judge as the oracle does.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event, NodeProgram, Severity, World};
use bulkhead_types::{Direction, EndpointId, Names, Packet, Protocol, Revision};
use serde_json::{Value, json};

fn object(value: Value) -> Object {
    Object::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

fn pod(name: &str, address: &str, app: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": "one", "containers": [{"name": "c", "ports": [
            {"name": "http", "containerPort": 8080},
        ]}]},
        "status": {"podIPs": [{"ip": address}]},
    }))
}

fn calico(kind: &str, name: &str, spec: Value) -> Object {
    let mut metadata = json!({"name": name});
    if !kind.contains("Global") && kind != "Tier" {
        metadata["namespace"] = json!("shop");
    }
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec,
    }))
}

fn service(spec: Value) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
    }))
}

fn slice(name: &str, of: &str, address: &str) -> Object {
    object(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"port": 8080}],
    }))
}

fn node(name: &str, zone: &str, address: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }))
}

fn set(labels: Value, spec: Value) -> Object {
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
        "metadata": {"name": "partners", "labels": labels}, "spec": spec,
    }))
}

/// Every object in each of its versions. A step puts one of them in place or takes one away.
fn versions() -> Vec<Object> {
    let rules = |destination: Value| {
        json!({"selector": "app == 'web'", "egress": [
            {"action": "Allow", "destination": destination},
        ]})
    };
    vec![
        pod("a", "10.0.0.1", "web"),
        pod("a", "10.0.0.1", "db"),
        pod("b", "10.0.0.2", "web"),
        pod("b", "10.0.0.3", "web"),
        pod("c", "10.0.0.4", "db"),
        service(json!({"selector": {"app": "db"}, "ports": [{"port": 80, "targetPort": "http"}]})),
        service(json!({"selector": {"app": "web"}, "ports": [{"port": 8080}]})),
        slice("s", "web", "10.0.0.2"),
        slice("s", "other", "10.0.0.2"),
        slice("t", "web", "192.0.2.9"),
        node("far", "a", "192.0.2.7"),
        node("far", "b", "192.0.2.7"),
        calico("NetworkPolicy", "services", rules(json!({"services": {"name": "web"}}))),
        calico(
            "NetworkPolicy",
            "sources",
            json!({"ingress": [{"action": "Allow", "source": {"services": {"name": "web"}}}]}),
        ),
        calico("NetworkPolicy", "names", rules(json!({"domains": ["*.example.com", "a.org"]}))),
        calico("NetworkPolicy", "names", rules(json!({"domains": ["a.example.com"]}))),
        calico(
            "GlobalNetworkPolicy",
            "first",
            json!({"order": 1, "egress": [
                {"action": "Deny", "destination": {"selector": "kind == 'partner'"}},
                {"action": "Pass", "destination": {"domains": ["b.example.com"]}},
            ]}),
        ),
        calico("StagedNetworkPolicy", "names", rules(json!({"nets": ["192.0.2.0/24"]}))),
        calico("StagedNetworkPolicy", "names", json!({"stagedAction": "Delete"})),
        calico("StagedNetworkPolicy", "names", json!({"stagedAction": "Ignore"})),
        calico(
            "StagedGlobalNetworkPolicy",
            "late",
            json!({"egress": [
                {"action": "Allow", "destination": {"domains": ["*.com"]}},
            ]}),
        ),
        set(json!({"kind": "partner"}), json!({"allowedEgressDomains": ["*.example.com"]})),
        set(json!({"kind": "other"}), json!({"allowedEgressDomains": ["*.example.com"]})),
        set(json!({"kind": "partner"}), json!({"nets": ["192.0.2.7"]})),
        object(json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "nodes"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [
                {"action": "Deny", "to": [{"nodes": {"matchLabels": {"zone": "a"}}}]},
            ]},
        })),
    ]
}

fn unnumbered(mut program: NodeProgram) -> NodeProgram {
    program.revision = Revision(0);
    program
}

fn fresh(objects: &BTreeMap<ObjectKey, Object>) -> Option<NodeProgram> {
    let mut engine = Engine::new();
    for object in objects.values() {
        engine.apply(Event::Upsert(object.clone()));
    }
    engine.take_changes();
    engine.program("one").map(|program| unnumbered((*program).clone()))
}

const ADDRESSES: [&str; 7] =
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "192.0.2.7", "192.0.2.9", "198.51.100.1"];

fn agree(objects: &BTreeMap<ObjectKey, Object>, program: &NodeProgram, step: usize) {
    let world = World::from_objects(objects.values());
    let staged = world.staged();
    let looks = [
        Names::default(),
        Names::new(["a.example.com"]),
        Names::new(["b.example.com"]),
        Names::new(["a.org", "other.net"]),
        Names::new(["a.org", "b.example.com", "c.com"]),
    ];
    for (id, endpoint) in program.endpoints.iter() {
        for (local, remote) in endpoint
            .addresses
            .keys()
            .flat_map(|local| ADDRESSES.map(|remote| (*local, remote.parse::<IpAddr>().unwrap())))
        {
            for direction in Direction::BOTH {
                let (src, dst) = match direction {
                    Direction::Ingress => (remote, local),
                    Direction::Egress => (local, remote),
                };
                for names in &looks {
                    for dst_port in [8080, 80] {
                        let packet = Packet {
                            src,
                            dst,
                            protocol: Protocol::TCP,
                            src_port: 40_000,
                            dst_port,
                            icmp_type: 0,
                            icmp_code: 0,
                        };
                        assert_eq!(
                            program.decide_named(id, direction, &packet, names),
                            world.decide_named(id, direction, &packet, names),
                            "step {step}: {id} {direction} {packet:?} {names:?}"
                        );
                        assert_eq!(
                            program.decide_staged(id, direction, &packet, names),
                            staged.decide_named(id, direction, &packet, names),
                            "staged, step {step}: {id} {direction} {packet:?} {names:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn after_any_change_the_programs_are_fresh_and_judge_as_the_oracle() {
    let versions = versions();
    for seed in 1..=4u64 {
        let mut dice = seed;
        let mut roll = |n: usize| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(dice >> 33).unwrap() % n
        };
        let mut objects: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        let mut engine = Engine::new();
        let mut followed = NodeProgram::default();
        for step in 0..120 {
            let object = versions[roll(versions.len())].clone();
            if roll(3) == 0 {
                objects.remove(&object.key());
                engine.apply(Event::Delete(object.key()));
            } else {
                objects.insert(object.key(), object.clone());
                engine.apply(Event::Upsert(object));
            }
            let changes = engine.take_changes();
            if changes.removed_nodes.iter().any(|node| node == "one") {
                followed = NodeProgram::default();
            }
            if let Some(delta) = changes.nodes.get("one") {
                followed.revision = delta.base;
                delta.apply(&mut followed).unwrap();
            }
            let program = engine.program("one").map(|program| unnumbered((*program).clone()));
            assert_eq!(program, fresh(&objects), "seed {seed}, step {step}");
            let Some(program) = program else { continue };
            assert_eq!(unnumbered(followed.clone()), program, "seed {seed}, step {step}: deltas");
            if step % 6 == 0 {
                agree(&objects, &program, step);
            }
        }
        for key in objects.keys() {
            engine.apply(Event::Delete(key.clone()));
        }
        engine.take_changes();
        engine.take_changes();
        assert!(engine.is_idle(), "seed {seed}: something is kept of what is gone");
    }
}

/// Sets beyond the limit are denied, never allowed; those within it are exact.
#[test]
fn too_many_names_at_one_address_are_denied() {
    let rules: Vec<Value> = (0..8)
        .map(|n| json!({"action": "Allow", "destination": {"domains": [format!("n{n}.org")]}}))
        .collect();
    let objects =
        [pod("a", "10.0.0.1", "web"), calico("NetworkPolicy", "p", json!({"egress": rules}))];
    let mut engine = Engine::new();
    objects.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
    engine.take_changes();
    let program = engine.program("one").expect("a program");
    let decide = |names: &[&str]| {
        let packet = Packet {
            src: "10.0.0.1".parse().unwrap(),
            dst: "192.0.2.1".parse().unwrap(),
            protocol: Protocol::TCP,
            src_port: 1,
            dst_port: 1,
            icmp_type: 0,
            icmp_code: 0,
        };
        let id = EndpointId::pod("shop", "a");
        program.decide_named(&id, Direction::Egress, &packet, &Names::new(names)).to_owned()
    };
    assert!(format!("{:?}", decide(&["n3.org"])).contains("Allow"));
    assert!(format!("{:?}", decide(&["n3.org", "n4.org"])).contains("index: 3"));
    let all: Vec<String> = (0..8).map(|n| format!("n{n}.org")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(decide(&all), bulkhead_types::Verdict::unknown());
    assert!(program.names.programs.values().any(|sight| sight.is_cut));
    let sets: BTreeSet<_> = program.names.entries.keys().map(|(_, _, set)| set).collect();
    assert_eq!(sets.len(), bulkhead_policy::emit::NAME_SETS_MAX);
}

fn moment(text: &str) -> Moment {
    bulkhead_policy::lower::moment(text).expect("a moment")
}

#[test]
fn a_policy_ends_when_the_engine_is_told_so_and_it_is_said() {
    let policy = |expires: &str| {
        calico("NetworkPolicy", "p", json!({"ingress": [{"action": "Allow"}], "expires": expires}))
    };
    let shut = calico("NetworkPolicy", "shut", json!({"ingress": []}));
    let mut engine = Engine::new();
    let objects = [pod("a", "10.0.0.1", "web"), policy("2030-01-01T00:00:00Z"), shut];
    objects.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
    engine.take_changes();
    assert_eq!(engine.next_expiry(), Some(moment("2030-01-01T00:00:00Z")));
    let allows = |engine: &mut Engine| {
        engine.take_changes();
        let program = engine.program("one").expect("a program");
        let packet = Packet {
            src: "192.0.2.1".parse().unwrap(),
            dst: "10.0.0.1".parse().unwrap(),
            protocol: Protocol::TCP,
            src_port: 1,
            dst_port: 1,
            icmp_type: 0,
            icmp_code: 0,
        };
        let id = EndpointId::pod("shop", "a");
        let verdict = program.decide(&id, Direction::Ingress, &packet);
        verdict.decision == bulkhead_types::Decision::Allow
    };
    assert!(allows(&mut engine));
    engine.advance(moment("2029-12-31T23:59:59Z"));
    assert!(allows(&mut engine));
    engine.advance(moment("2030-01-01T00:00:00Z"));
    assert!(!allows(&mut engine));
    assert_eq!(engine.next_expiry(), None);
    let [said] = engine.diagnostics(&objects[1].key()) else { panic!("one word about it") };
    assert_eq!(
        (said.severity, said.message.as_str()),
        (Severity::Note, "expired at 2030-01-01T00:00:00Z: the policy no longer applies")
    );

    // A new end opens again; an end that is past when it comes never does.
    engine.apply(Event::Upsert(policy("2031-01-01T00:00:00Z")));
    assert!(allows(&mut engine));
    assert!(engine.diagnostics(&objects[1].key()).is_empty());
    engine.apply(Event::Upsert(policy("2029-01-01T00:00:00Z")));
    assert!(!allows(&mut engine));
    assert_eq!(engine.diagnostics(&objects[1].key()).len(), 1);

    // The oracle says the same.
    let world = World::from_objects(&objects);
    let id = EndpointId::pod("shop", "a");
    let count = |world: &World| {
        let endpoint = world.endpoint(&id).expect("the pod");
        world.stack(endpoint, Direction::Ingress).iter().map(|(_, list)| list.len()).sum::<usize>()
    };
    assert_eq!(count(&world), 2);
    let later = world.at(moment("2030-01-01T00:00:00Z"));
    assert_eq!(count(&later), 1);
    assert_eq!(later.diagnostics().len(), 1);
}

#[test]
fn a_policy_without_its_tier_is_named_until_the_tier_comes() {
    let policy = calico("NetworkPolicy", "p", json!({"tier": "late", "ingress": []}));
    let tier = calico("Tier", "late", json!({"order": 1}));
    let mut engine = Engine::new();
    engine.apply(Event::Upsert(policy.clone()));
    let [said] = engine.diagnostics(&policy.key()) else { panic!("one word about it") };
    assert!(said.message.starts_with("there is no tier `late`"), "{said}");
    // The oracle says the same.
    assert_eq!(World::from_objects([&policy]).diagnostics(), std::slice::from_ref(said));
    assert_eq!(World::from_objects([&policy, &tier]).diagnostics(), []);
    engine.apply(Event::Upsert(tier.clone()));
    assert!(engine.diagnostics(&policy.key()).is_empty());
    engine.apply(Event::Delete(tier.key()));
    assert_eq!(engine.diagnostics(&policy.key()).len(), 1);
    engine.apply(Event::Delete(policy.key()));
    assert!(engine.diagnostics(&policy.key()).is_empty());
}

/// The kernel is given a program without the staged reading.
#[test]
fn a_program_without_the_staged_reading_judges_as_if_nothing_were_staged() {
    let rules = json!({"egress": [
        {"action": "Deny", "destination": {"domains": ["bad.org"]}},
        {"action": "Allow"},
    ]});
    let objects = [
        pod("a", "10.0.0.1", "web"),
        calico("NetworkPolicy", "p", rules),
        calico("StagedNetworkPolicy", "q", json!({"order": 1, "egress": [{"action": "Deny"}]})),
    ];
    let mut engine = Engine::new();
    objects.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
    engine.take_changes();
    let whole = engine.program("one").expect("a program");
    let plain = whole.without_staged().expect("something is staged");
    assert_eq!(plain.without_staged(), None, "nothing is left to leave out");
    let packet = Packet {
        src: "10.0.0.1".parse().unwrap(),
        dst: "192.0.2.1".parse().unwrap(),
        protocol: Protocol::TCP,
        src_port: 1,
        dst_port: 1,
        icmp_type: 0,
        icmp_code: 0,
    };
    let id = EndpointId::pod("shop", "a");
    let bad = Names::new(["bad.org"]);
    let denied = whole.decide_named(&id, Direction::Egress, &packet, &bad);
    assert_eq!(denied.decision, bulkhead_types::Decision::Deny);
    for names in [&bad, &Names::default()] {
        assert_eq!(
            plain.decide_named(&id, Direction::Egress, &packet, names),
            whole.decide_named(&id, Direction::Egress, &packet, names)
        );
    }
    let staged = whole.decide_staged(&id, Direction::Egress, &packet, &Names::default());
    assert_eq!(staged.decision, bulkhead_types::Decision::Deny);
    assert_eq!(
        plain.decide_staged(&id, Direction::Egress, &packet, &Names::default()),
        plain.decide(&id, Direction::Egress, &packet)
    );
}
