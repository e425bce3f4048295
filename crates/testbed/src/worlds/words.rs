//! The vocabulary.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

pub const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
pub const ACCOUNTS: [&str; 3] = ["default", "robot", "human"];
pub const TIERS: [&str; 5] = ["default", "default", "early", "lax", "ghost"];
pub const PORT_NAMES: [&str; 3] = ["http", "dns", "metrics"];
pub const PORTS: [u16; 8] = [1, 53, 80, 443, 8000, 8010, 8080, 65535];
pub const SERVICES: [&str; 2] = ["front", "back"];
pub const DOMAINS: [&str; 4] = ["example.com", "*.example.com", "api.example.com", "*.com"];
/// Moments at which policies end; see [`super::MOMENTS`].
pub const ENDS: [&str; 2] = ["2030-01-01T00:00:00Z", "2031-01-01T02:00:00+02:00"];
pub const NETS_V4: [&str; 12] = [
    "10.0.0.0/8",
    "10.0.0.0/30",
    "10.0.0.4/31",
    "10.0.0.2/32",
    "10.0.0.0/24",
    "10.0.1.0/24",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "0.0.0.0/0",
    "203.0.113.0/24",
    "203.0.113.7",
    "198.51.100.16/28",
];
pub const NETS_V6: [&str; 6] =
    ["fd00::/64", "fd00::4/126", "fd00::2/128", "::/0", "2001:db8::/32", "2001:db8::7"];

pub fn pick<'a, T>(rng: &mut impl Rng, from: &'a [T]) -> &'a T {
    from.choose(rng).expect("vocabulary lists are not empty")
}

pub fn labels(rng: &mut impl Rng) -> Value {
    let mut labels = Map::new();
    for (key, values) in LABELS {
        if rng.random_bool(0.6) {
            labels.insert(key.to_owned(), json!(pick(rng, &values)));
        }
    }
    Value::Object(labels)
}

pub const LABELS: [(&str, [&str; 3]); 3] = [
    ("app", ["web", "api", "db"]),
    ("tier", ["front", "back", "front-end"]),
    ("env", ["prod", "test", "dev"]),
];

/// A selector over own labels, by `nested` more levels at most.
pub fn selector(rng: &mut impl Rng, nested: u32) -> String {
    let (key, values) = pick(rng, &LABELS);
    let value = pick(rng, values);
    let other = pick(rng, values);
    match rng.random_range(0..if nested > 0 { 13 } else { 10 }) {
        0..=2 => format!("{key} == '{value}'"),
        3 => format!("{key} != '{value}'"),
        4 => format!("has({key})"),
        5 => format!("!has({key})"),
        6 => format!("{key} in {{'{value}', '{other}'}}"),
        7 => format!("{key} not in {{'{value}'}}"),
        8 => format!("{key} starts with 'fron'"),
        9 => "all()".to_owned(),
        10 => format!("({}) && ({})", selector(rng, nested - 1), selector(rng, nested - 1)),
        11 => format!("({}) || ({})", selector(rng, nested - 1), selector(rng, nested - 1)),
        _ => format!("!({})", selector(rng, nested - 1)),
    }
}

/// A Kubernetes label selector.
pub fn label_selector(rng: &mut impl Rng) -> Value {
    let (key, values) = pick(rng, &LABELS);
    let value = pick(rng, values);
    match rng.random_range(0..6) {
        0 => json!({}),
        1 | 2 => json!({"matchLabels": {*key: value}}),
        3 => {
            json!({"matchExpressions": [{"key": key, "operator": "In", "values": [value, values[0]]}]})
        }
        4 => json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}),
        _ => {
            let operator = pick(rng, &["Exists", "DoesNotExist"]);
            json!({"matchExpressions": [{"key": key, "operator": operator}]})
        }
    }
}

/// One to three nets of one family.
pub fn nets(rng: &mut impl Rng, v6: bool) -> Vec<&'static str> {
    let from: &[&str] = if v6 { &NETS_V6 } else { &NETS_V4 };
    (0..rng.random_range(1..=3)).map(|_| *pick(rng, from)).collect()
}

/// Sometimes an end.
pub fn expires(rng: &mut impl Rng, spec: &mut Value) {
    if rng.random_bool(0.12) {
        spec["expires"] = json!(pick(rng, &ENDS));
    }
}
