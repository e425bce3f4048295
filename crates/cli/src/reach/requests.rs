//! Connections that are granted to some HTTP requests only.
//!
//! No packet shows a request, so rules with `http` decide no packet: the engine leaves them out. What
//! they would grant is the difference to a world in which they ask for no request.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_api::calico::{Action, Rule};
use bulkhead_policy::reach::{Connection, Extent, Ground, Matrix, Pods};
use bulkhead_policy::rule::HttpMatch;
use bulkhead_types::RuleRef;

use super::Asked;

impl Asked {
    /// What rules with `http` grant beyond `matrix`, which is that of all workloads.
    pub fn requests(&self, matrix: &Matrix) -> Vec<Connection> {
        if !self.objects.iter().any(asks_for_requests) {
            return Vec::new();
        }
        let open = self.objects.iter().cloned().map(without_requests).collect();
        let mut open = self.with(open);
        let granted = open.plain_matrix(None);
        let members = self.owners.members();
        let mut found = BTreeSet::new();
        for difference in matrix.difference(&granted) {
            let gained = difference.gained();
            if gained.is_empty() {
                continue;
            }
            let ends = (&difference.src, &difference.dst);
            for ground in open.reach.grounds_between(&open.engine, &members, ends, None) {
                let allowed = ground.allowed.and(&gained);
                let requests = self.requests_of(&ground);
                if !allowed.is_empty() && !requests.is_empty() {
                    let (src, dst) = (difference.src.clone(), difference.dst.clone());
                    let requests = Some(requests.into());
                    let extent = Extent { pods: Pods::All, is_v4: None, requests };
                    found.insert(Connection { src, dst, extent, allowed: Arc::new(allowed) });
                }
            }
        }
        found.into_iter().collect()
    }

    /// What the rules at both ends ask of a request.
    fn requests_of(&self, ground: &Ground) -> Vec<HttpMatch> {
        let rules = [&ground.egress, &ground.ingress].into_iter().flatten();
        let asked = rules.filter_map(|rule| {
            let RuleRef::Rule { policy, direction, index, .. } = rule else { return None };
            let mut held = self.engine.policies_held();
            let held = held.find(|held| held.id == *policy)?;
            let rule = held.rules(*direction)?.iter().find(|rule| rule.index == *index)?;
            rule.http.as_deref().cloned()
        });
        asked.collect()
    }
}

fn asks_for_requests(object: &Object) -> bool {
    rules(object).iter().any(|rules| rules.iter().any(|rule| rule.http.is_some()))
}

/// The lists of rules of an object that may ask for requests.
fn rules(object: &Object) -> Vec<&Vec<Rule>> {
    let spec = match object {
        Object::NetworkPolicy(policy) => &policy.spec,
        Object::GlobalNetworkPolicy(policy) => &policy.spec.common,
        _ => return Vec::new(),
    };
    [&spec.ingress, &spec.egress].into_iter().flatten().collect()
}

/// Rules that allow some requests allow all; rules that deny some deny none, as now.
fn without_requests(mut object: Object) -> Object {
    let spec = match &mut object {
        Object::NetworkPolicy(policy) => &mut policy.spec,
        Object::GlobalNetworkPolicy(policy) => &mut policy.spec.common,
        _ => return object,
    };
    for rule in [&mut spec.ingress, &mut spec.egress].into_iter().flatten().flatten() {
        if rule.action == Action::Allow {
            rule.http = None;
        }
    }
    object
}
