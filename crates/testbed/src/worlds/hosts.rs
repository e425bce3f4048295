//! Host endpoints, profiles, node settings, and global policies for every stage.

use bulkhead_api::Object;
use rand::Rng;
use serde_json::{Value, json};

use super::Shape;
use super::inventory::object;
use super::policies;
use super::words::{PORT_NAMES, PORTS, labels, pick};

const PROFILES: [&str; 4] = ["open", "half", "shut", "projectcalico-default-allow"];
const ADDRESSES: [&str; 5] = ["192.0.2.1", "192.0.2.2", "10.0.0.3", "fd00::3", "2001:db8::7"];

pub fn add(rng: &mut impl Rng, shape: Shape, objects: &mut Vec<Object>) {
    objects.retain(|object| !matches!(object, Object::Node(_)));
    for index in 0..shape.nodes {
        objects.push(node(rng, index));
    }
    for index in 0..shape.hosts {
        objects.push(host(rng, shape, index));
        objects.push(staged_policy(rng, shape, index));
        objects.push(staged_policy(rng, shape, shape.hosts + index));
    }
    for name in ["open", "half"] {
        objects.push(profile(rng, shape, name));
    }
    if rng.random_bool(0.5) {
        objects.push(settings(rng));
    }
    if rng.random_bool(0.5) {
        objects.push(controllers(rng));
    }
}

/// Anything of the above, new or in the place of an old one.
pub fn change(rng: &mut impl Rng, shape: Shape) -> Object {
    match rng.random_range(0..8) {
        0 => {
            let index = rng.random_range(0..shape.nodes.max(1));
            node(rng, index)
        }
        1 | 2 => {
            let index = rng.random_range(0..=shape.hosts);
            host(rng, shape, index)
        }
        3 | 4 => {
            let index = rng.random_range(0..=2 * shape.hosts);
            staged_policy(rng, shape, index)
        }
        5 => {
            let name = *pick(rng, &PROFILES);
            profile(rng, shape, name)
        }
        6 => settings(rng),
        _ => controllers(rng),
    }
}

fn mk(kind: &str, name: &str, labels: Value, spec: Value) -> Object {
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": kind,
        "metadata": {"name": name, "labels": labels}, "spec": spec,
    }))
}

fn node(rng: &mut impl Rng, index: usize) -> Object {
    let address = json!({"type": "InternalIP", "address": pick(rng, &ADDRESSES)});
    object(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{index}"), "labels": labels(rng)},
        "status": {"addresses": [address, {"type": "Hostname", "address": "here"}]},
    }))
}

fn host(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    let mut spec = json!({
        "node": format!("node-{}", rng.random_range(0..shape.nodes.max(1))),
        "interfaceName": pick(rng, &["*", "*", "eth0", ""]),
        "expectedIPs": [pick(rng, &ADDRESSES)],
    });
    if rng.random_bool(0.2) {
        spec["expectedIPs"] = json!([]);
    }
    let n_profiles = rng.random_range(0..=2);
    spec["profiles"] = (0..n_profiles).map(|_| json!(pick(rng, &PROFILES))).collect();
    if rng.random_bool(0.5) {
        let protocol = pick(rng, &["TCP", "UDP"]);
        let port = pick(rng, &PORTS);
        let name = pick(rng, &PORT_NAMES);
        spec["ports"] = json!([{"name": name, "protocol": protocol, "port": port}]);
    }
    if shape.broken && rng.random_bool(0.05) {
        spec["node"] = json!("");
    }
    mk("HostEndpoint", &format!("host-{index}"), labels(rng), spec)
}

fn profile(rng: &mut impl Rng, shape: Shape, name: &str) -> Object {
    let mut rules = |direction| -> Vec<Value> {
        (0..rng.random_range(0..=2)).map(|_| policies::rule(rng, shape, direction)).collect()
    };
    let (ingress, egress) = (rules("ingress"), rules("egress"));
    let lent = labels(rng);
    let spec = json!({"ingress": ingress, "egress": egress, "labelsToApply": lent});
    mk("Profile", name, json!({}), spec)
}

fn settings(rng: &mut impl Rng) -> Object {
    let name = *pick(rng, &["default", "default", "node.node-0", "node.node-1"]);
    let mut ports = || -> Value {
        let one = |rng: &mut _| {
            let net = pick(rng, &[None, Some("10.0.0.0/8"), Some("192.0.2.2/32")]);
            json!({"protocol": "tcp", "port": pick(rng, &PORTS), "net": net})
        };
        (0..rng.random_range(0..=2)).map(|_| one(rng)).collect()
    };
    let (inbound, outbound) = (ports(), ports());
    let action = pick(rng, &["Drop", "Accept", "Return"]);
    let spec = json!({
        "failsafeInboundHostPorts": inbound, "failsafeOutboundHostPorts": outbound,
        "defaultEndpointToHostAction": action,
    });
    mk("FelixConfiguration", name, json!({}), spec)
}

fn controllers(rng: &mut impl Rng) -> Object {
    let host_endpoint = json!({
        "autoCreate": pick(rng, &["Enabled", "Enabled", "Disabled"]),
        "createDefaultHostEndpoint": pick(rng, &["Enabled", "Disabled"]),
        "templates": [{
            "generateName": "inner", "interfaceCIDRs": ["192.0.2.0/24"], "labels": labels(rng),
        }],
    });
    let spec = json!({"controllers": {"node": {"hostEndpoint": host_endpoint}}});
    mk("KubeControllersConfiguration", "default", json!({}), spec)
}

/// A global policy for one of the stages.
fn staged_policy(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    let both: &[&str] = if shape.broken { &["preDNAT", "doNotTrack"] } else { &[] };
    let choices: [&[&str]; 6] = [
        &[],
        &["applyOnForward"],
        &["applyOnForward"],
        &["doNotTrack", "applyOnForward"],
        &["preDNAT", "applyOnForward"],
        both,
    ];
    let flags = *pick(rng, &choices);
    let mut rules = |direction| -> Vec<Value> {
        (0..rng.random_range(0..=3)).map(|_| policies::rule(rng, shape, direction)).collect()
    };
    let (ingress, egress) = (rules("ingress"), rules("egress"));
    let mut spec = json!({
        "order": rng.random_range(0..3),
        "tier": pick(rng, &["default", "early", "lax"]),
        "ingress": ingress,
    });
    let is_broken = shape.broken && rng.random_bool(0.1);
    if !flags.contains(&"preDNAT") || is_broken {
        spec["egress"] = json!(egress);
        spec["types"] = json!(["Ingress", "Egress"]);
    }
    for flag in flags {
        spec[*flag] = json!(true);
    }
    if rng.random_bool(0.5) {
        spec["selector"] = json!(super::words::selector(rng, 1));
    }
    mk("GlobalNetworkPolicy", &format!("at-hosts-{index}"), json!({}), spec)
}
