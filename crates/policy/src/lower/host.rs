//! What policies and profiles say to hosts alone.

use std::sync::Arc;

use bulkhead_api::calico::{self, GlobalPolicySpec, PolicyType};
use bulkhead_types::Direction;

use super::{Notes, calico as rules};
use crate::rule::{Action, Rule, Stage};

const EFFECT: &str = "the policy denies everything at its stage to all host endpoints it selects";

/// The stage of a global policy, and whether its flags make sense together.
pub fn stage(spec: &GlobalPolicySpec, notes: &mut Notes) -> (Stage, bool) {
    let is_untracked = spec.do_not_track == Some(true);
    let is_pre_dnat = spec.pre_dnat == Some(true);
    let is_on_forward = spec.apply_on_forward == Some(true);
    let stage = match (is_untracked, is_pre_dnat, is_on_forward) {
        (true, _, _) => Stage::Untracked,
        (_, true, _) => Stage::PreDnat,
        (_, _, true) => Stage::NormalAndForward,
        _ => Stage::Normal,
    };
    let ((), is_intact) = notes.reading(EFFECT, |notes| {
        if is_untracked && is_pre_dnat {
            notes.error("spec.preDNAT", "a policy is for one stage: unset this or `doNotTrack`");
        }
        if is_pre_dnat {
            let egress = spec.common.egress.as_deref().unwrap_or_default();
            let types = spec.common.types.as_deref().unwrap_or_default();
            if !egress.is_empty() || types.contains(&PolicyType::Egress) {
                notes.error("spec.egress", "nothing that leaves a host passes the preDNAT stage");
            }
        }
        if (is_untracked || is_pre_dnat) && !is_on_forward {
            let message = "must be true: this stage also sees what the host forwards";
            notes.error("spec.applyOnForward", message);
        }
    });
    (stage, is_intact)
}

/// The rules of a profile for one direction. There is no tier to pass to, so Pass denies.
pub fn profile_rules(
    written: Option<&[calico::Rule]>,
    direction: Direction,
    notes: &mut Notes,
) -> Arc<[Rule]> {
    let mut rules = rules::rules(written.unwrap_or_default(), None, direction, notes);
    for rule in rules.iter_mut().filter(|rule| rule.action == Action::Pass) {
        rule.action = Action::Deny;
    }
    rules.into()
}
