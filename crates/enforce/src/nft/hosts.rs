//! The four stages of host endpoints.
//!
//! | stage | hook | a packet of a known flow |
//! |---|---|---|
//! | untracked | prerouting and output, before connection tracking | stands for itself |
//! | preDNAT | prerouting, before translation | is judged if its sender has opened the flow |
//! | normal | input, output | is judged by the flow's first packet |
//! | forward | forward, at both interfaces | as normal |
//!
//! An allow by a rule at the first two is the host's last word at the interface where the packet came
//! in. A row cannot say *go on*, so such a stage has two programs: one that denies what is denied, and
//! one that allows only what a rule allows. What that one allows gets a bit of the packet's mark,
//! the one that the eBPF back end uses for the same.

mod elements;
mod said;
mod ways;

use bulkhead_types::HostStage;

use super::chains::{Turns, our_own, turn};
use super::denial::make_deny;
use super::expr::{Compare, Ct, End, Meta, Rule, Way, r};
use super::judge::{
    Family, Judge, MARK, WayIn, discovery, host_of, judge_chain, make_judge, noise, of_family,
    plain, with_mark,
};
use super::maps::{SAFE4, SAFE6, banked};
use super::objects::Change;
pub use elements::{HostElements, elements};
pub use said::Said;
use ways::{
    ANSWER, EARLY, LATES, Late, PRE_DNAT_IN, SAID_DNAT, SAID_IN, SAID_OUT, SILENCE, UNTRACKED_IN,
    UNTRACKED_OUT,
};
pub use ways::{stage_of, ways};

const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
/// Before connection tracking, and between it and destination NAT.
const RAW: i32 = -300;
const MANGLE: i32 = -150;

/// Of the packet's mark, as in `bpf/src/abi.h`.
const MARK_EARLY: u32 = 0x2000_0000;

/// Chains of hosts, in a table that has all others.
pub fn make(change: &mut Change<'_>, log_group: u16) {
    for way in ways().iter().filter(|way| way.deny.is_none()) {
        make_deny(change, way.name, log_group);
    }
    for chain in [EARLY, SILENCE, "host-untracked-in", "host-untracked-out", "host-prednat-in"] {
        change.make_chain(chain);
    }
    let bit = MARK_EARLY.to_ne_bytes();
    let others = (!MARK_EARLY).to_ne_bytes();
    let mark = with_mark().bits(r(15), r(14), &others, &bit).set_meta(Meta::Mark, r(14));
    change.add_rule(EARLY, mark);
    for late in &LATES {
        change.make_chain(late.name);
        change.add_rule(late.base, Rule::new().end(End::Jump(late.name)));
    }
    for bank in [0, 1] {
        make_bank(change, bank);
    }
    change.make_base_chain("host-raw", PREROUTING, RAW, None);
    let marked = with_mark().bits(r(15), r(14), &bit, &[0; 4]);
    let marked = marked.compare(r(14), Compare::Unequal, &[0; 4]);
    let clear = marked.bits(r(15), r(14), &others, &[0; 4]).set_meta(Meta::Mark, r(14));
    change.add_rule("host-raw", clear);
    change.make_base_chain("host-mangle", PREROUTING, MANGLE, None);
    change.make_base_chain("host-raw-out", OUTPUT, RAW, None);
    change.add_rule("host-raw-out", our_own());
    for (base, chain) in [
        ("host-raw", UNTRACKED_IN.name),
        ("host-mangle", PRE_DNAT_IN.name),
        ("host-raw-out", UNTRACKED_OUT.name),
    ] {
        change.add_rule(base, Rule::new().end(End::Jump(chain)));
    }
}

/// Lets the bank judge from now on.
pub fn choose_bank(change: &mut Change<'_>, bank: u8) {
    let all = LATES.iter().map(|late| late.name);
    for chain in all.chain([UNTRACKED_IN.name, UNTRACKED_OUT.name, PRE_DNAT_IN.name]) {
        change.clear_chain(chain);
        change.add_rule(chain, Rule::new().end(End::Goto(&format!("{chain}-{bank}"))));
    }
}

fn make_bank(change: &mut Change<'_>, bank: u8) {
    for family in Family::BOTH {
        for way in &ways() {
            make_judge(change, family, way, bank);
        }
    }
    for (judge, twin) in
        [(UNTRACKED_IN, SAID_IN), (UNTRACKED_OUT, SAID_OUT), (PRE_DNAT_IN, SAID_DNAT)]
    {
        make_early(change, &judge, &twin, bank);
    }
    for late in &LATES {
        make_late(change, late, bank);
    }
}

fn pass(change: &mut Change<'_>, chain: &str) {
    change.add_rule(chain, discovery());
    for rule in noise(End::Return) {
        change.add_rule(chain, rule);
    }
}

