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

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Decision, Direction, EndpointId, FailsafePort, HostStage, RuleRef};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{ClassId, HostProgram, NodeProgram, ProgramId, RowId, RuleId};
use ipnet::IpNet;

use super::chains::{SAFE4, SAFE6, Turns, banked, make_deny, turn};
use super::expr::{Compare, Ct, End, Meta, Rule, Way, r};
use super::intervals::flatten;
use super::judge::{
    Family, Judge, MARK, NearEnd, WayIn, discovery, host_of, judge_chain, make_judge, noise,
    of_family, plain, with_mark,
};
use super::objects::{Change, Element};

const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
/// Before connection tracking, and between it and destination NAT.
const RAW: i32 = -300;
const MANGLE: i32 = -150;

/// Of the packet's mark, as in `bpf/src/abi.h`.
const MARK_EARLY: u32 = 0x2000_0000;

/// Of the number that the map of hosts is asked for: the program that allows only what a rule allows.
const SAID: u32 = 0x10;
/// In a key of fail-safe ports, behind the port: the port is the sender's.
const ANSWER: u8 = 1;
/// Where a packet goes that an early rule allows, and where one goes that no early rule speaks of.
const EARLY: &str = "host-early";
const SILENCE: &str = "host-silence";

const fn code(stage: HostStage, direction: Direction) -> u32 {
    let stage = match stage {
        HostStage::Untracked => 0,
        HostStage::PreDnat => 1,
        HostStage::Normal => 2,
        HostStage::Forward => 3,
    };
    stage * 2 + if matches!(direction, Direction::Egress) { 1 } else { 0 }
}

pub fn stage_of(code: u32) -> Option<HostStage> {
    HostStage::ALL.get((code & !SAID) as usize / 2).copied()
}

const fn way(
    name: &'static str,
    is_in: bool,
    stage: HostStage,
    is_opener: bool,
    is_tracked: bool,
) -> WayIn {
    let direction = if is_opener { Direction::Egress } else { Direction::Ingress };
    WayIn {
        name,
        device: if is_in { Meta::Iif } else { Meta::Oif },
        near: if is_in { NearEnd::Destination } else { NearEnd::Source },
        is_opener,
        is_tracked,
        host: Some(code(stage, direction)),
        allow: End::Return,
        deny: None,
    }
}

/// The twin of an early way: what a rule allows goes on marked, everything else as it came.
const fn said(name: &'static str, of: WayIn) -> WayIn {
    let host = match of.host {
        Some(code) => Some(code | SAID),
        None => None,
    };
    WayIn { name, host, allow: End::Goto(EARLY), deny: Some(SILENCE), ..of }
}

const UNTRACKED_IN: WayIn = way("host-untracked-in", true, HostStage::Untracked, false, false);
const UNTRACKED_OUT: WayIn = way("host-untracked-out", false, HostStage::Untracked, true, false);
const PRE_DNAT_IN: WayIn = way("host-prednat-in", true, HostStage::PreDnat, false, false);
const SAID_IN: WayIn = said("host-said-untracked-in", UNTRACKED_IN);
const SAID_OUT: WayIn = said("host-said-untracked-out", UNTRACKED_OUT);
const SAID_DNAT: WayIn = said("host-said-prednat-in", PRE_DNAT_IN);
const EARLY_WAYS: [WayIn; 6] =
    [UNTRACKED_IN, UNTRACKED_OUT, PRE_DNAT_IN, SAID_IN, SAID_OUT, SAID_DNAT];

/// A later stage at one side of the node.
struct Late {
    name: &'static str,
    base: &'static str,
    device: Meta,
    stage: HostStage,
    turns: [WayIn; 3],
}

