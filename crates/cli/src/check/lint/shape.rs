//! Slips that show in how a policy is written, before anything is made of it.

use bulkhead_api::Object;
use bulkhead_api::calico::PolicyType;
use bulkhead_api::manifest::Severity;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use crate::check::Pen;

pub fn check(object: &Object, pen: &mut Pen<'_>) {
    inert_rules(object, pen);
    no_rules(object, pen);
    empty_lists(object, pen);
    split_peers(object, pen);
}

/// Rules of a direction that the policy's types leave out.
fn inert_rules(object: &Object, pen: &mut Pen<'_>) {
    let (types, n_rules, field) = match object {
        Object::KubernetesNetworkPolicy(policy) => {
            let Some(spec) = &policy.spec else { return };
            let types = spec.policy_types.clone().unwrap_or_default();
            let count = |n: Option<usize>| n.unwrap_or(0);
            let n_rules = [
                count(spec.ingress.as_ref().map(Vec::len)),
                count(spec.egress.as_ref().map(Vec::len)),
            ];
            (types, n_rules, "spec.policyTypes")
        }
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            (names(spec.types.as_deref()), lengths(&spec.ingress, &spec.egress), "spec.types")
        }
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec.common;
            (names(spec.types.as_deref()), lengths(&spec.ingress, &spec.egress), "spec.types")
        }
        _ => return,
    };
    if types.is_empty() {
        return;
    }
    for (direction, name, n) in
        [("ingress", "Ingress", n_rules[0]), ("egress", "Egress", n_rules[1])]
    {
        if n > 0 && !types.iter().any(|written| written == name) {
            pen.write(
                Severity::Warning,
                "inert-rules",
                &object.key(),
                &format!("spec.{direction}"),
                format!("the {direction} rules have no effect: `{field}` lacks {name}"),
                Some(format!("add {name} to `{field}`, or remove the rules")),
            );
        }
    }
}

/// Neither types nor rules: that is not nothing, it closes ingress.
fn no_rules(object: &Object, pen: &mut Pen<'_>) {
    let bare = |types: usize, ingress: bool, egress: bool| types == 0 && !ingress && !egress;
    let count = |types: &Option<Vec<PolicyType>>| types.as_ref().map_or(0, Vec::len);
    let (is_bare, field) = match object {
        Object::KubernetesNetworkPolicy(policy) => {
            let is_bare = policy.spec.as_ref().is_none_or(|spec| {
                let types = spec.policy_types.as_ref().map_or(0, Vec::len);
                bare(types, spec.ingress.is_some(), spec.egress.is_some())
            });
            (is_bare, "spec.policyTypes")
        }
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            let is_bare = bare(count(&spec.types), spec.ingress.is_some(), spec.egress.is_some());
            (is_bare, "spec.types")
        }
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec.common;
            let is_bare = bare(count(&spec.types), spec.ingress.is_some(), spec.egress.is_some());
            (is_bare, "spec.types")
        }
        _ => return,
    };
    if is_bare {
        pen.write(
            Severity::Warning,
            "deny-all",
            &object.key(),
            "spec",
            "the policy has neither rules nor types, and so closes ingress".to_owned(),
            Some(format!("if that is meant, say so: `{field}: [Ingress]`")),
        );
    }
}

fn names(types: Option<&[PolicyType]>) -> Vec<String> {
    types.into_iter().flatten().map(|written| format!("{written:?}")).collect()
}

fn lengths<T>(ingress: &Option<Vec<T>>, egress: &Option<Vec<T>>) -> [usize; 2] {
    [ingress, egress].map(|rules| rules.as_ref().map_or(0, Vec::len))
}

/// In Kubernetes an empty list of peers or ports is every one of them, which often surprises.
fn empty_lists(object: &Object, pen: &mut Pen<'_>) {
    let mut lists: Vec<(String, bool, &str)> = Vec::new();
    for rule in rules_of(object) {
        let is_empty = |list: Option<usize>| list == Some(0);
        let peers = (format!("{}.{}", rule.field, rule.peers_name), "everybody");
        lists.push((peers.0, is_empty(rule.peers.map(<[_]>::len)), peers.1));
        lists.push((format!("{}.ports", rule.field), is_empty(rule.n_ports), "every port"));
    }
    for (field, _, what) in lists.into_iter().filter(|(_, is_empty, _)| *is_empty) {
        let code = if what == "everybody" { "empty-peers" } else { "empty-ports" };
        pen.write(
            Severity::Warning,
            code,
            &object.key(),
            &field,
            format!("`{field}` is empty, which means {what}"),
            Some("to allow nothing, leave out the whole rule".to_owned()),
        );
    }
}

/// `- namespaceSelector` and then `- podSelector` are two peers, either of which will do; one peer
/// with both was probably meant.
fn split_peers(object: &Object, pen: &mut Pen<'_>) {
    for rule in rules_of(object) {
        let peers = rule.peers.unwrap_or_default();
        for (at, pair) in peers.windows(2).enumerate() {
            let [first, second] = pair else { continue };
            let only_namespaces = first.namespace_selector.is_some()
                && first.pod_selector.is_none()
                && first.ip_block.is_none();
            let only_pods = second.pod_selector.is_some() && second.namespace_selector.is_none();
            if !(only_namespaces && only_pods) {
                continue;
            }
            pen.write(
                Severity::Warning,
                "split-peers",
                &object.key(),
                &format!("{}.{}[{}]", rule.field, rule.peers_name, at + 1),
                "a peer of its own: pods of this namespace, besides all pods of the namespaces \
                 above"
                    .to_owned(),
                Some("for pods of these namespaces, drop the `-` before `podSelector`".to_owned()),
            );
        }
    }
}

/// One entry of `ingress` or `egress` of a Kubernetes policy.
struct Written<'a> {
    field: String,
    peers_name: &'static str,
    peers: Option<&'a [NetworkPolicyPeer]>,
    n_ports: Option<usize>,
}

fn rules_of(object: &Object) -> Vec<Written<'_>> {
    let Object::KubernetesNetworkPolicy(policy) = object else { return Vec::new() };
    let Some(spec) = &policy.spec else { return Vec::new() };
    let ingress = spec.ingress.iter().flatten().enumerate().map(|(i, rule)| Written {
        field: format!("spec.ingress[{i}]"),
        peers_name: "from",
        peers: rule.from.as_deref(),
        n_ports: rule.ports.as_ref().map(Vec::len),
    });
    let egress = spec.egress.iter().flatten().enumerate().map(|(i, rule)| Written {
        field: format!("spec.egress[{i}]"),
        peers_name: "to",
        peers: rule.to.as_deref(),
        n_ports: rule.ports.as_ref().map(Vec::len),
    });
    ingress.chain(egress).collect()
}
