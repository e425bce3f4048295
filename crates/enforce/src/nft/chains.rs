//! The rules. They are the same for every program: what differs is in the maps.
//!
//! ```text
//! forward, input ─▶ from ─┐  the packet comes from a workload's interface
//! forward, output ─▶ to ──┴▶ fromF-B, toF-B ─▶ judge-F-WAY-B ─▶ …-x, …-n ─▶ …-o ─▶ deny-WAY
//! ```
//!
//! F is the family, B the bank (see `banks.rs`), WAY one of the six below. A judged packet *returns*
//! where it is allowed and is dropped where not; what no rule says is dropped.
//!
//! A packet of a known flow is judged by the flow's first packet, as connection tracking remembers it,
//! every packet anew: so a new program holds from the next packet on, and nothing is left of an old
//! verdict. Addresses are the real ones at these hooks, after any translation of destinations.
//!
//! INVARIANT(one-bank): all that one packet is judged by at a hook stands in one bank, because the
//! rules that choose the bank are replaced at once.

use bulkhead_types::ToHost;

use super::denial::{STRANGER_FROM, STRANGER_TO, TO_HOST, make_deny};
use super::expr::{Compare, Ct, End, Header, Meta, Rule, Way, r};
use super::hosts;
use super::judge::{
    Family, ICMP, ICMPV6, NearEnd, TCP, WayIn, discovery, judge_chain, local, make_judge, noise,
    of_family, of_protocol,
};
use super::maps::{ASKS4, ASKS6, BANKED, KNOWN, MAC4, MAC6, SHARED, banked};
use super::objects::Change;

pub const HOOK_INPUT: u32 = 1;
pub const HOOK_FORWARD: u32 = 2;
pub const HOOK_OUTPUT: u32 = 3;

/// The marks of packets that the agent sends in another's name: resets, and answers of resolvers.
pub const MARK_OWN: u32 = 0x4268_0001;
pub const MARK_ANSWER: u32 = 0x4268_0002;
/// What both have.
const MARK_BITS: u32 = 0xffff_fffc;

const STATE_INVALID: u32 = 1;
const STATE_UNTRACKED: u32 = 64;

const fn way(name: &'static str, is_from: bool, is_opener: bool, is_tracked: bool) -> WayIn {
    WayIn {
        name,
        device: if is_from { Meta::Iif } else { Meta::Oif },
        near: if is_from { NearEnd::Source } else { NearEnd::Destination },
        is_opener,
        is_tracked,
        host: None,
        allow: End::Return,
        deny: None,
    }
}

const FROM_OPENER: WayIn = way("from-opener", true, true, true);
const FROM_REPLIER: WayIn = way("from-replier", true, false, true);
const FROM_ITSELF: WayIn = way("from-itself", true, true, false);
const TO_OPENER: WayIn = way("to-opener", false, true, true);
const TO_REPLIER: WayIn = way("to-replier", false, false, true);
const TO_ITSELF: WayIn = way("to-itself", false, false, false);
pub const WAYS: [WayIn; 6] =
    [FROM_OPENER, FROM_REPLIER, FROM_ITSELF, TO_OPENER, TO_REPLIER, TO_ITSELF];

/// Chains that no program changes, and the maps.
pub fn make(change: &mut Change<'_>, prefixes: &[String], log_group: u16, has_hosts: bool) {
    for shape in SHARED {
        change.make_map(shape.name, shape);
    }
    for bank in [0, 1] {
        for shape in BANKED {
            change.make_map(&banked(shape.name, bank), shape);
        }
    }
    for name in WAYS.map(|way| way.name).into_iter().chain([STRANGER_FROM, STRANGER_TO, TO_HOST]) {
        make_deny(change, name, log_group);
    }
    for door in &DOORS {
        change.make_chain(door.name);
        change.make_chain(&door.first());
    }
    change.make_chain(TO_HOST);
    for bank in [0, 1] {
        make_bank(change, bank);
    }
    choose_interfaces(change, prefixes);
    for (chain, hook) in [("forward", HOOK_FORWARD), ("input", HOOK_INPUT), ("output", HOOK_OUTPUT)]
    {
        change.make_base_chain(chain, hook, 0, None);
        if hook == HOOK_OUTPUT {
            change.add_rule(chain, our_own());
        }
        for door in DOORS.iter().filter(|door| door.base == chain) {
            change.add_rule(chain, Rule::new().end(End::Jump(&door.first())));
        }
    }
    if has_hosts {
        hosts::make(change, log_group);
    }
}

