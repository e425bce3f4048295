//! Policies that open, or close, more than was probably meant.

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::Severity;
use bulkhead_policy::rule::{Action, Policy, Rule, Side, TierDefault};
use bulkhead_types::{Direction, PolicyKind, PortRange, Protocol};

use super::homes::not_compared;
use super::{Lint, rule_field, subject_field};
use crate::check::Pen;

/// Ports on which everybody should not be let in, with what listens there.
/// `docs/reference/lints.md` lists them.
pub const SENSITIVE_PORTS: [(u16, &str); 32] = [
    (22, "SSH"),
    (23, "Telnet"),
    (111, "rpcbind"),
    (135, "Windows RPC"),
    (139, "NetBIOS"),
    (389, "LDAP"),
    (445, "SMB"),
    (873, "rsync"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (2375, "Docker"),
    (2376, "Docker"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5432, "PostgreSQL"),
    (5672, "AMQP"),
    (5900, "VNC"),
    (5984, "CouchDB"),
    (5985, "WinRM"),
    (6379, "Redis"),
    (8500, "Consul"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (10250, "kubelet"),
    (10255, "kubelet"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];
/// Sensitive ports named in one finding.
const NAMED_MAX: usize = 4;
/// Policies among which one that lets names out is looked for.
const OTHERS_MAX: usize = 5_000;

pub fn check(policy: &Policy, key: &ObjectKey, lint: &Lint<'_>, pen: &mut Pen<'_>) {
    allow_all(policy, key, pen);
    sensitive_ports(policy, key, lint, pen);
    deny_all(policy, key, lint, pen);
    no_dns(policy, key, lint, pen);
}

/// A rule without a single criterion that allows.
fn allow_all(policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
    for direction in Direction::BOTH {
        let rules = policy.rules(direction).map(|rules| &**rules).unwrap_or_default();
        let is_any = |rule: &Rule| *rule == Rule::any(rule.index, Action::Allow);
        let Some((at, rule)) = rules.iter().enumerate().find(|(_, rule)| is_any(rule)) else {
            continue;
        };
        // "All but those" is a list of Denies and then this.
        let is_rest = rules.iter().take(at).any(|rule| rule.action == Action::Deny);
        // Everything out is a usual thing to say; everything in is not.
        let severity = match direction {
            Direction::Ingress if !is_rest => Severity::Warning,
            _ => Severity::Note,
        };
        let message = match direction {
            Direction::Ingress => "lets everybody in, on every port and protocol",
            Direction::Egress => "lets everything out, to every address and port",
        };
        pen.write(
            severity,
            "allow-all",
            key,
            &rule_field(direction, rule.index),
            message.to_owned(),
            Some("say who and which ports, or leave the rule out".to_owned()),
        );
    }
}

/// Everybody outside may come in on a port that is meant for few.
fn sensitive_ports(policy: &Policy, key: &ObjectKey, lint: &Lint<'_>, pen: &mut Pen<'_>) {
    let rules = policy.rules(Direction::Ingress).map(|rules| &**rules).unwrap_or_default();
    let mut last = None;
    for rule in rules {
        let is_any = *rule == Rule::any(rule.index, Action::Allow);
        let is_open = rule.action == Action::Allow && rule.http.is_none() && is_anywhere(&rule.src);
        if !is_open || is_any || last == Some(rule.index) {
            continue;
        }
        let has_ports = rule.protocol.is_none_or(|protocol| protocol.has_ports());
        let open: Vec<(u16, &str)> = SENSITIVE_PORTS
            .into_iter()
            .filter(|(port, _)| has_ports && is_let_in(rule, *port, policy, lint))
            .collect();
        let Some(_) = open.first() else { continue };
        last = Some(rule.index);
        let names: Vec<String> =
            open.iter().take(NAMED_MAX).map(|(port, what)| format!("{port} ({what})")).collect();
        let more = match open.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        pen.write(
            Severity::Warning,
            "open-sensitive-port",
            key,
            &rule_field(Direction::Ingress, rule.index),
            format!("lets everybody in on {}{more}", names.join(", ")),
            Some("name the networks or workloads that need it".to_owned()),
        );
    }
}

/// Whether an address from anywhere in the world will do.
fn is_anywhere(side: &Side) -> bool {
    let is_whole = side.nets.as_deref().is_none_or(|nets| nets.iter().any(|n| n.prefix_len() == 0));
    is_whole && side.selector.is_none() && side.service.is_none() && side.domains.is_none()
}

fn is_let_in(rule: &Rule, port: u16, policy: &Policy, lint: &Lint<'_>) -> bool {
    let within = |ranges: &[PortRange]| ranges.iter().any(|range| range.contains(port));
    if rule.dst.not_ports.as_ref().is_some_and(|not| within(&not.ranges)) {
        return false;
    }
    let Some(ports) = &rule.dst.ports else { return true };
    let protocol = rule.protocol.unwrap_or(Protocol::TCP);
    within(&ports.ranges)
        || (!ports.named.is_empty()
            && lint.everybody.ports(&policy.subject).any(|named| {
                named.port == port
                    && named.protocol == protocol
                    && ports.named.contains(&named.name)
            }))
}

/// A direction that is closed by having no rules, where the policy looks as if it were about the
/// other one.
fn deny_all(policy: &Policy, key: &ObjectKey, lint: &Lint<'_>, pen: &mut Pen<'_>) {
    if lint.default_of(policy) == TierDefault::Pass {
        return;
    }
    let n_rules = |direction| policy.rules(direction).map(|rules| rules.len());
    let lens = Direction::BOTH.map(n_rules);
    let closed = match lens {
        [Some(0), Some(0)] => Some("closes"),
        [Some(0), None] => Some("closes ingress of"),
        [None, Some(0)] => Some("closes egress of"),
        _ => None,
    };
    if let Some(closes) = closed.filter(|_| policy.subject.is_all()) {
        pen.write(
            Severity::Note,
            "deny-all",
            key,
            subject_field(policy),
            format!("{closes} every workload of every namespace, those of the system among them"),
            Some("leave out kube-system and its like with `namespaceSelector`".to_owned()),
        );
    }
    for direction in Direction::BOTH {
        let other = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let is_closed = n_rules(direction) == Some(0) && n_rules(other).is_some_and(|n| n > 0);
        if !is_closed {
            continue;
        }
        let field = match policy.id.kind {
            PolicyKind::KubernetesNetworkPolicy => "spec.policyTypes",
            _ => "spec.types",
        };
        pen.write(
            Severity::Warning,
            "deny-all",
            key,
            field,
            format!("the policy has no {direction} rules and so closes {direction} altogether"),
            Some(format!("leave {direction} out of `{field}`, or say what may pass")),
        );
    }
}

/// Egress without names: most workloads need to look some up.
fn no_dns(policy: &Policy, key: &ObjectKey, lint: &Lint<'_>, pen: &mut Pen<'_>) {
    let Some(rules) = policy.rules(Direction::Egress) else { return };
    let allows = |rule: &&Rule| rule.action == Action::Allow;
    if lint.default_of(policy) == TierDefault::Pass || !rules.iter().any(|rule| allows(&rule)) {
        return;
    }
    // Another policy for the same workloads, or an earlier one that covers more, may let names out.
    if lets_names_out(policy) {
        return;
    }
    for (n, at) in lint.dns.as_wide_as(policy).enumerate() {
        if lint.policies.get(at).is_some_and(|other| policy.subject.implies(&other.subject)) {
            return;
        }
        if n == OTHERS_MAX {
            let message = format!(
                "whether the workloads can look up names was not looked for: more than {OTHERS_MAX} \
                 policies may let them"
            );
            if !lint.is_dns_said.replace(true) {
                not_compared(key, "spec.egress", message, pen);
            }
            return;
        }
    }
    pen.write(
        Severity::Note,
        "no-dns",
        key,
        "spec.egress",
        "lets nothing out to port 53: the workloads cannot look up names".to_owned(),
        Some("allow UDP and TCP port 53 to the cluster's DNS".to_owned()),
    );
}

/// Whether anything may leave to where names are looked up.
pub fn lets_names_out(policy: &Policy) -> bool {
    let rules = policy.rules(Direction::Egress).into_iter().flat_map(|rules| rules.iter());
    rules
        .into_iter()
        .any(|rule| matches!(rule.action, Action::Allow | Action::Pass) && is_dns(rule))
}

fn is_dns(rule: &Rule) -> bool {
    let is_udp = rule.protocol.is_none_or(|protocol| protocol == Protocol::UDP);
    let ports = rule.dst.ports.as_ref();
    let is_53 = ports.is_none_or(|ports| {
        !ports.named.is_empty() || ports.ranges.iter().any(|range| range.contains(53))
    });
    is_udp && is_53
}
