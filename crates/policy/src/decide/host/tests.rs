//! Stages, fail-safe ports, profiles, settings and whole ways. Each denial beside its allow.

use bulkhead_api::Object;
use bulkhead_types::{
    Decision, Direction, EndpointId, HostStage, NO_NAMES, Packet, Protocol, RuleRef, Verdict,
};
use serde_json::{Value, json};

use crate::decide::World;
use crate::explain;

const IN: Direction = Direction::Ingress;
const OUT: Direction = Direction::Egress;

fn world(values: Vec<Value>) -> World {
    let objects: Vec<Object> = values
        .into_iter()
        .map(|v| Object::from_value(v.clone()).unwrap_or_else(|e| panic!("{e}: {v}")))
        .collect();
    World::from_objects(&objects)
}

fn mk(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": kind,
        "metadata": {"name": name, "labels": {"role": "host"}}, "spec": spec,
    })
}

/// All interfaces of node n1.
fn mk_host(spec: Value) -> Value {
    let mut whole = json!({"node": "n1", "interfaceName": "*", "expectedIPs": ["192.0.2.1"]});
    for (key, value) in spec.as_object().expect("fields") {
        whole[key] = value.clone();
    }
    mk("HostEndpoint", "h1", whole)
}

fn mk_gnp(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!("role == 'host'");
    mk("GlobalNetworkPolicy", name, spec)
}

fn mk_pod(name: &str, node: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    })
}

fn mk_node(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    })
}

fn tcp(src: &str, dst: &str, port: u16) -> Packet {
    Packet {
        src: src.parse().expect("address"),
        dst: dst.parse().expect("address"),
        protocol: Protocol::TCP,
        src_port: 40_000,
        dst_port: port,
        icmp_type: 0,
        icmp_code: 0,
    }
}

/// What h1 says of TCP from 198.51.100.9 to itself (or back) at port 8080.
fn said(objects: Vec<Value>, stage: HostStage, direction: Direction) -> Verdict {
    let packet = match direction {
        IN => tcp("198.51.100.9", "192.0.2.1", 8080),
        OUT => tcp("192.0.2.1", "198.51.100.9", 8080),
    };
    world(objects).decide_host(&EndpointId::host("h1"), stage, direction, &packet)
}

/// As what Log rule 0 of the policy `quiet` comes before.
fn after_quiet(expected: &str) -> String {
    let rule = "rule 0 (ingress) of GlobalNetworkPolicy quiet in tier default";
    format!("{expected}; logged by {rule}")
}

fn check(objects: Vec<Value>, stage: HostStage, direction: Direction, expected: &str) {
    let verdict = said(objects.clone(), stage, direction);
    assert_eq!(explain::verdict(&verdict), expected, "{stage} {direction} {objects:#?}");
}

const NO_PROFILE: &str = "denied: no tier decided, and no profile of the host endpoint either";
const NO_SAY: &str = "allowed on: no policy of this stage decided";

#[test]
fn a_host_endpoint_without_a_word_closes_the_host_and_lets_it_forward() {
    for direction in [IN, OUT] {
        check(vec![mk_host(json!({}))], HostStage::Normal, direction, NO_PROFILE);
        check(vec![mk_host(json!({}))], HostStage::Forward, direction, NO_SAY);
        check(vec![mk_host(json!({}))], HostStage::Untracked, direction, NO_SAY);
    }
    check(vec![mk_host(json!({}))], HostStage::PreDnat, IN, NO_SAY);
    let open = mk_host(json!({"profiles": ["projectcalico-default-allow"]}));
    let by_default = "allowed by profile projectcalico-default-allow: no tier decided";
    check(vec![open.clone()], HostStage::Normal, IN, by_default);
    check(vec![open], HostStage::Normal, OUT, by_default);
}

#[test]
fn profiles_decide_in_their_order_and_a_missing_one_denies() {
    let profile = |name: &str, rules: Value| mk("Profile", name, json!({"ingress": rules}));
    let host = |profiles: Value| mk_host(json!({"profiles": profiles}));
    let yes = || profile("yes", json!([{"action": "Allow"}]));
    let pass = || profile("pass", json!([{"action": "Pass"}]));
    let log = || profile("log", json!([{"action": "Log"}]));
    let by_log = format!("{NO_PROFILE}; logged by profile log");
    let cases = [
        (vec![host(json!(["yes"])), yes()], "allowed by profile yes: no tier decided"),
        (
            vec![host(json!(["pass", "yes"])), pass(), yes()],
            "denied by profile pass: no tier decided",
        ),
        (
            vec![host(json!(["log", "yes"])), log(), yes()],
            "allowed by profile yes: no tier decided; logged by profile log",
        ),
        (vec![host(json!(["gone", "yes"])), yes()], "denied by profile gone: no tier decided"),
        (vec![host(json!(["log"])), log()], &by_log),
    ];
    for (objects, expected) in cases {
        check(objects, HostStage::Normal, IN, expected);
    }
    let world = world(vec![host(json!(["gone"]))]);
    let [said] = world.diagnostics() else { panic!("{:?}", world.diagnostics()) };
    assert!(said.to_string().starts_with("spec.profiles[0]: there is no profile `gone`"), "{said}");
}

