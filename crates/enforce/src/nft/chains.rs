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

use bulkhead_types::{Direction, HostStage, ToHost};

use super::expr::{Compare, Ct, End, Header, Meta, Rule, Way, r};
use super::hosts;
use super::judge::{
    Family, ICMP, ICMPV6, NearEnd, TCP, WayIn, discovery, judge_chain, local, make_judge, noise,
    of_family, of_protocol,
};
use super::objects::{Change, Kind, MapShape};

pub const HOOK_INPUT: u32 = 1;
pub const HOOK_FORWARD: u32 = 2;
pub const HOOK_OUTPUT: u32 = 3;

const STATE_INVALID: u32 = 1;
const STATE_UNTRACKED: u32 = 64;
const STATUS_CONFIRMED: u32 = 8;

/// Every port is allowed. Other shapes are looked up by port.
pub const SHAPE_ALL: u32 = 1;
/// A port is allowed from every source port.
pub const PORT_ALLOWED: u32 = 1;
/// In the place of the protocol: every protocol without rules of its own.
pub const OTHER_PROTOCOLS: u32 = 0x100;
/// The class of whoever is in no group.
pub const OUTSIDE: u32 = 0;
/// In the third byte of a port: 256 ports from here on.
pub const BLOCK: u8 = 1;

/// Denied packets that are told in a second, of one way and family together.
const TOLD_PER_SECOND: u64 = 2_000;
const TOLD_BURST: u32 = 4_000;
/// Headers, and what an ICMP error quotes.
const TOLD_BYTES: u32 = 160;

use Kind::{Interface, Ip4, Ip6, LinkAddress, Mark};

const fn map(name: &'static str, key: &'static [Kind]) -> MapShape {
    MapShape { name, key, has_intervals: false }
}

const fn net(name: &'static str, key: &'static [Kind]) -> MapShape {
    MapShape { name, key, has_intervals: true }
}

pub const IN4: MapShape = map("in4", &[Interface, Ip4]);
pub const IN6: MapShape = map("in6", &[Interface, Ip6]);
pub const OUT4: MapShape = map("out4", &[Interface, Ip4]);
pub const OUT6: MapShape = map("out6", &[Interface, Ip6]);
/// Who may send only by a link address of its own, and by which.
pub const ASKS4: MapShape = map("asks4", &[Interface, Ip4]);
pub const ASKS6: MapShape = map("asks6", &[Interface, Ip6]);
pub const MAC4: MapShape = map("mac4", &[Interface, Ip4, LinkAddress]);
pub const MAC6: MapShape = map("mac6", &[Interface, Ip6, LinkAddress]);
pub const CLASS4: MapShape = map("class4", &[Ip4]);
pub const CLASS6: MapShape = map("class6", &[Ip6]);
pub const NET4: MapShape = MapShape { name: "net4", key: &[Ip4], has_intervals: true };
pub const NET6: MapShape = MapShape { name: "net6", key: &[Ip6], has_intervals: true };
/// Class and program to row.
pub const ENTRY: MapShape = map("entry", &[Mark, Mark]);
/// Row and protocol to shape.
pub const PART: MapShape = map("part", &[Mark, Mark]);
/// Shape and port, or block of ports, to [`PORT_ALLOWED`] or the shape of the source ports.
pub const PORT: MapShape = map("port", &[Mark, Mark]);
/// What the node is at: see `banks.rs`.
pub const STATE: MapShape = map("state", &[Mark]);

/// Workloads' interfaces, whatever they are called now.
pub const KNOWN: MapShape = map("known", &[Interface]);

/// What a host endpoint is asked for, and the interface, to its table of programs.
pub const HOST: MapShape = map("host", &[Mark, Interface]);
/// Table and near address to program, and fail-safe ports: number, protocol, port and far address.
/// Intervals over the whole key, which begins with the number in network order.
pub const HOST_NET4: MapShape = net("hostnet4", &[Mark, Ip4]);
pub const HOST_NET6: MapShape = net("hostnet6", &[Mark, Ip6]);
pub const SAFE4: MapShape = net("safe4", &[Mark, Mark, Mark, Ip4]);
pub const SAFE6: MapShape = net("safe6", &[Mark, Mark, Mark, Ip6]);

