//! The cells: one short text from one object.

use serde_json::Value;

const NONE: &str = "<none>";
const ITEMS_SHOWN_MAX: usize = 3;

fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    object.pointer(pointer).filter(|value| !value.is_null())
}

fn text(object: &Value, pointer: &str) -> Value {
    match at(object, pointer) {
        Some(Value::String(text)) if !text.is_empty() => Value::from(text.as_str()),
        _ => Value::from(NONE),
    }
}

fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// `a,b,c + 4 more...`
fn listed(mut words: Vec<String>, shown_max: usize) -> Value {
    if words.is_empty() {
        return Value::from(NONE);
    }
    let more = words.len().saturating_sub(shown_max);
    words.truncate(shown_max);
    let mut text = words.join(",");
    if more > 0 {
        text.push_str(&format!(" + {more} more..."));
    }
    Value::from(text)
}

fn strings(object: &Value, pointer: &str) -> Vec<String> {
    let items = items(object, pointer).iter();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn pairs(object: &Value, pointer: &str) -> Vec<String> {
    let map = at(object, pointer).and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> =
        map.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    pairs
}

pub(super) fn labels(object: &Value) -> Value {
    listed(pairs(object, "/metadata/labels"), usize::MAX)
}

pub(super) fn node_name(object: &Value) -> Value {
    text(object, "/spec/nodeName")
}

pub(super) fn phase(object: &Value) -> Value {
    if at(object, "/metadata/deletionTimestamp").is_some() {
        return Value::from("Terminating");
    }
    text(object, "/status/phase")
}

// Pods

pub(super) fn pod_ready(object: &Value) -> Value {
    let all = items(object, "/spec/containers").len();
    let ready = items(object, "/status/containerStatuses").iter();
    let ready = ready.filter(|status| status.get("ready") == Some(&Value::Bool(true))).count();
    Value::from(format!("{ready}/{all}"))
}

pub(super) fn pod_status(object: &Value) -> Value {
    match at(object, "/status/reason") {
        Some(reason) => reason.clone(),
        None => phase(object),
    }
}

pub(super) fn pod_addresses(object: &Value) -> Value {
    let ips = items(object, "/status/podIPs").iter();
    let mut words: Vec<String> =
        ips.filter_map(|entry| entry.get("ip")?.as_str().map(str::to_owned)).collect();
    if let (true, Some(ip)) =
        (words.is_empty(), at(object, "/status/podIP").and_then(Value::as_str))
    {
        words.push(ip.to_owned());
    }
    words.retain(|word| !word.is_empty());
    listed(words, ITEMS_SHOWN_MAX)
}

pub(super) fn service_account(object: &Value) -> Value {
    text(object, "/spec/serviceAccountName")
}

// Services and endpoint slices

pub(super) fn service_type(object: &Value) -> Value {
    text(object, "/spec/type")
}

pub(super) fn cluster_ip(object: &Value) -> Value {
    text(object, "/spec/clusterIP")
}

pub(super) fn external_ips(object: &Value) -> Value {
    listed(strings(object, "/spec/externalIPs"), ITEMS_SHOWN_MAX)
}

pub(super) fn service_ports(object: &Value) -> Value {
    let port = |port: &Value| {
        let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        match port.get("nodePort").and_then(Value::as_i64) {
            Some(node) => format!("{number}:{node}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    };
    listed(items(object, "/spec/ports").iter().map(port).collect(), usize::MAX)
}

pub(super) fn service_selector(object: &Value) -> Value {
    listed(pairs(object, "/spec/selector"), usize::MAX)
}

pub(super) fn address_type(object: &Value) -> Value {
    text(object, "/addressType")
}

pub(super) fn slice_ports(object: &Value) -> Value {
    let numbers = items(object, "/ports").iter().filter_map(|port| port.get("port")?.as_i64());
    listed(numbers.map(|number| number.to_string()).collect(), ITEMS_SHOWN_MAX)
}

pub(super) fn slice_endpoints(object: &Value) -> Value {
    let endpoints = items(object, "/endpoints").iter();
    listed(
        endpoints.flat_map(|endpoint| strings(endpoint, "/addresses")).collect(),
        ITEMS_SHOWN_MAX,
    )
}

// Nodes

/// By the condition Ready, which the server keeps from the agent's connection.
pub(super) fn node_status(object: &Value) -> Value {
    let conditions = items(object, "/status/conditions").iter();
    let ready = conditions.rev().find(|condition| condition.get("type") == Some(&"Ready".into()));
    let word = match ready.and_then(|condition| condition.get("status")?.as_str()) {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    };
    let cordoned = at(object, "/spec/unschedulable") == Some(&Value::Bool(true));
    Value::from(if cordoned { format!("{word},SchedulingDisabled") } else { word.to_owned() })
}

pub(super) fn node_version(object: &Value) -> Value {
    text(object, "/status/nodeInfo/kubeletVersion")
}

pub(super) fn node_kernel(object: &Value) -> Value {
    text(object, "/status/nodeInfo/kernelVersion")
}

pub(super) fn node_address(object: &Value) -> Value {
    let internal = items(object, "/status/addresses").iter();
    let internal = internal.filter(|entry| entry.get("type") == Some(&"InternalIP".into()));
    let words = internal.filter_map(|entry| entry.get("address")?.as_str().map(str::to_owned));
    listed(words.collect(), ITEMS_SHOWN_MAX)
}

// Policies

pub(super) fn enforced(object: &Value) -> Value {
    let number = |field| at(object, field).and_then(Value::as_i64);
    let nodes = number("/status/enforcement/nodes");
    match (nodes, number("/status/enforcement/of")) {
        (Some(nodes), Some(of)) => Value::from(format!("{nodes}/{of}")),
        _ => Value::from("<pending>"),
    }
}

pub(super) fn tier(object: &Value) -> Value {
    text(object, "/spec/tier")
}

pub(super) fn default_action(object: &Value) -> Value {
    text(object, "/spec/defaultAction")
}

/// A missing order is the last one.
pub(super) fn order(object: &Value) -> Value {
    match at(object, "/spec/order").and_then(Value::as_f64) {
        Some(order) => Value::from(order.to_string()),
        None => Value::from("<last>"),
    }
}

pub(super) fn selector(object: &Value) -> Value {
    let part = |key: &str| at(object, &format!("/spec/{key}")).and_then(Value::as_str);
    let mut words = Vec::new();
    for (key, label) in [
        ("selector", ""),
        ("namespaceSelector", "namespace: "),
        ("serviceAccountSelector", "service account: "),
    ] {
        if let Some(text) = part(key).filter(|text| !text.trim().is_empty()) {
            words.push(format!("{label}{text}"));
        }
    }
    if words.is_empty() {
        words.push("all()".to_owned());
    }
    Value::from(words.join("; "))
}

pub(super) fn types(object: &Value) -> Value {
    listed(strings(object, "/spec/types"), ITEMS_SHOWN_MAX)
}

pub(super) fn policy_types(object: &Value) -> Value {
    listed(strings(object, "/spec/policyTypes"), ITEMS_SHOWN_MAX)
}

pub(super) fn rule_counts(object: &Value) -> Value {
    let count = |rules: &str| items(object, rules).len();
    Value::from(format!("{} in, {} out", count("/spec/ingress"), count("/spec/egress")))
}

/// `a=b,c in (d,e)`, as kubectl writes it.
pub(super) fn pod_selector(object: &Value) -> Value {
    let mut words = pairs(object, "/spec/podSelector/matchLabels");
    for expression in items(object, "/spec/podSelector/matchExpressions") {
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        let values = strings(expression, "/values").join(",");
        words.push(match expression.get("operator").and_then(Value::as_str) {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    listed(words, usize::MAX)
}

pub(super) fn priority(object: &Value) -> Value {
    match at(object, "/spec/priority").and_then(Value::as_i64) {
        Some(priority) => Value::from(priority.to_string()),
        None => Value::from("<none>"),
    }
}

/// Set when unset.
pub(super) fn staged_action(object: &Value) -> Value {
    Value::from(at(object, "/spec/stagedAction").and_then(Value::as_str).unwrap_or("Set"))
}

// Hosts

pub(super) fn host_node(object: &Value) -> Value {
    text(object, "/spec/node")
}

pub(super) fn interface_name(object: &Value) -> Value {
    text(object, "/spec/interfaceName")
}

pub(super) fn expected_ips(object: &Value) -> Value {
    listed(strings(object, "/spec/expectedIPs"), ITEMS_SHOWN_MAX)
}

pub(super) fn profiles(object: &Value) -> Value {
    listed(strings(object, "/spec/profiles"), ITEMS_SHOWN_MAX)
}

// Network sets and workloads

pub(super) fn net_count(object: &Value) -> Value {
    Value::from(items(object, "/spec/nets").len().to_string())
}

pub(super) fn nets(object: &Value) -> Value {
    listed(strings(object, "/spec/nets"), ITEMS_SHOWN_MAX)
}

pub(super) fn workload_addresses(object: &Value) -> Value {
    listed(strings(object, "/spec/addresses"), ITEMS_SHOWN_MAX)
}

pub(super) fn workload_ports(object: &Value) -> Value {
    let port = |port: &Value| {
        let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
        format!("{number}/{}", port.get("protocol").and_then(Value::as_str).unwrap_or("TCP"))
    };
    listed(items(object, "/spec/ports").iter().map(port).collect(), ITEMS_SHOWN_MAX)
}

pub(super) fn interface(object: &Value) -> Value {
    text(object, "/spec/interface")
}
