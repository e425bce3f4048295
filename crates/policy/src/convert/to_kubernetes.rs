//! Calico v3 to Kubernetes, which only allows, and only at one place.

use std::collections::BTreeMap;

use bulkhead_api::Object;
use bulkhead_api::calico::{Action, EntityRule, NetworkPolicy, PolicyType, Rule};
use bulkhead_types::selector::Expr;
use bulkhead_types::{Direction, Protocol, Selector};
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy as KubernetesNetworkPolicy, NetworkPolicyEgressRule,
    NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::label_selector::{conjuncts, written};
use super::{Refusal, refuse_broken};
use crate::facts::{KUBERNETES_NAME, NAME, NAMESPACE, ORCHESTRATOR};
use crate::lower::{self, KUBERNETES_ORDER};
use crate::rule;

/// What among the other objects decides whether a policy can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether some rule of the tier `default` does anything but allow, so that order matters.
    has_order: bool,
    /// Whether selectors might mean network sets, which those of Kubernetes never do.
    has_sets: bool,
}

impl Surroundings {
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut surroundings = Self::default();
        for object in objects {
            surroundings.has_sets |=
                matches!(object, Object::NetworkSet(_) | Object::GlobalNetworkSet(_));
            let Some((policy, _)) = lower::policy(object) else { continue };
            if policy.tier != "default" {
                continue;
            }
            let rules = [&policy.ingress, &policy.egress].into_iter().flatten();
            let mut rules = rules.flat_map(|rules| rules.iter());
            surroundings.has_order |= rules.any(|rule| rule.action != rule::Action::Allow);
        }
        surroundings
    }
}

/// `Err`: everything that stands in the way.
pub fn to_kubernetes(
    policy: &NetworkPolicy,
    around: Surroundings,
) -> Result<KubernetesNetworkPolicy, Vec<Refusal>> {
    refuse_broken(&Object::NetworkPolicy(Box::new(policy.clone())))?;
    let mut pen = Pen { around, refusals: Vec::new() };
    pen.place(policy);
    let spec = &policy.spec;
    let subject = spec.selector.as_deref().unwrap_or_default();
    let pod_selector = pen.selector(subject, "spec.selector", Labels::OfPods).unwrap_or_default();
    let rules = |rules: &Option<Vec<Rule>>| rules.clone().unwrap_or_default();
    let (ingress, egress) = (rules(&spec.ingress), rules(&spec.egress));
    let types = match spec.types.as_deref() {
        None | Some([]) => {
            let ingress_too = !ingress.is_empty() || egress.is_empty();
            let ingress_type = ingress_too.then_some(PolicyType::Ingress);
            let egress_type = (!egress.is_empty()).then_some(PolicyType::Egress);
            ingress_type.into_iter().chain(egress_type).collect()
        }
        Some(types) => types.to_vec(),
    };
    // Rules of a direction that the policy does not decide are inert.
    let of = |kind: PolicyType, rules: &[Rule], direction, pen: &mut Pen| -> Vec<Written> {
        let rules = if types.contains(&kind) { rules } else { &[] };
        let indexed = rules.iter().enumerate();
        indexed.filter_map(|(index, rule)| pen.rule(rule, direction, index)).collect()
    };
    let ingress = of(PolicyType::Ingress, &ingress, Direction::Ingress, &mut pen);
    let egress = of(PolicyType::Egress, &egress, Direction::Egress, &mut pen);
    if !pen.refusals.is_empty() {
        return Err(pen.refusals);
    }
    let ingress: Vec<NetworkPolicyIngressRule> = ingress
        .into_iter()
        .map(|Written { peers, ports }| NetworkPolicyIngressRule { from: peers, ports })
        .collect();
    let egress: Vec<NetworkPolicyEgressRule> = egress
        .into_iter()
        .map(|Written { peers, ports }| NetworkPolicyEgressRule { to: peers, ports })
        .collect();
    let mut metadata = policy.metadata.clone();
    if let Some(expires) = &spec.expires {
        let annotations = metadata.annotations.get_or_insert_with(BTreeMap::new);
        annotations.insert(lower::EXPIRES_ANNOTATION.to_owned(), expires.clone());
    }
    Ok(KubernetesNetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector),
            policy_types: Some(types.iter().map(|kind| format!("{kind:?}")).collect()),
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
        }),
    })
}