/// Once in each bank.
pub const BANKED: [&MapShape; 18] = [
    &IN4, &IN6, &OUT4, &OUT6, &ASKS4, &ASKS6, &MAC4, &MAC6, &CLASS4, &CLASS6, &NET4, &NET6, &ENTRY,
    &HOST, &HOST_NET4, &HOST_NET6, &SAFE4, &SAFE6,
];
/// Rows and shapes mean the same in both banks.
pub const SHARED: [&MapShape; 4] = [&PART, &PORT, &STATE, &KNOWN];

pub fn banked(name: &str, bank: u8) -> String {
    format!("{name}-{bank}")
}

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
const WAYS: [WayIn; 6] = [FROM_OPENER, FROM_REPLIER, FROM_ITSELF, TO_OPENER, TO_REPLIER, TO_ITSELF];

/// What is told of packets whose address is not the interface's, with the side, and of those that a
/// workload sends to its own host although the node's setting is against it.
const STRANGER_FROM: &str = "stranger-from";
const STRANGER_TO: &str = "stranger-to";
const TO_HOST: &str = "to-host";

/// Who has denied a told packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    Workload,
    /// The near address is not the interface's.
    Stranger,
    /// The node's setting for what workloads send to their host.
    Setting,
    Host(HostStage),
}

/// What a told packet's prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldWay {
    pub by: ToldBy,
    /// The judged one's interface is where the packet came in.
    pub is_in: bool,
    pub direction: Direction,
    /// The packet's sender has opened the flow.
    pub from_opener: bool,
    pub is_late: bool,
}

/// Before the name of the way: the flow had been allowed.
const LATE: &str = "late-";

pub fn told_way(prefix: &str) -> Option<ToldWay> {
    let (is_late, name) = match prefix.strip_prefix(LATE) {
        Some(name) => (true, name),
        None => (false, prefix),
    };
    let plain = |by, is_in| {
        let direction = if is_in { Direction::Egress } else { Direction::Ingress };
        Some(ToldWay { by, is_in, direction, from_opener: true, is_late })
    };
    match name {
        STRANGER_FROM => return plain(ToldBy::Stranger, true),
        STRANGER_TO => return plain(ToldBy::Stranger, false),
        TO_HOST => return plain(ToldBy::Setting, true),
        _ => {}
    }
    let hosts = hosts::ways();
    let way = WAYS.iter().chain(&hosts).find(|way| way.name == name)?;
    let by = way.host.and_then(hosts::stage_of).map_or(ToldBy::Workload, ToldBy::Host);
    let from_judged = way.near == NearEnd::Source;
    Some(ToldWay {
        by,
        is_in: way.device == Meta::Iif,
        direction: if way.is_opener { Direction::Egress } else { Direction::Ingress },
        from_opener: from_judged == way.is_opener,
        is_late,
    })
}

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
        for door in DOORS.iter().filter(|door| door.base == chain) {
            change.add_rule(chain, Rule::new().end(End::Jump(&door.first())));
        }
    }
    if has_hosts {
        hosts::make(change, log_group);
    }
}

pub fn make_deny(change: &mut Change<'_>, name: &str, log_group: u16) {
    let (deny, late) = (format!("deny-{name}"), format!("{LATE}{name}"));
    for chain in [&deny, &late] {
        change.make_chain(chain);
    }
    // A flow is confirmed when a packet of it has left the node.
    let confirmed = Rule::new().ct(Ct::Status, None, r(0));
    let confirmed = confirmed.bits(r(0), r(0), &STATUS_CONFIRMED.to_ne_bytes(), &[0; 4]);
    let confirmed = confirmed.compare(r(0), Compare::Unequal, &[0; 4]);
    change.add_rule(&deny, confirmed.end(End::Goto(&late)));
    for (chain, prefix) in [(&deny, name), (&late, late.as_str())] {
        let told = Rule::new().limit(TOLD_PER_SECOND, TOLD_BURST);
        change.add_rule(chain, told.log(log_group, prefix, TOLD_BYTES));
        change.add_rule(chain, Rule::new().end(End::Drop));
    }
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
