//! Kubernetes to Calico v3. Everything can be said.

use bulkhead_api::Object;
use bulkhead_api::calico::{Action, EntityRule, NetworkPolicy, PolicySpec, PolicyType, Rule};
use bulkhead_types::selector::Expr;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy as KubernetesNetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::label_selector::{tests, text};
use super::{Refusal, refuse_broken};
use crate::facts::ORCHESTRATOR;
use crate::lower::KUBERNETES_ORDER;

/// `Err`: the policy itself is broken.
pub fn to_calico(policy: &KubernetesNetworkPolicy) -> Result<NetworkPolicy, Vec<Refusal>> {
    refuse_broken(&Object::KubernetesNetworkPolicy(Box::new(policy.clone())))?;
    let spec = policy.spec.clone().unwrap_or_default();
    let ingress = spec.ingress.unwrap_or_default();
    let egress = spec.egress.unwrap_or_default();
    let types = match spec.policy_types.as_deref() {
        None | Some([]) => {
            let egress = (!egress.is_empty()).then_some(PolicyType::Egress);
            [PolicyType::Ingress].into_iter().chain(egress).collect()
        }
        Some(types) => {
            let both = [("Ingress", PolicyType::Ingress), ("Egress", PolicyType::Egress)];
            let is_there = |name: &str| types.iter().any(|written| written == name);
            let kept = both.into_iter().filter(|(name, _)| is_there(name));
            kept.map(|(_, kind)| kind).collect()
        }
    };
    let ingress: Vec<Rule> = ingress
        .iter()
        .flat_map(|rule| rules(rule.from.as_deref(), rule.ports.as_deref(), Side::Source))
        .collect();
    let egress: Vec<Rule> = egress
        .iter()
        .flat_map(|rule| rules(rule.to.as_deref(), rule.ports.as_deref(), Side::Destination))
        .collect();
    Ok(NetworkPolicy {
        metadata: policy.metadata.clone(),
        spec: PolicySpec {
            order: Some(KUBERNETES_ORDER),
            selector: Some(text(tests(&spec.pod_selector.unwrap_or_default()))),
            types: Some(types),
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
            ..PolicySpec::default()
        },
    })
}

/// Where the peers stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

/// One for each peer and protocol.
fn rules(
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
    side: Side,
) -> Vec<Rule> {
    let peers: Vec<Option<EntityRule>> = match peers {
        None | Some([]) => vec![None],
        Some(peers) => peers.iter().map(|peer| Some(entity(peer))).collect(),
    };
    let traffic = traffic(ports.unwrap_or_default());
    let mut rules = Vec::new();
    for peer in &peers {
        for (protocol, ports) in &traffic {
            let (source, destination) = match side {
                Side::Source => (peer.clone(), None),
                Side::Destination => (None, peer.clone()),
            };
            let mut destination: Option<EntityRule> = destination;
            if ports.is_some() {
                destination.get_or_insert_default().ports.clone_from(ports);
            }
            rules.push(Rule {
                action: Action::Allow,
                ip_version: None,
                protocol: protocol.clone(),
                not_protocol: None,
                icmp: None,
                not_icmp: None,
                source,
                destination,
                http: None,
                metadata: None,
            });
        }
    }
    rules
}

type Traffic = (Option<IntOrString>, Option<Vec<IntOrString>>);

/// Protocols with their ports, in the order in which they are first named.
fn traffic(ports: &[NetworkPolicyPort]) -> Vec<Traffic> {
    if ports.is_empty() {
        return vec![(None, None)];
    }
    let mut traffic: Vec<Traffic> = Vec::new();
    for port in ports {
        let protocol = Some(IntOrString::String(port.protocol.clone().unwrap_or("TCP".to_owned())));
        let number = match (&port.port, port.end_port) {
            (Some(IntOrString::Int(start)), Some(end)) if end != *start => {
                Some(IntOrString::String(format!("{start}:{end}")))
            }
            (port, _) => port.clone(),
        };
        match (traffic.iter_mut().find(|(known, _)| *known == protocol), number) {
            (None, number) => traffic.push((protocol, number.map(|number| vec![number]))),
            (Some((_, Some(list))), Some(number)) => list.push(number),
            (Some((_, whole)), None) => *whole = None,
            (Some((_, None)), Some(_)) => {}
        }
    }
    traffic
}

fn entity(peer: &NetworkPolicyPeer) -> EntityRule {
    if let Some(block) = &peer.ip_block {
        return EntityRule {
            nets: Some(vec![block.cidr.clone()]),
            not_nets: block.except.clone().filter(|except| !except.is_empty()),
            ..EntityRule::default()
        };
    }
    // Pods only: network sets have no orchestrator.
    let mut pods = vec![Expr::Equals(ORCHESTRATOR.to_owned(), "k8s".to_owned())];
    pods.extend(peer.pod_selector.iter().flat_map(tests));
    EntityRule {
        selector: Some(text(pods)),
        namespace_selector: peer.namespace_selector.as_ref().map(|selector| text(tests(selector))),
        ..EntityRule::default()
    }
}
