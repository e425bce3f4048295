//! Seeded objects, typed, one at a time.

use std::collections::BTreeMap;

use bulkhead_api::Object;
use bulkhead_api::calico::{self, GlobalNetworkPolicy, GlobalPolicySpec, PolicySpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Namespace, Node, Pod, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The same number for the same inputs; looks random.
pub fn roll(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn namespace(name: &str, own: &[(&str, &str)]) -> Object {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels(own)),
        ..ObjectMeta::default()
    };
    Object::Namespace(Box::new(Namespace { metadata, ..Namespace::default() }))
}

pub fn node(name: &str) -> Object {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Object::Node(Box::new(Node { metadata, ..Node::default() }))
}

/// A pod as the API server gives it, with one container, one named port and one address.
pub fn pod(
    namespace: &str,
    name: &str,
    labels: BTreeMap<String, String>,
    node: &str,
    address: u32,
) -> Object {
    let container = Container {
        name: "main".to_owned(),
        image: Some("registry.example/app:1".to_owned()),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: 8080,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        ..Container::default()
    };
    let ip = std::net::Ipv4Addr::from(address).to_string();
    Object::Pod(Box::new(Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some(node.to_owned()),
            service_account_name: Some("default".to_owned()),
            containers: vec![container],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            pod_ip: Some(ip.clone()),
            pod_ips: Some(vec![PodIP { ip }]),
            ..PodStatus::default()
        }),
    }))
}

/// Allows TCP to `port` from `peer`, for whoever `subject` selects.
pub fn global_policy(name: &str, subject: String, peer: String, port: i32) -> Object {
    let rule = calico::Rule {
        action: calico::Action::Allow,
        protocol: Some(IntOrString::String("TCP".to_owned())),
        source: Some(calico::EntityRule { selector: Some(peer), ..Default::default() }),
        destination: Some(calico::EntityRule {
            ports: Some(vec![IntOrString::Int(port)]),
            ..Default::default()
        }),
        ..rule()
    };
    let common = PolicySpec {
        selector: Some(subject),
        types: Some(vec![calico::PolicyType::Ingress]),
        ingress: Some(vec![rule]),
        ..PolicySpec::default()
    };
    Object::GlobalNetworkPolicy(Box::new(GlobalNetworkPolicy {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: GlobalPolicySpec { common, ..GlobalPolicySpec::default() },
    }))
}

fn rule() -> calico::Rule {
    let written = serde_json::json!({"action": "Allow"});
    serde_json::from_value(written).expect("a rule needs no more than an action")
}

/// What a Kubernetes policy lets in or out.
pub struct Flow<'a> {
    pub peer: &'a [(&'a str, &'a str)],
    /// Also of other namespaces, those with this label.
    pub namespaces: Option<&'a [(&'a str, &'a str)]>,
    pub protocol: &'a str,
    pub port: i32,
}

/// `None`: the direction is not decided.
pub fn kubernetes_policy(
    namespace: &str,
    name: &str,
    subject: &[(&str, &str)],
    ingress: Option<&[Flow<'_>]>,
    egress: Option<&[Flow<'_>]>,
) -> Object {
    let types = [("Ingress", ingress.is_some()), ("Egress", egress.is_some())];
    let ingress = ingress.map(|flows| {
        let rule = |flow| {
            let (peers, ports) = written(flow);
            NetworkPolicyIngressRule { from: Some(peers), ports: Some(ports) }
        };
        flows.iter().map(rule).collect()
    });
    let egress = egress.map(|flows| {
        let rule = |flow| {
            let (peers, ports) = written(flow);
            NetworkPolicyEgressRule { to: Some(peers), ports: Some(ports) }
        };
        flows.iter().map(rule).collect()
    });
    let types = types.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned());
    Object::KubernetesNetworkPolicy(Box::new(NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(subject)),
            policy_types: Some(types.collect()),
            ingress,
            egress,
        }),
    }))
}

fn written(flow: &Flow<'_>) -> (Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>) {
    let peer = NetworkPolicyPeer {
        pod_selector: Some(selector(flow.peer)),
        namespace_selector: flow.namespaces.map(selector),
        ip_block: None,
    };
    let port = NetworkPolicyPort {
        port: Some(IntOrString::Int(flow.port)),
        protocol: Some(flow.protocol.to_owned()),
        end_port: None,
    };
    (vec![peer], vec![port])
}

fn selector(wanted: &[(&str, &str)]) -> LabelSelector {
    LabelSelector {
        match_labels: (!wanted.is_empty()).then(|| labels(wanted)),
        match_expressions: None,
    }
}

pub fn object(written: serde_json::Value) -> Object {
    Object::from_value(written).expect("the bench writes sound objects")
}