type LabelSelector = k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// One rule. `None`: everybody, or every port.
struct Written {
    peers: Option<Vec<NetworkPolicyPeer>>,
    ports: Option<Vec<NetworkPolicyPort>>,
}

/// Whose labels a selector looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Labels {
    OfPods,
    OfNamespaces,
}

struct Pen {
    around: Surroundings,
    refusals: Vec<Refusal>,
}

impl Pen {
    fn refuse(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.refusals.push(Refusal::new(field, why));
    }

    /// Where the policy stands among others.
    fn place(&mut self, policy: &NetworkPolicy) {
        let spec = &policy.spec;
        if let Some(tier) = spec.tier.as_deref().filter(|tier| !matches!(*tier, "" | "default")) {
            let why = format!("Kubernetes policies are in tier `default`, this one in `{tier}`");
            self.refuse("spec.tier", why);
        }
        if spec.order != Some(KUBERNETES_ORDER) && self.around.has_order {
            let order = spec.order.map_or("unset".to_owned(), |order| order.to_string());
            self.refuse(
                "spec.order",
                format!(
                    "Kubernetes policies stand at order {KUBERNETES_ORDER}, this one's is {order}, \
                     and other rules of the tier do more than allow"
                ),
            );
        }
        let accounts = spec.service_account_selector.as_deref().unwrap_or_default();
        if !accounts.trim().is_empty() {
            self.refuse(
                "spec.serviceAccountSelector",
                "Kubernetes policies cannot look at service accounts",
            );
        }
    }