const fn late(
    name: &'static str,
    base: &'static str,
    is_in: bool,
    stage: HostStage,
    [itself, opener, replier]: [&'static str; 3],
) -> Late {
    Late {
        name,
        base,
        device: if is_in { Meta::Iif } else { Meta::Oif },
        stage,
        turns: [
            way(itself, is_in, stage, !is_in, false),
            way(opener, is_in, stage, true, true),
            way(replier, is_in, stage, false, true),
        ],
    }
}

const LATES: [Late; 4] = [
    late(
        "host-normal-in",
        "input",
        true,
        HostStage::Normal,
        ["host-normal-in-itself", "host-normal-in-opener", "host-normal-in-replier"],
    ),
    late(
        "host-normal-out",
        "output",
        false,
        HostStage::Normal,
        ["host-normal-out-itself", "host-normal-out-opener", "host-normal-out-replier"],
    ),
    late(
        "host-forward-in",
        "forward",
        true,
        HostStage::Forward,
        ["host-forward-in-itself", "host-forward-in-opener", "host-forward-in-replier"],
    ),
    late(
        "host-forward-out",
        "forward",
        false,
        HostStage::Forward,
        ["host-forward-out-itself", "host-forward-out-opener", "host-forward-out-replier"],
    ),
];

pub fn ways() -> Vec<WayIn> {
    LATES.iter().flat_map(|late| late.turns).chain(EARLY_WAYS).collect()
}

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

// What follows makes the elements.

/// Programs that allow only what a rule allows, beside those of the early stages.
pub fn with_said(program: &Arc<NodeProgram>) -> Arc<NodeProgram> {
    let stages = program.hosts.values().flat_map(|host| &host.stages);
    let early = stages.filter(|((stage, _), _)| stage.is_early());
    let ids: BTreeSet<ProgramId> = early.flat_map(|(_, locals)| locals.values().copied()).collect();
    if ids.is_empty() {
        return Arc::clone(program);
    }
    let mut twin = NodeProgram::clone(program);
    for ((id, class), row) in program.entries.iter().filter(|((id, _), _)| ids.contains(id)) {
        let Some(old) = program.rows.get(row) else { continue };
        let new = row_said(old);
        let new_id = RowId::of(&new);
        Arc::make_mut(&mut twin.rows).insert(new_id, new.into());
        Arc::make_mut(&mut twin.entries).insert((said_of(*id), *class), new_id);
    }
    twin.into()
}

fn said_of(program: ProgramId) -> ProgramId {
    ProgramId(content_hash([b"said".as_slice(), &program.0.to_le_bytes()]))
}

fn row_said(row: &Row) -> Row {
    let silence = RuleId::of(&RuleRef::StageDefault);
    let leaf = |leaf: &Leaf| match leaf.rule == silence {
        true => Leaf { decision: Decision::Deny, rule: silence },
        false => *leaf,
    };
    let spans = |old: &Spans| {
        let spans = old.as_slice().iter().map(|span| Span {
            start: span.start,
            outcome: match &span.outcome {
                Outcome::Leaf(old) => Outcome::Leaf(leaf(old)),
                Outcome::BySource(old) => {
                    Outcome::BySource(old.iter().map(|(start, old)| (*start, leaf(old))).collect())
                }
            },
        });
        Spans::new(spans.collect()).unwrap_or_else(|| old.clone())
    };
    Row {
        tcp: spans(&row.tcp),
        udp: spans(&row.udp),
        sctp: spans(&row.sctp),
        icmp: spans(&row.icmp),
        icmpv6: spans(&row.icmpv6),
        other: spans(&row.other),
    }
}

/// Elements of the five maps of hosts: tables, near addresses by family, fail-safe ports by family.
pub type HostElements = [Vec<Element>; 5];

/// `number`: a table's, by what it is. `program`: a program's.
pub fn elements(
    node: &NodeProgram,
    standing: &BTreeMap<u32, EndpointId>,
    mut number: impl FnMut(u64) -> u32,
    program: impl Fn(ProgramId) -> u32,
) -> HostElements {
    let mut all = HostElements::default();
    let [hosts, near4, near6, safe4, safe6] = &mut all;
    let mut made = BTreeSet::new();
    for (ifindex, id) in standing {
        let Some(host) = node.hosts.get(id) else { continue };
        for ((stage, direction), locals) in &host.stages {
            let code = code(*stage, *direction);
            for what in [code, code | SAID] {
                let is_said = what & SAID != 0;
                if is_said && !stage.is_early() {
                    continue;
                }
                let content = [b"host".as_slice(), id.name.as_bytes(), &what.to_le_bytes()];
                let table = number(content_hash(content)).to_be_bytes();
                let key = [what.to_ne_bytes(), ifindex.to_ne_bytes()].concat();
                hosts.push(Element { key, value: Some(u32::from_ne_bytes(table)) });
                if !made.insert(table) {
                    continue;
                }
                let id_of = |id| program(if is_said { said_of(id) } else { id });
                near4.extend(nearby(&table, locals, true, id_of));
                near6.extend(nearby(&table, locals, false, id_of));
                safe4.extend(safe(&table, host, *stage, *direction, true));
                safe6.extend(safe(&table, host, *stage, *direction, false));
            }
        }
    }
    all
}

/// The intervals of one table's near addresses.
fn nearby(
    table: &[u8],
    locals: &BTreeMap<IpNet, ProgramId>,
    is_ipv4: bool,
    program: impl Fn(ProgramId) -> u32,
) -> Vec<Element> {
    let classes: BTreeMap<IpNet, ClassId> = locals
        .iter()
        .filter(|(net, _)| net.addr().is_ipv4() == is_ipv4)
        .map(|(net, id)| (*net, ClassId(id.0)))
        .collect();
    under(table, flatten(classes.iter(), is_ipv4, |class| program(ProgramId(class.0))), is_ipv4)
}

/// The elements behind a common beginning of their keys, closed at its end.
fn under(prefix: &[u8], elements: Vec<Element>, is_ipv4: bool) -> Vec<Element> {
    let is_open = elements.last().is_some_and(|last| last.value.is_some());
    let mut all: Vec<Element> = elements
        .into_iter()
        .map(|element| Element { key: [prefix, &element.key].concat(), ..element })
        .collect();
    if is_open {
        let mut next = prefix.to_vec();
        for byte in next.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        next.resize(prefix.len() + if is_ipv4 { 4 } else { 16 }, 0);
        all.push(Element { key: next, value: None });
    }
    all
}

fn safe(
    table: &[u8],
    host: &HostProgram,
    stage: HostStage,
    direction: Direction,
    is_ipv4: bool,
) -> Vec<Element> {
    let (own, reverse) = match direction {
        Direction::Ingress => (&host.failsafe_inbound, &host.failsafe_outbound),
        Direction::Egress => (&host.failsafe_outbound, &host.failsafe_inbound),
    };
    let mut nets: BTreeMap<Vec<u8>, BTreeMap<IpNet, ClassId>> = BTreeMap::new();
    let mut add = |port: &FailsafePort, answer: u8| {
        let [high, low] = port.port.to_be_bytes();
        let key = [table, &[port.protocol.0, 0, 0, 0], &[high, low, answer, 0]].concat();
        let whole: IpNet = match is_ipv4 {
            true => ipnet::Ipv4Net::default().into(),
            false => ipnet::Ipv6Net::default().into(),
        };
        let net = port.net.unwrap_or(whole);
        if is_family(net.addr(), is_ipv4) {
            nets.entry(key).or_default().insert(net, ClassId(1));
        }
    };
    if stage != HostStage::Forward {
        own.iter().for_each(|port| add(port, 0));
    }
    if stage == HostStage::Untracked {
        reverse.iter().for_each(|port| add(port, ANSWER));
    }
    nets.into_iter()
        .flat_map(|(key, nets)| under(&key, flatten(nets.iter(), is_ipv4, |_| 1), is_ipv4))
        .collect()
}

fn is_family(address: IpAddr, is_ipv4: bool) -> bool {
    address.is_ipv4() == is_ipv4
}
