//! `projectcalico.org/v3` Tier, NetworkPolicy and GlobalNetworkPolicy.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_api::calico::{self, EntityRule, GlobalPolicySpec, PolicySpec, PolicyType};
use bulkhead_types::{Direction, PolicyKind, PolicyRef, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::place::{End, Place};
use super::{At, Notes, domains, fields, host, http, scope, services};
use crate::rule::{Action, Family, Order, Policy, Rule, Side, Stage, Tier, TierDefault};

pub const DEFAULT_TIER: &str = "default";

pub fn tier(tier: &calico::Tier, notes: &mut Notes) -> Tier {
    let name = tier.metadata.name.clone().unwrap_or_default();
    let default = match tier.spec.default_action {
        None | Some(calico::Action::Deny) => TierDefault::Deny,
        Some(calico::Action::Pass) => TierDefault::Pass,
        Some(other) => {
            let message = format!("`{other:?}` is not a tier's default: use Deny or Pass");
            notes.reading("the tier denies", |n| n.error("spec.defaultAction", message));
            TierDefault::Deny
        }
    };
    let written = Tier { name, order: Order::new(tier.spec.order), default };
    for built_in in Tier::built_in() {
        if built_in.name == written.name {
            if built_in != written {
                notes.warning(
                    "spec",
                    format!(
                        "order and default of the built-in tier are fixed at {} and {:?}",
                        built_in.order.get(),
                        built_in.default
                    ),
                );
            }
            return built_in;
        }
    }
    written
}

/// `kind` is the enforced or the staged one.
pub fn network_policy(
    kind: PolicyKind,
    metadata: &ObjectMeta,
    spec: &PolicySpec,
    notes: &mut Notes,
) -> Policy {
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = metadata.name.clone().unwrap_or_default();
    let id = PolicyRef { kind, namespace: namespace.clone(), name };
    common(id, spec, vec![scope::in_namespace(&namespace)], Some(&namespace), notes)
}

/// `kind` is the enforced or the staged one.
pub fn global_network_policy(
    kind: PolicyKind,
    metadata: &ObjectMeta,
    spec: &GlobalPolicySpec,
    notes: &mut Notes,
) -> Policy {
    let name = metadata.name.clone().unwrap_or_default();
    let id = PolicyRef { kind, namespace: String::new(), name };
    let (namespaces, intact) = notes.reading(SUBJECT_EFFECT, |notes| {
        let text = spec.namespace_selector.as_deref().filter(|text| !text.trim().is_empty())?;
        scope::namespaces(text, &"spec.namespaceSelector", notes)
    });
    let mut lowered = common(id, &spec.common, namespaces.into_iter().collect(), None, notes);
    if !intact {
        close(&mut lowered);
    }
    let (stage, is_sound) = host::stage(spec, notes);
    lowered.stage = stage;
    if stage == Stage::PreDnat {
        lowered.egress = None;
    }
    if !is_sound {
        close(&mut lowered);
    }
    lowered
}

const SUBJECT_EFFECT: &str =
    "the policy denies everything in its directions to all endpoints of its scope";

fn common(
    id: PolicyRef,
    spec: &PolicySpec,
    mut subject: Vec<Selector>,
    namespace: Option<&str>,
    notes: &mut Notes,
) -> Policy {
    let ((), intact) = notes.reading(SUBJECT_EFFECT, |notes| {
        let accounts = spec.service_account_selector.as_deref();
        if let Some(text) = accounts.filter(|text| !text.trim().is_empty()) {
            subject.extend(scope::accounts(text, &"spec.serviceAccountSelector", notes));
        }
        let own = spec.selector.as_deref().unwrap_or_default();
        subject.extend(scope::plain(own, &"spec.selector", notes));
    });
    let ingress = spec.ingress.as_deref().unwrap_or_default();
    let egress = spec.egress.as_deref().unwrap_or_default();
    let decides = |direction| match spec.types.as_deref() {
        None | Some([]) => match direction {
            Direction::Ingress => !ingress.is_empty() || egress.is_empty(),
            Direction::Egress => !egress.is_empty(),
        },
        Some(types) => types.contains(&match direction {
            Direction::Ingress => PolicyType::Ingress,
            Direction::Egress => PolicyType::Egress,
        }),
    };
    let mut lower = |rules: &[calico::Rule], direction: Direction| -> Option<Arc<[Rule]>> {
        // Rules of a direction that the policy does not decide are read too, so that their errors
        // are named, but they are inert.
        let rules = self::rules(rules, namespace, direction, notes);
        decides(direction).then(|| rules.into())
    };
    let mut policy = Policy {
        id,
        tier: spec.tier.clone().filter(|t| !t.is_empty()).unwrap_or(DEFAULT_TIER.to_owned()),
        order: Order::new(spec.order),
        subject: Selector::conjunction(subject),
        ingress: lower(ingress, Direction::Ingress),
        egress: lower(egress, Direction::Egress),
        stage: Stage::Normal,
        staged: None,
        expires: None,
    };
    if !intact {
        close(&mut policy);
    }
    policy
}

/// Nobody knows whom the policy was meant for, so nothing may pass it.
pub fn close(policy: &mut Policy) {
    for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
        *rules = [Rule::any(0, Action::Deny)].into();
    }
}