#[test]
fn profiles_lend_labels_own_ones_win_and_the_first_profile_beats_the_second() {
    let profile = |name: &str, labels: Value| mk("Profile", name, json!({"labelsToApply": labels}));
    let world = world(vec![
        mk_host(json!({"profiles": ["a", "b"]})),
        profile("a", json!({"role": "lent", "zone": "first", "projectcalico.org/namespace": "x"})),
        profile("b", json!({"zone": "second", "tier": "lent"})),
    ]);
    let host = world.host(&EndpointId::host("h1")).expect("the host");
    let labels = world.host_labels(host);
    let told: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(told, ["role=host", "tier=lent", "zone=first"]);
}

#[test]
fn only_the_end_of_a_normal_or_forward_tier_denies() {
    let quiet = |flags: Value| {
        let mut spec = flags;
        spec["ingress"] = json!([{"action": "Log"}]);
        vec![mk_host(json!({"profiles": ["projectcalico-default-allow"]})), mk_gnp("quiet", spec)]
    };
    let end = "denied at the end of tier default: its policies apply and no rule matched";
    let (end, silence) = (&after_quiet(end), &after_quiet(NO_SAY));
    check(quiet(json!({})), HostStage::Normal, IN, end);
    check(quiet(json!({})), HostStage::Forward, IN, NO_SAY);
    check(quiet(json!({"applyOnForward": true})), HostStage::Normal, IN, end);
    check(quiet(json!({"applyOnForward": true})), HostStage::Forward, IN, end);
    check(quiet(json!({"applyOnForward": true})), HostStage::Forward, OUT, NO_SAY);
    let early = |flag: &str| quiet(json!({flag: true, "applyOnForward": true}));
    check(early("doNotTrack"), HostStage::Untracked, IN, silence);
    check(early("preDNAT"), HostStage::PreDnat, IN, silence);
    check(
        early("preDNAT"),
        HostStage::Normal,
        IN,
        "allowed by profile projectcalico-default-allow: no tier decided",
    );
}

#[test]
fn policies_of_a_namespace_and_those_with_a_namespace_selector_miss_hosts() {
    let deny = json!([{"action": "Deny"}]);
    let host = || mk_host(json!({"profiles": ["projectcalico-default-allow"]}));
    let is_denied = |policy: Value| {
        said(vec![host(), policy], HostStage::Normal, IN).decision == Decision::Deny
    };
    assert!(is_denied(mk_gnp("p", json!({"ingress": deny}))));
    assert!(!is_denied(mk_gnp("p", json!({"namespaceSelector": "all()", "ingress": deny}))));
    let mut namespaced = mk("NetworkPolicy", "p", json!({"ingress": deny}));
    namespaced["metadata"]["namespace"] = json!("shop");
    assert!(!is_denied(namespaced));
}

#[test]
fn rules_see_hosts_by_their_addresses_and_only_global_reaches_them() {
    let peer = |source: Value| {
        vec![
            mk_host(json!({})),
            mk_pod("db", "n2", "10.0.0.1"),
            mk(
                "GlobalNetworkPolicy",
                "p",
                json!({
                    "selector": "app == 'db'", "ingress": [{"action": "Allow", "source": source}],
                }),
            ),
        ]
    };
    let packet = tcp("192.0.2.1", "10.0.0.1", 80);
    for (source, decision) in [
        (json!({"selector": "role == 'host'"}), Decision::Allow),
        (json!({"namespaceSelector": "global()"}), Decision::Allow),
        (json!({"namespaceSelector": "all()"}), Decision::Deny),
    ] {
        let verdict =
            world(peer(source.clone())).decide(&EndpointId::pod("shop", "db"), IN, &packet);
        assert_eq!(verdict.decision, decision, "{source}");
    }
}