/// What the agent sends in the name of another.
pub fn our_own() -> Rule {
    let marked = Rule::new().meta(Meta::Mark, r(0));
    let marked = marked.bits(r(0), r(0), &MARK_BITS.to_ne_bytes(), &[0; 4]);
    marked.equals(r(0), &(MARK_OWN & MARK_BITS).to_ne_bytes()).end(End::Accept)
}

/// What a packet of a known flow meets, by its direction, and one that stands for itself.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// `None` lets it pass.
    pub itself: Option<WayIn>,
    pub original: Option<WayIn>,
    pub reply: Option<WayIn>,
}

/// A hook, and the side of it that is a workload's.
struct Door {
    name: &'static str,
    base: &'static str,
    is_from: bool,
    turns: Turns,
}

const DOORS: [Door; 4] = [
    Door {
        name: "from-forward",
        base: "forward",
        is_from: true,
        turns: Turns {
            itself: Some(FROM_ITSELF),
            original: Some(FROM_OPENER),
            reply: Some(FROM_REPLIER),
        },
    },
    Door {
        name: "to-forward",
        base: "forward",
        is_from: false,
        turns: Turns {
            itself: Some(TO_ITSELF),
            original: Some(TO_REPLIER),
            reply: Some(TO_OPENER),
        },
    },
    // A host always reaches its own workloads: what it has opened is nobody's to deny.
    Door {
        name: "from-input",
        base: "input",
        is_from: true,
        turns: Turns { itself: Some(FROM_ITSELF), original: Some(FROM_OPENER), reply: None },
    },
    Door {
        name: "to-output",
        base: "output",
        is_from: false,
        turns: Turns { itself: None, original: None, reply: Some(TO_OPENER) },
    },
];

impl Door {
    /// Where it is found out whether the interface is a workload's.
    fn first(&self) -> String {
        format!("is-{}", self.name)
    }
}

/// Judges the packets of every interface whose name begins so, and of those that are known. What has
/// no endpoint passes nothing.
pub fn choose_interfaces(change: &mut Change<'_>, prefixes: &[String]) {
    for door in &DOORS {
        let (index, name) = match door.is_from {
            true => (Meta::Iif, Meta::IifName),
            false => (Meta::Oif, Meta::OifName),
        };
        let chain = door.first();
        change.clear_chain(&chain);
        let known = Rule::new().meta(index, r(0)).look_up(KNOWN.name, r(0), r(1));
        change.add_rule(&chain, known.end(End::Goto(door.name)));
        for prefix in prefixes {
            let rule = Rule::new().meta(name, r(0)).equals(r(0), prefix.as_bytes());
            change.add_rule(&chain, rule.end(End::Goto(door.name)));
        }
    }
}

/// Lets the bank judge from now on.
pub fn choose_bank(change: &mut Change<'_>, bank: u8, to_host: ToHost, has_hosts: bool) {
    for door in &DOORS {
        let chain = door.name;
        change.clear_chain(chain);
        change.add_rule(chain, discovery());
        let any = if door.is_from { &FROM_ITSELF } else { &TO_ITSELF };
        let stranger = if door.is_from { STRANGER_FROM } else { STRANGER_TO };
        for family in Family::BOTH {
            let goes = format!("{chain}{}-{bank}", family.digit());
            if door.is_from {
                own_frames(change, chain, family, bank, &goes);
            }
            let known = local(of_family(family), family, any, bank, r(5));
            change.add_rule(chain, known.end(End::Goto(&goes)));
        }
        for rule in noise(End::Drop) {
            change.add_rule(chain, rule);
        }
        change.add_rule(chain, Rule::new().end(End::Goto(&format!("deny-{stranger}"))));
    }
    choose_setting(change, to_host);
    if has_hosts {
        hosts::choose_bank(change, bank);
    }
}

