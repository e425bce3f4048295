//! Two engines, one truth, at every stage of every host endpoint.

use std::collections::BTreeMap;

use bulkhead_policy::World as Oracle;
use bulkhead_testbed::worlds::{Packets, Shape, Worlds};
use bulkhead_types::{Decision, Direction, HostStage, Packet, RuleRef, Verdict};
use proptest::strategy::Strategy;

use crate::programs_of::fresh;
use crate::{hold, runner};

fn shapes() -> Vec<Shape> {
    let some = Shape { hosts: 2, policies: 2, ..Shape::default() };
    vec![some, Shape { hosts: 4, policies: 4, broken: false, ..some }]
}

/// Every host endpoint says of every packet what its program says.
fn compare(objects: &[bulkhead_api::Object], packets: &[Packet]) -> Result<Vec<Verdict>, String> {
    let oracle = Oracle::from_objects(objects);
    let staged = oracle.staged();
    let programs = fresh(objects);
    let mut verdicts = Vec::new();
    for host in oracle.hosts().filter(|host| !host.node.is_empty()) {
        let program = programs.get(&host.node).ok_or(format!("no program for {}", host.node))?;
        for stage in HostStage::ALL {
            for direction in Direction::BOTH {
                for packet in packets {
                    let truth = oracle.decide_host(&host.id, stage, direction, packet);
                    let compiled = program.decide_host(&host.id, stage, direction, packet);
                    if truth != compiled {
                        return Err(format!(
                            "{} {stage} {direction} {packet:?}\n  decide:  {truth:?}\n  program: {compiled:?}",
                            host.id
                        ));
                    }
                    let truth_staged = staged.decide_host(&host.id, stage, direction, packet);
                    let compiled = program.decide_host_staged(&host.id, stage, direction, packet);
                    if truth_staged != compiled {
                        return Err(format!(
                            "staged: {} {stage} {direction} {packet:?}\n  decide:  \
                             {truth_staged:?}\n  program: {compiled:?}",
                            host.id
                        ));
                    }
                    verdicts.push(truth);
                }
            }
        }
    }
    Ok(verdicts)
}

#[test]
fn host_programs_agree_with_decide_host() {
    hold(60, (Worlds(shapes()), Packets(40)), |(objects, packets)| {
        compare(&objects.0, &packets.0).map(|_| ())
    });
}

/// Agreement is worth something only if all sorts of answers are compared.
#[test]
fn random_hosts_give_every_kind_of_answer() {
    let mut runner = runner(1);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..40 {
        let tree = (Worlds(shapes()), Packets(20)).new_tree(&mut runner).expect("a world");
        let (objects, packets) = proptest::strategy::ValueTree::current(&tree);
        for verdict in compare(&objects.0, &packets.0).expect("engines agree") {
            let kind = match (verdict.decision, &verdict.rule) {
                (Decision::Allow, RuleRef::Rule { .. }) => "allowed by rule",
                (Decision::Deny, RuleRef::Rule { .. }) => "denied by rule",
                (_, RuleRef::TierDefault { .. }) => "denied by tier",
                (Decision::Allow, RuleRef::Profile { .. }) => "allowed by profile",
                (Decision::Deny, RuleRef::Profile { .. }) => "denied by profile",
                (_, RuleRef::NoProfile) => "no profile",
                (_, RuleRef::Failsafe) => "failsafe",
                (_, RuleRef::StageDefault) => "no say",
                _ => "other",
            };
            *counts.entry(kind).or_default() += 1;
        }
    }
    for kind in [
        "allowed by rule",
        "denied by rule",
        "denied by tier",
        "allowed by profile",
        "denied by profile",
        "no profile",
        "failsafe",
        "no say",
    ] {
        assert!(counts.get(kind).copied().unwrap_or_default() > 20, "{kind}: {counts:?}");
    }
    assert!(!counts.contains_key("other"), "{counts:?}");
}
