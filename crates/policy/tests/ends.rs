//! An endpoint that is on no node: nobody enforces its own rules, others know it by its labels.
//! A host: what it lets in, out and through is not computed, and said to be so.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail by panic")]

use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_policy::reach::{End, Matrix, Pods, Reach, Unenforced};
use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_types::{Decision, Direction, EndpointId, Packet, Protocol};
use serde_json::{Value, json};

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn pod(name: &str, node: Option<&str>, address: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    }))
}

/// Both ways only with `web`; nothing at all for the two that stand nowhere, if anybody asked.
fn policies() -> Vec<Object> {
    let policy = |name: &str, selector: &str, spec: Value| {
        let mut spec = spec;
        spec["selector"] = json!(selector);
        object(json!({
            "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
        }))
    };
    let web = "app == 'web'";
    vec![
        policy(
            "db",
            "app == 'db'",
            json!({"types": ["Ingress", "Egress"],
                "ingress": [{"action": "Allow", "protocol": "TCP", "source": {"selector": web},
                    "destination": {"ports": [5432]}}],
                "egress": [{"action": "Allow", "protocol": "TCP", "destination": {"selector": web,
                    "ports": [80]}}]}),
        ),
        policy("shut", "app in {'web', 'snoop'}", json!({"types": ["Ingress", "Egress"]})),
    ]
}

fn world(web: Option<&str>) -> Vec<Object> {
    let pods = [
        pod("db", Some("n1"), "10.0.0.1"),
        pod("web", web, "10.0.0.2"),
        pod("snoop", None, "10.0.0.3"),
    ];
    pods.into_iter().chain(policies()).collect()
}

fn matrix(reach: &mut Reach) -> Matrix {
    reach.matrix(EndpointId::to_string, None)
}

/// What the one may do with the other, in words; empty: nothing.
fn between(matrix: &Matrix, src: &str, dst: &str) -> String {
    let is = |end: &End, name: &str| end.to_string() == name;
    let found = matrix.connections.iter().filter(|c| is(&c.src, src) && is(&c.dst, dst));
    found.map(|connection| connection.allowed.in_short()).collect::<Vec<_>>().join("; ")
}

fn packet(src: &str, dst: &str, dst_port: u16) -> Packet {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    Packet {
        src: ip(src),
        dst: ip(dst),
        protocol: Protocol::TCP,
        src_port: 40_000,
        dst_port,
        icmp_type: 0,
        icmp_code: 0,
    }
}

fn engine(objects: Vec<Object>) -> Engine {
    let mut engine = Engine::new();
    engine.watch();
    objects.into_iter().for_each(|object| engine.apply(Event::Upsert(object)));
    engine.take_changes();
    engine.take_watched();
    engine
}

#[test]
fn others_tell_it_by_its_labels_and_nobody_asks_its_own_rules() {
    let objects = world(None);
    let oracle = Oracle::from_objects(&objects);
    let engine = engine(objects);
    let matrix = matrix(&mut Reach::of(&engine));
    assert_eq!(between(&matrix, "shop/web", "shop/db"), "TCP 5432");
    assert_eq!(between(&matrix, "shop/snoop", "shop/db"), "");
    assert_eq!(between(&matrix, "shop/db", "shop/web"), "TCP 80");
    assert_eq!(between(&matrix, "shop/db", "shop/snoop"), "");
    assert_eq!(between(&matrix, "shop/snoop", "shop/web"), "everything", "nobody is in between");

    let db = EndpointId::pod("shop", "db");
    let says = |direction, packet| oracle.decide(&db, direction, &packet).decision;
    let (web, snoop) = ("10.0.0.2", "10.0.0.3");
    assert_eq!(says(Direction::Ingress, packet(web, "10.0.0.1", 5432)), Decision::Allow);
    assert_eq!(says(Direction::Ingress, packet(snoop, "10.0.0.1", 5432)), Decision::Deny);
    assert_eq!(says(Direction::Egress, packet("10.0.0.1", web, 80)), Decision::Allow);
    assert_eq!(says(Direction::Egress, packet("10.0.0.1", snoop, 80)), Decision::Deny);
}