#[test]
fn failsafe_ports_stay_open_and_can_be_narrowed_or_closed() {
    let deny =
        || mk_gnp("no", json!({"ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}]}));
    let ssh = |settings: Vec<(&str, Value)>| {
        let mut objects = vec![mk_host(json!({})), deny()];
        objects.extend(settings.into_iter().map(|(name, ports)| {
            mk("FelixConfiguration", name, json!({"failsafeInboundHostPorts": ports}))
        }));
        let packet = tcp("198.51.100.9", "192.0.2.1", 22);
        world(objects).decide_host(&EndpointId::host("h1"), HostStage::Normal, IN, &packet)
    };
    let port = |net: Value| json!([{"protocol": "tcp", "port": 22, "net": net}]);
    let failsafe = Verdict::allow(RuleRef::Failsafe);
    assert_eq!(ssh(vec![]), failsafe);
    assert_eq!(ssh(vec![("default", json!([]))]).decision, Decision::Deny);
    assert_eq!(ssh(vec![("default", port(json!("198.51.100.0/24")))]), failsafe);
    assert_eq!(ssh(vec![("default", port(json!("203.0.113.0/24")))]).decision, Decision::Deny);
    assert_eq!(ssh(vec![("default", json!([])), ("node.n1", port(json!(null)))]), failsafe);
    assert_eq!(
        ssh(vec![("default", json!([])), ("node.n2", port(json!(null)))]).decision,
        Decision::Deny
    );
}

#[test]
fn an_untracked_deny_spares_failsafe_ports_and_their_answers_and_forward_spares_none() {
    let deny = |flag: &str| {
        vec![
            mk_host(json!({})),
            mk_gnp(
                "no",
                json!({
                    flag: true, "applyOnForward": true,
                    "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}],
                }),
            ),
        ]
    };
    let host = EndpointId::host("h1");
    let untracked = world(deny("doNotTrack"));
    let mut answer = tcp("192.0.2.1", "198.51.100.9", 40_000);
    answer.src_port = 22;
    let decide =
        |packet: &Packet| untracked.decide_host(&host, HostStage::Untracked, OUT, packet).decision;
    assert_eq!(decide(&answer), Decision::Allow);
    answer.src_port = 23;
    assert_eq!(decide(&answer), Decision::Deny);
    let ssh = tcp("198.51.100.9", "203.0.113.7", 22);
    let forward = world(deny("applyOnForward"));
    let verdict = forward.decide_host(&host, HostStage::Forward, IN, &ssh);
    assert_eq!(verdict.decision, Decision::Deny);
}

// === ways ===

fn way(objects: &[Value], packet: &Packet) -> Vec<String> {
    let way = world(objects.to_vec()).way([None, None], packet, &NO_NAMES);
    let leg =
        |leg: &crate::decide::Leg| format!("{}: {}", leg.asked, explain::verdict(&leg.verdict));
    way.legs.iter().map(leg).collect()
}

fn two_nodes() -> Vec<Value> {
    vec![
        mk_node("n1", "192.0.2.1"),
        mk_node("n2", "192.0.2.2"),
        mk_pod("web", "n1", "10.0.1.1"),
        mk_pod("api", "n1", "10.0.1.2"),
        mk_pod("db", "n2", "10.0.2.1"),
    ]
}

#[test]
fn a_workload_reaches_its_own_host_as_the_settings_say() {
    let to_host = tcp("10.0.1.1", "192.0.2.1", 80);
    let said = |action: Option<&str>| {
        let mut objects = two_nodes();
        objects.push(mk_host(json!({})));
        if let Some(action) = action {
            let spec = json!({"defaultEndpointToHostAction": action});
            objects.push(mk("FelixConfiguration", "default", spec));
        }
        way(&objects, &to_host).pop().expect("a leg")
    };
    let by = "by defaultEndpointToHostAction: a workload speaks to its own host";
    assert_eq!(said(None), format!("node n1: denied {by}"));
    assert_eq!(said(Some("Drop")), format!("node n1: denied {by}"));
    assert_eq!(said(Some("Accept")), format!("node n1: allowed {by}"));
    assert_eq!(said(Some("Return")), format!("node n1: allowed {by}"));
    let other = way(&two_nodes(), &tcp("10.0.1.1", "192.0.2.2", 80));
    assert_eq!(other, ["shop/web egress: allowed by profile kns.shop: no tier decided"]);
}

#[test]
fn a_host_reaches_its_own_workloads_whatever_policies_say_and_no_others() {
    let mut objects = two_nodes();
    objects.push(mk_host(json!({})));
    objects.push(mk("GlobalNetworkPolicy", "no", json!({"ingress": [{"action": "Deny"}]})));
    assert_eq!(
        way(&objects, &tcp("192.0.2.1", "10.0.1.1", 80)),
        ["node n1: allowed: a host speaks to its own workload"]
    );
    assert_eq!(
        way(&objects, &tcp("192.0.2.1", "10.0.2.1", 80)),
        [
            "host/h1 untracked egress: allowed on: no policy of this stage decided",
            &format!("host/h1 normal egress: {NO_PROFILE}"),
            "shop/db ingress: denied by rule 0 (ingress) of GlobalNetworkPolicy no in tier default",
        ]
    );
}

#[test]
fn what_a_host_forwards_meets_its_forward_policies_and_its_neighbours_do_not() {
    let mut objects = two_nodes();
    objects.push(mk_host(json!({})));
    objects.push(mk_gnp(
        "no",
        json!({
            "applyOnForward": true,
            "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}],
        }),
    ));
    let profile = "allowed by profile kns.shop: no tier decided";
    let denied = |direction: &str| {
        format!("denied by rule 0 ({direction}) of GlobalNetworkPolicy no in tier default")
    };
    assert_eq!(
        way(&objects, &tcp("10.0.1.1", "10.0.2.1", 80)),
        [
            format!("shop/web egress: {profile}"),
            format!("host/h1 forward egress: {}", denied("egress")),
            format!("shop/db ingress: {profile}"),
        ]
    );
    assert_eq!(
        way(&objects, &tcp("198.51.100.9", "10.0.1.1", 80)),
        [
            format!("host/h1 untracked ingress: {NO_SAY}"),
            format!("host/h1 preDNAT ingress: {NO_SAY}"),
            format!("host/h1 forward ingress: {}", denied("ingress")),
        ]
    );
    assert_eq!(
        way(&objects, &tcp("10.0.1.1", "10.0.1.2", 80)),
        [format!("shop/web egress: {profile}"), format!("shop/api ingress: {profile}")]
    );
}

#[test]
fn an_early_allow_skips_the_rest_of_the_host_and_nothing_of_the_workload() {
    let with = |flag: &str| {
        let mut objects = two_nodes();
        objects.push(mk_host(json!({})));
        objects
            .push(mk_gnp("no", json!({"applyOnForward": true, "ingress": [{"action": "Deny"}]})));
        objects.push(mk_gnp(
            "hole",
            json!({
                flag: true, "applyOnForward": true,
                "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}],
            }),
        ));
        objects
    };
    for (flag, n_legs) in [("doNotTrack", 1), ("preDNAT", 2)] {
        let is_allowed = |port| {
            let packet = tcp("198.51.100.9", "192.0.2.1", port);
            world(with(flag)).way([None, None], &packet, &NO_NAMES).is_allowed()
        };
        assert!(is_allowed(80) && !is_allowed(81), "{flag}");
        let to_host = way(&with(flag), &tcp("198.51.100.9", "192.0.2.1", 80));
        assert_eq!(to_host.len(), n_legs, "{to_host:?}");
        let to_pod = way(&with(flag), &tcp("198.51.100.9", "10.0.1.1", 80));
        assert_eq!(to_pod.len(), n_legs + 1, "{to_pod:?}");
        assert!(to_pod[n_legs].starts_with("shop/web ingress: allowed"), "{to_pod:?}");
    }
}

#[test]
fn every_node_gets_its_automatic_host_endpoint_when_asked_for() {
    let auto = |switch: &str, templates: Value| {
        let mut objects = two_nodes();
        objects.push(mk(
            "KubeControllersConfiguration",
            "default",
            json!({"controllers": {"node": {
                "hostEndpoint": {"autoCreate": switch, "templates": templates},
            }}}),
        ));
        world(objects)
    };
    let names =
        |world: &World| -> Vec<String> { world.hosts().map(|host| host.id.to_string()).collect() };
    assert!(names(&auto("Disabled", json!([]))).is_empty());
    let made = auto("Enabled", json!([]));
    assert_eq!(names(&made), ["host/n1-auto-hep", "host/n2-auto-hep"]);
    let host = made.host(&EndpointId::host("n1-auto-hep")).expect("made");
    assert_eq!(host.addresses, ["192.0.2.1".parse::<std::net::IpAddr>().expect("address")]);
    assert_eq!(host.labels["zone"], "a");
    assert_eq!(host.labels["projectcalico.org/created-by"], "calico-kube-controllers");
    let packet = tcp("198.51.100.9", "192.0.2.1", 8080);
    let way = made.way([None, None], &packet, &NO_NAMES);
    let allowed = "allowed by profile projectcalico-default-allow: no tier decided";
    assert_eq!(explain::verdict(&way.word(IN).expect("a word").verdict), allowed);
    let one = json!([{"generateName": "inner", "interfaceCIDRs": ["192.0.2.2/32"]}]);
    assert_eq!(
        names(&auto("Enabled", one)),
        ["host/n1-auto-hep", "host/n2-auto-hep", "host/n2-inner"]
    );
}