fn make_early(change: &mut Change<'_>, judge: &WayIn, twin: &WayIn, bank: u8) {
    let chain = format!("{}-{bank}", judge.name);
    change.make_chain(&chain);
    let is_untracked = judge.host.and_then(stage_of) == Some(HostStage::Untracked);
    // Nobody stands at the interface, or says nothing there.
    let stands = || judge.host.map(|host| host_of(Rule::new(), host, judge.device, bank));
    let gated = format!("{chain}-judges");
    change.make_chain(&gated);
    change.add_rule(&chain, stands().unwrap_or_default().end(End::Goto(&gated)));
    pass(change, &gated);
    if !is_untracked {
        early_is_judged(change, &gated);
        // What connection tracking cannot place is like a first packet; answers are not.
        let reply = Rule::new().ct(Ct::Direction, None, r(0)).equals(r(0), &[Way::Reply as u8]);
        change.add_rule(&gated, reply.end(End::Return));
        let related = Rule::new().ct(Ct::State, None, r(0)).equals(r(0), &STATE_RELATED);
        change.add_rule(&gated, related.end(End::Return));
    }
    for family in Family::BOTH {
        let subject = Judge { family, way: judge, bank };
        let answers = [false, true].into_iter().filter(|is_answer| is_untracked || !is_answer);
        for is_answer in answers {
            let rule = failsafe(&subject, is_answer);
            change.add_rule(&gated, rule.end(End::Return));
        }
    }
    for way in [judge, twin] {
        for family in Family::BOTH {
            let jump = of_family(family).end(End::Jump(&judge_chain(family, way, bank)));
            change.add_rule(&gated, jump);
        }
    }
}

/// `ct state related`, in the machine's order.
const STATE_RELATED: [u8; 4] = 4u32.to_ne_bytes();

/// The host's last word was said before.
fn early_is_judged(change: &mut Change<'_>, chain: &str) {
    let bit = MARK_EARLY.to_ne_bytes();
    let marked = with_mark().bits(r(15), r(14), &bit, &[0; 4]);
    let marked = marked.compare(r(14), Compare::Unequal, &[0; 4]);
    change.add_rule(chain, marked.end(End::Return));
}

fn make_late(change: &mut Change<'_>, late: &Late, bank: u8) {
    let chain = format!("{}-{bank}", late.name);
    change.make_chain(&chain);
    let families = Family::BOTH.map(|family| (family, format!("{chain}-{}", family.digit())));
    for (_, of_family) in &families {
        change.make_chain(of_family);
    }
    pass(change, &chain);
    if late.device == Meta::Iif || late.stage == HostStage::Normal {
        early_is_judged(change, &chain);
    }
    let [itself, opener, replier] = late.turns;
    for (family, of_it) in &families {
        change.add_rule(&chain, of_family(*family).end(End::Goto(of_it)));
        for way in &late.turns {
            make_gate(change, *family, way, late.stage, bank);
        }
        let is_in = late.device == Meta::Iif;
        let (original, reply) = if is_in { (replier, opener) } else { (opener, replier) };
        let turns = Turns { itself: Some(itself), original: Some(original), reply: Some(reply) };
        turn(change, of_it, *family, &turns, bank, &gate_chain);
    }
}

fn gate_chain(family: Family, way: &WayIn, bank: u8) -> String {
    format!("{}-gate", judge_chain(family, way, bank))
}

/// To the judge where somebody stands at the interface who has a say; fail-safe ports pass.
fn make_gate(change: &mut Change<'_>, family: Family, way: &WayIn, stage: HostStage, bank: u8) {
    let chain = gate_chain(family, way, bank);
    change.make_chain(&chain);
    let Some(host) = way.host else { return };
    if stage == HostStage::Normal {
        let rule = failsafe(&Judge { family, way, bank }, false);
        change.add_rule(&chain, rule.end(End::Return));
    }
    let stands = host_of(Rule::new(), host, way.device, bank);
    change.add_rule(&chain, stands.end(End::Goto(&judge_chain(family, way, bank))));
}

/// The port is open at the stage whatever the policies say.
fn failsafe(judge: &Judge<'_>, is_answer: bool) -> Rule {
    let Judge { family, way, bank } = *judge;
    let map = match family {
        Family::V4 => &SAFE4,
        Family::V6 => &SAFE6,
    };
    let rule = of_family(family).meta(Meta::Mark, MARK);
    let rule = plain(host_of(rule, way.host.unwrap_or(0), way.device, bank), r(0));
    let rule = judge.protocol(rule, r(1));
    let rule = judge.port(rule, false, is_answer, false, r(2));
    let flip = [0, 0, if is_answer { ANSWER } else { 0 }, 0];
    let rule = if is_answer { rule.bits(r(2), r(2), &[0xff, 0xff, 0, 0], &flip) } else { rule };
    let rule = judge.remote_to(rule, r(3));
    rule.look_up(&banked(map.name, bank), r(0), r(9))
}