/// What a workload has opened to its own host, once the workload's own program allows it.
pub fn choose_setting(change: &mut Change<'_>, to_host: ToHost) {
    change.clear_chain(TO_HOST);
    if to_host == ToHost::Drop {
        change.add_rule(TO_HOST, Rule::new().end(End::Goto(&format!("deny-{TO_HOST}"))));
    }
}

/// Who has a link address of its own sends by no other.
fn own_frames(change: &mut Change<'_>, chain: &str, family: Family, bank: u8, goes: &str) {
    let (asks, macs, mac) = match family {
        Family::V4 => (&ASKS4, &MAC4, r(2)),
        Family::V6 => (&ASKS6, &MAC6, r(5)),
    };
    let sender = || family.source(of_family(family).meta(Meta::Iif, r(0)), r(1));
    let own = sender().payload(Header::Link, 6, 6, mac);
    let own = own.look_up(&banked(macs.name, bank), r(0), r(8));
    change.add_rule(chain, own.end(End::Goto(goes)));
    let other = sender().look_up(&banked(asks.name, bank), r(0), r(8));
    change.add_rule(chain, other.end(End::Goto(&format!("deny-{STRANGER_FROM}"))));
}

fn make_bank(change: &mut Change<'_>, bank: u8) {
    for family in Family::BOTH {
        for way in &WAYS {
            make_judge(change, family, way, bank);
        }
        for door in &DOORS {
            let chain = format!("{}{}-{bank}", door.name, family.digit());
            change.make_chain(&chain);
            for rule in noise(End::Drop) {
                change.add_rule(&chain, rule);
            }
            let other = if family == Family::V4 { ICMPV6 } else { ICMP };
            change.add_rule(&chain, of_protocol(Rule::new(), other).end(End::Drop));
            if door.base != "input" {
                turn(change, &chain, family, &door.turns, bank, &judge_chain);
                change.add_rule(&chain, Rule::new().end(End::Drop));
                continue;
            }
            // The program's word first; an allowed packet comes back to meet the setting.
            let judges = format!("{chain}-judges");
            change.make_chain(&judges);
            turn(change, &judges, family, &door.turns, bank, &judge_chain);
            change.add_rule(&judges, Rule::new().end(End::Drop));
            change.add_rule(&chain, Rule::new().end(End::Jump(&judges)));
            let anew = first_of_tcp().end(End::Goto(TO_HOST));
            change.add_rule(&chain, anew);
            let reply = Rule::new().ct(Ct::Direction, None, r(0));
            let reply = reply.equals(r(0), &[Way::Reply as u8]);
            change.add_rule(&chain, reply.end(End::Return));
            change.add_rule(&chain, Rule::new().end(End::Goto(TO_HOST)));
        }
    }
}

/// A packet that begins a connection.
fn first_of_tcp() -> Rule {
    let syn = of_protocol(Rule::new(), TCP).payload(Header::Transport, 13, 1, r(1));
    syn.bits(r(1), r(1), &[0x16], &[0]).equals(r(1), &[0x02])
}

/// Sends a packet on by what connection tracking says of it.
pub fn turn(
    change: &mut Change<'_>,
    chain: &str,
    family: Family,
    turns: &Turns,
    bank: u8,
    target: &dyn Fn(Family, &WayIn, u8) -> String,
) {
    let go = |way: Option<WayIn>, rule: Rule| match way {
        Some(way) => rule.end(End::Goto(&target(family, &way, bank))),
        None => rule.end(End::Return),
    };
    let unknown = (STATE_INVALID | STATE_UNTRACKED).to_ne_bytes();
    let state = Rule::new().ct(Ct::State, None, r(0)).bits(r(0), r(0), &unknown, &[0; 4]);
    let state = state.compare(r(0), Compare::Unequal, &[0; 4]);
    change.add_rule(chain, go(turns.itself, state));
    // A connection that is begun anew with the ports of an old one, maybe from the other end.
    change.add_rule(chain, go(turns.itself, first_of_tcp()));
    for (way, judged) in [(Way::Original, turns.original), (Way::Reply, turns.reply)] {
        let rule = Rule::new().ct(Ct::Direction, None, r(0)).equals(r(0), &[way as u8]);
        change.add_rule(chain, go(judged, rule));
    }
}