    /// `None` where it is refused, or where the rule matches nobody.
    fn rule(&mut self, rule: &Rule, direction: Direction, index: usize) -> Option<Written> {
        let field = format!("spec.{direction}[{index}]");
        let n_before = self.refusals.len();
        if rule.action != Action::Allow {
            let why = format!("Kubernetes policies only allow, this rule is {:?}", rule.action);
            self.refuse(format!("{field}.action"), why);
        }
        let unsaid = [
            ("ipVersion", rule.ip_version.is_some(), "name one IP version"),
            ("notProtocol", rule.not_protocol.is_some(), "exclude a protocol"),
            ("icmp", rule.icmp.is_some(), "look at ICMP types"),
            ("notICMP", rule.not_icmp.is_some(), "look at ICMP types"),
            ("http", rule.http.is_some(), "look at requests"),
        ];
        for (name, _, what) in unsaid.into_iter().filter(|(_, is_set, _)| *is_set) {
            self.refuse(format!("{field}.{name}"), format!("Kubernetes policies cannot {what}"));
        }
        let none = EntityRule::default();
        let source = rule.source.as_ref().unwrap_or(&none);
        let destination = rule.destination.as_ref().unwrap_or(&none);
        let source_field = format!("{field}.source");
        let destination_field = format!("{field}.destination");
        let (local, local_field, remote, remote_field) = match direction {
            Direction::Ingress => (destination, &destination_field, source, &source_field),
            Direction::Egress => (source, &source_field, destination, &destination_field),
        };
        if !is_about_nobody(local) {
            self.refuse(local_field, "Kubernetes rules cannot narrow whom the policy is for");
        }
        for (side, name) in [(source, &source_field), (destination, &destination_field)] {
            if side.not_ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
                self.refuse(format!("{name}.notPorts"), "Kubernetes policies cannot exclude ports");
            }
        }
        if source.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
            let why = "Kubernetes policies cannot look at source ports";
            self.refuse(format!("{source_field}.ports"), why);
        }
        let ports = self.ports(rule, destination, &field);
        let peers = self.peers(remote, remote_field);
        if self.refusals.len() > n_before || peers.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        Some(Written { peers, ports })
    }

    fn ports(
        &mut self,
        rule: &Rule,
        destination: &EntityRule,
        field: &str,
    ) -> Option<Vec<NetworkPolicyPort>> {
        let protocol = match &rule.protocol {
            None => return None,
            Some(IntOrString::Int(number)) => u8::try_from(*number).ok().map(Protocol),
            Some(IntOrString::String(text)) => text.parse().ok(),
        };
        let Some(protocol) = protocol.filter(|protocol: &Protocol| protocol.has_ports()) else {
            let why = "Kubernetes policies know TCP, UDP and SCTP only";
            self.refuse(format!("{field}.protocol"), why);
            return None;
        };
        let port = |port, end_port| NetworkPolicyPort {
            protocol: Some(protocol.to_string()),
            port,
            end_port,
        };
        let Some(list) = destination.ports.as_deref().filter(|list| !list.is_empty()) else {
            return Some(vec![port(None, None)]);
        };
        let mut ports = Vec::new();
        for (at, written) in list.iter().enumerate() {
            let range = match written {
                IntOrString::Int(number) => Some((*number, *number)),
                IntOrString::String(text) => match text.split_once(':') {
                    Some((start, end)) => start.parse().ok().zip(end.parse().ok()),
                    None => text.parse().ok().map(|number: i32| (number, number)),
                },
            };
            match (range, written) {
                (Some((start, end)), _) if start > 0 => {
                    let end = (end != start).then_some(end);
                    ports.push(port(Some(IntOrString::Int(start)), end));
                }
                (Some(_), _) => {
                    let field = format!("{field}.destination.ports[{at}]");
                    self.refuse(field, "Kubernetes policies do not know port 0");
                }
                (None, IntOrString::String(name)) if name.len() <= 15 => {
                    ports.push(port(Some(IntOrString::String(name.clone())), None));
                }
                (None, _) => {
                    let field = format!("{field}.destination.ports[{at}]");
                    self.refuse(field, "names of ports have at most 15 letters in Kubernetes");
                }
            }
        }
        Some(ports)
    }

    /// `None`: everybody. Empty: nobody.
    fn peers(&mut self, side: &EntityRule, field: &str) -> Option<Vec<NetworkPolicyPeer>> {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let (selector, namespaces) = (text(&side.selector), text(&side.namespace_selector));
        let lists = [&side.nets, &side.not_nets];
        let has_nets = lists.iter().any(|nets| nets.as_ref().is_some_and(|n| !n.is_empty()));
        let unsaid = [
            ("notSelector", text(&side.not_selector).is_some(), "exclude workloads"),
            ("serviceAccounts", side.service_accounts.is_some(), "look at service accounts"),
            ("services", side.services.is_some(), "name services"),
            ("domains", side.domains.is_some(), "name domains"),
        ];
        for (name, _, what) in unsaid.into_iter().filter(|(_, is_set, _)| *is_set) {
            self.refuse(format!("{field}.{name}"), format!("Kubernetes policies cannot {what}"));
        }
        if selector.is_none() && namespaces.is_none() {
            return has_nets.then(|| blocks(side));
        }
        if has_nets {
            let why = "a peer of a Kubernetes policy has either selectors or addresses";
            self.refuse(format!("{field}.nets"), why);
            return None;
        }
        let pods = selector.as_deref().unwrap_or_default();
        let is_pods_only = selector.as_ref().is_some_and(|text| names_orchestrator(text));
        if self.around.has_sets && !is_pods_only {
            self.refuse(
                format!("{field}.selector"),
                format!(
                    "might mean network sets, which Kubernetes peers never do: add \
                     `{ORCHESTRATOR} == 'k8s'`"
                ),
            );
        }
        let pod_selector = self.selector(pods, &format!("{field}.selector"), Labels::OfPods);
        let namespace_selector = namespaces.map(|text| {
            self.selector(&text, &format!("{field}.namespaceSelector"), Labels::OfNamespaces)
                .unwrap_or_default()
        });
        Some(vec![NetworkPolicyPeer { ip_block: None, namespace_selector, pod_selector }])
    }

    fn selector(&mut self, text: &str, field: &str, labels: Labels) -> Option<LabelSelector> {
        // A text that cannot be read made the policy broken before.
        let selector = Selector::parse(text).ok()?;
        let tests = match conjuncts(selector.expr()) {
            Ok(tests) => tests,
            Err(why) => {
                self.refuse(field, why);
                return None;
            }
        };
        let mut kept = Vec::new();
        for test in tests {
            if labels == Labels::OfPods && is_orchestrator(&test) {
                continue;
            }
            let (key, test) = renamed(test, labels);
            let is_reserved = matches!(key.as_str(), NAMESPACE | ORCHESTRATOR)
                || key.starts_with("projectcalico.org/")
                || key.starts_with("pcns.")
                || key.starts_with("pcsa.");
            if is_reserved {
                self.refuse(field, format!("`{key}` is no label that Kubernetes knows"));
                return None;
            }
            kept.push(test);
        }
        Some(written(&kept))
    }
}

