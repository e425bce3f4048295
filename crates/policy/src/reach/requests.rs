//! Connections that are granted to some HTTP requests only.
//!
//! No packet shows a request, so rules with `http` decide no packet: the engine leaves them out. What
//! they would grant is the difference to a world in which they ask for no request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_api::calico::{Action, PolicySpec, Rule};
use bulkhead_types::{EndpointId, RuleRef};

use super::Reach;
use super::grounds::Ground;
use super::matrix::{Connection, Extent, Matrix, Pods};
use crate::engine::Engine;
use crate::rule::HttpMatch;

/// A world in which no rule asks for a request; see [`open`].
#[derive(Debug, Default)]
pub struct Open {
    pub engine: Engine,
    pub reach: Reach,
}

/// Whether some rule of the object asks for requests.
pub fn asks_for_requests(object: &Object) -> bool {
    let rules = spec(object).into_iter().flat_map(|spec| [&spec.ingress, &spec.egress]);
    rules.flatten().flatten().any(|rule| rule.http.is_some())
}

/// Rules that allow some requests allow all; rules that deny some deny none, as now.
#[must_use]
pub fn open(mut object: Object) -> Object {
    let spec = match &mut object {
        Object::NetworkPolicy(policy) => &mut policy.spec,
        Object::GlobalNetworkPolicy(policy) => &mut policy.spec.common,
        _ => return object,
    };
    let rules: [&mut Option<Vec<Rule>>; 2] = [&mut spec.ingress, &mut spec.egress];
    for rule in rules.into_iter().flatten().flatten() {
        if rule.action == Action::Allow {
            rule.http = None;
        }
    }
    object
}

fn spec(object: &Object) -> Option<&PolicySpec> {
    match object {
        Object::NetworkPolicy(policy) => Some(&policy.spec),
        Object::GlobalNetworkPolicy(policy) => Some(&policy.spec.common),
        _ => None,
    }
}

/// What rules with `http` grant in `open` beyond `matrix`, which is that of packets in the world of
/// `engine`. Both matrices have the same focus.
pub(super) fn granted(
    engine: &Engine,
    matrix: &Matrix,
    open: (&mut Open, &Matrix),
    members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
) -> Vec<Connection> {
    let (open, granted) = open;
    let mut found = BTreeSet::new();
    for difference in matrix.difference(granted) {
        let gained = difference.gained();
        if gained.is_empty() {
            continue;
        }
        let ends = (&difference.src, &difference.dst);
        for ground in open.reach.grounds_between(&open.engine, members, ends, None) {
            let allowed = ground.allowed.and(&gained);
            let requests = requests_of(engine, &ground);
            if !allowed.is_empty() && !requests.is_empty() {
                let (src, dst) = (difference.src.clone(), difference.dst.clone());
                let extent =
                    Extent { pods: Pods::All, is_v4: None, requests: Some(requests.into()) };
                found.insert(Connection { src, dst, extent, allowed: Arc::new(allowed) });
            }
        }
    }
    found.into_iter().collect()
}

/// What the rules at both ends ask of a request.
fn requests_of(engine: &Engine, ground: &Ground) -> Vec<HttpMatch> {
    let rules = [&ground.egress, &ground.ingress].into_iter().flatten();
    let asked = rules.filter_map(|rule| {
        let RuleRef::Rule { policy, direction, index, .. } = rule else { return None };
        let rules = engine.policy_held(policy)?.rules(*direction)?;
        let rule = rules.iter().find(|rule| rule.index == *index)?;
        rule.http.as_deref().cloned()
    });
    asked.collect()
}