#[test]
fn it_is_marked_and_never_outside() {
    let engine = engine(world(None));
    let mut reach = Reach::of(&engine);
    let matrix = matrix(&mut reach);
    let marked = |name: &str| Unenforced { workload: name.into(), pods: Pods::All };
    assert_eq!(matrix.unenforced, [marked("shop/snoop"), marked("shop/web")]);
    let report = matrix.report();
    let told = report.unenforced.first().unwrap();
    assert_eq!(told.because, "no node: its own rules are not enforced");
    // `db` lets web in and nobody else, so no address outside may come to it.
    let from_outside = matrix.connections.iter().filter(|connection| {
        matches!(connection.src, End::Outside(_)) && connection.dst.to_string() == "shop/db"
    });
    assert_eq!(from_outside.count(), 0);
    let to_outside = matrix.connections.iter().filter(|connection| {
        matches!(connection.dst, End::Outside(_)) && connection.src.to_string() == "shop/db"
    });
    assert_eq!(to_outside.count(), 0);
    assert!(reach.taken().contains(&"10.0.0.2".parse::<IpAddr>().unwrap()));
}

#[test]
fn some_pods_of_a_workload_are_told_apart() {
    let mut objects = world(None);
    objects.push(pod("web-2", Some("n2"), "10.0.0.4"));
    let engine = engine(objects);
    let name = |id: &EndpointId| id.to_string().trim_end_matches("-2").to_owned();
    let matrix = Reach::of(&engine).matrix(name, None);
    let web = matrix.unenforced.iter().find(|marked| &*marked.workload == "shop/web");
    assert_eq!(web.map(|marked| marked.pods), Some(Pods::Some));
}

#[test]
fn once_it_is_placed_its_own_rules_count_and_the_change_is_told() {
    let mut engine = engine(world(None));
    let mut reach = Reach::of(&engine);
    let mut step = |event: Event| {
        engine.apply(event);
        engine.take_changes();
        let watched = engine.take_watched();
        let change = reach.follow(&engine, &watched);
        (matrix(&mut reach), change.altered.len())
    };
    let (placed, n_altered) = step(Event::Upsert(pod("web", Some("n2"), "10.0.0.2")));
    assert_eq!(between(&placed, "shop/web", "shop/db"), "", "its own policy allows nothing");
    assert_eq!(between(&placed, "shop/db", "shop/web"), "");
    assert_eq!(placed.unenforced.len(), 1);
    assert!(n_altered > 0);

    let (again, _) = step(Event::Upsert(pod("web", None, "10.0.0.2")));
    assert_eq!(between(&again, "shop/web", "shop/db"), "TCP 5432");
    assert_eq!(again.unenforced.len(), 2);

    let (without, n_altered) = step(Event::Delete(pod("web", None, "10.0.0.2").key()));
    assert_eq!(between(&without, "shop/web", "shop/db"), "");
    assert_eq!(without.unenforced.len(), 1);
    assert!(n_altered > 0, "what it could do is told to be gone");
}

fn host(address: &str) -> Object {
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": "gate", "labels": {"app": "web"}},
        "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": [address]},
    }))
}

/// Lets in a pair of addresses of which a host may have one.
fn pair_of_addresses() -> Vec<Object> {
    let policy = object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "pair", "namespace": "shop"},
        "spec": {"types": ["Ingress"], "ingress": [
            {"action": "Allow", "source": {"nets": ["192.0.2.8/31"]}}]},
    }));
    vec![pod("db", Some("n1"), "10.0.0.1"), policy]
}

#[test]
fn a_host_is_named_as_not_computed_and_its_address_is_not_outside() {
    let ranges = |matrix: &Matrix| {
        let to_db = matrix.connections.iter().filter(|c| c.dst.to_string() == "shop/db");
        to_db.map(|connection| connection.src.to_string()).collect::<Vec<_>>()
    };
    let mut engine = engine(pair_of_addresses());
    let mut reach = Reach::of(&engine);
    let without = matrix(&mut reach);
    assert_eq!(ranges(&without), ["192.0.2.8-192.0.2.9"]);
    assert!(without.not_computed.is_empty() && without.report().not_computed.is_empty());

    let mut step = |event: Event| {
        engine.apply(event);
        engine.take_changes();
        let watched = engine.take_watched();
        reach.follow(&engine, &watched);
        matrix(&mut reach)
    };
    let with = step(Event::Upsert(host("192.0.2.9")));
    assert_eq!(ranges(&with), ["192.0.2.8"]);
    let told = with.report().not_computed;
    assert_eq!(told.iter().map(|told| told.end.as_str()).collect::<Vec<_>>(), ["host/gate"]);
    let moved = step(Event::Upsert(host("192.0.2.8")));
    assert_eq!(ranges(&moved), ["192.0.2.9"]);
    let gone = step(Event::Delete(host("192.0.2.8").key()));
    assert_eq!(gone, without);
}