pub(super) fn rules(
    rules: &[calico::Rule],
    namespace: Option<&str>,
    direction: Direction,
    notes: &mut Notes,
) -> Vec<Rule> {
    let mut lowered = Vec::with_capacity(rules.len());
    for (index, written) in (0u32..).zip(rules) {
        let (action, effect) = match written.action {
            calico::Action::Allow => (Action::Allow, "the rule is left out"),
            calico::Action::Log => (Action::Log, "the rule is left out"),
            calico::Action::Deny => (Action::Deny, "the rule denies everything"),
            calico::Action::Pass => (Action::Pass, "the rule denies everything"),
        };
        let field = format_args!("spec.{direction}[{index}]");
        let scope = Scope { namespace, direction };
        let (rule, intact) = notes
            .reading(effect, |notes| rule(written, Rule::any(index, action), scope, &field, notes));
        match (intact, action) {
            (true, _) => lowered.extend(rule),
            (false, Action::Allow | Action::Log) => {}
            (false, Action::Deny | Action::Pass) => lowered.push(Rule::any(index, Action::Deny)),
        }
    }
    lowered
}

/// Where a rule stands: the policy's namespace, if it has one, and the list.
#[derive(Clone, Copy)]
struct Scope<'a> {
    namespace: Option<&'a str>,
    direction: Direction,
}

/// `None` where the rule is understood and can never match.
fn rule(
    written: &calico::Rule,
    mut rule: Rule,
    scope: Scope<'_>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Rule> {
    let protocol = fields::protocol(written.protocol.as_ref(), &At(field, "protocol"), notes);
    let not_protocol =
        fields::protocol(written.not_protocol.as_ref(), &At(field, "notProtocol"), notes);
    rule.protocol = protocol.map(|(protocol, _)| protocol);
    rule.not_protocol = not_protocol.map(|(protocol, _)| protocol);
    rule.icmp = fields::icmp(written.icmp.as_ref(), &At(field, "icmp"), notes);
    rule.not_icmp = fields::icmp(written.not_icmp.as_ref(), &At(field, "notICMP"), notes);
    let has_icmp = rule.icmp.is_some() || rule.not_icmp.is_some();
    if has_icmp && rule.protocol.is_some_and(|protocol| !protocol.is_icmp()) {
        notes.error(At(field, "icmp"), "ICMP criteria need `protocol` ICMP or ICMPv6");
    }
    if let Some(written) = &written.http {
        rule.http = http::read(written, &rule, scope.direction, &At(field, "http"), notes);
    }
    let place = |end| Place { end, direction: scope.direction, protocol: rule.protocol };
    let (source, destination) = (place(End::Source), place(End::Destination));
    rule.src = side(written.source.as_ref(), source, scope.namespace, &At(field, "source"), notes);
    rule.dst = side(
        written.destination.as_ref(),
        destination,
        scope.namespace,
        &At(field, "destination"),
        notes,
    );

    let by_name: Option<Family> = protocol.and_then(|(_, family)| family);
    let by_version = fields::ip_version(written.ip_version, &At(field, "ipVersion"), notes);
    rule.family = by_version.or(by_name);
    if by_name.is_some() && rule.family != by_name {
        notes.warning(
            At(field, "ipVersion"),
            "the protocol is of the other IP version: never matches",
        );
        return None;
    }
    Some(rule)
}

fn side(
    written: Option<&EntityRule>,
    place: Place,
    namespace: Option<&str>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Side {
    let Some(entity) = written else { return Side::default() };
    let (selector, not_selector) = scope::side(entity, namespace, field, notes);
    let protocol = place.protocol;
    Side {
        selector,
        not_selector,
        nets: fields::nets(entity.nets.as_deref(), &At(field, "nets"), notes),
        not_nets: fields::not_nets(entity.not_nets.as_deref(), &At(field, "notNets"), notes),
        ports: fields::ports(entity.ports.as_deref(), protocol, &At(field, "ports"), notes),
        service: services::read(entity, place, namespace, field, notes),
        nodes: None,
        domains: domains::of_rule(entity.domains.as_deref(), place, &At(field, "domains"), notes),
        not_ports: fields::ports(
            entity.not_ports.as_deref(),
            protocol,
            &At(field, "notPorts"),
            notes,
        ),
    }
}