fn is_about_nobody(side: &EntityRule) -> bool {
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let names_any =
        is_set(&side.selector) || is_set(&side.not_selector) || is_set(&side.namespace_selector);
    let others = side.service_accounts.is_some() || side.services.is_some() || has(&side.domains);
    !(names_any || others || has(&side.nets) || has(&side.not_nets))
}

fn is_orchestrator(test: &Expr) -> bool {
    matches!(test, Expr::Equals(key, value) if key == ORCHESTRATOR && value == "k8s")
}

fn names_orchestrator(text: &str) -> bool {
    let selector = Selector::parse(text).ok();
    let tests = selector.and_then(|selector| conjuncts(selector.expr()).ok());
    tests.is_some_and(|tests| tests.iter().any(is_orchestrator))
}

/// A namespace's name has another label in Kubernetes.
fn renamed(test: Expr, labels: Labels) -> (String, Expr) {
    let new = |key: &str| match (labels, key) {
        (Labels::OfNamespaces, NAME) => KUBERNETES_NAME.to_owned(),
        _ => key.to_owned(),
    };
    match test {
        Expr::Equals(key, value) => (new(&key), Expr::Equals(new(&key), value)),
        Expr::In(key, values) => (new(&key), Expr::In(new(&key), values)),
        Expr::NotIn(key, values) => (new(&key), Expr::NotIn(new(&key), values)),
        Expr::Has(key) => (new(&key), Expr::Has(new(&key))),
        Expr::Not(inner) => match *inner {
            Expr::Has(key) => (new(&key), Expr::Not(Box::new(Expr::Has(new(&key))))),
            other => (String::new(), other),
        },
        other => (String::new(), other),
    }
}

/// One block for each net, with what is taken out of it; nets that are taken out whole are left out.
fn blocks(side: &EntityRule) -> Vec<NetworkPolicyPeer> {
    let parse = |list: &Option<Vec<String>>| -> Vec<IpNet> {
        list.iter().flatten().filter_map(|text| lower::net(text)).collect()
    };
    let mut nets = parse(&side.nets);
    if nets.is_empty() {
        nets = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| lower::net(text)).collect();
    }
    let not_nets = parse(&side.not_nets);
    let mut peers = Vec::new();
    for net in nets {
        if not_nets.iter().any(|not| not.contains(&net)) {
            continue;
        }
        let within = not_nets.iter().filter(|not| net.contains(*not));
        let except: Vec<String> = within.map(ToString::to_string).collect();
        let block = IPBlock {
            cidr: net.to_string(),
            except: Some(except).filter(|except| !except.is_empty()),
        };
        peers.push(NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() });
    }
    peers
}
