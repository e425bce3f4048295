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
//! A value that was looked up is itself looked up with in the same rule. The kernel does not mind; `nft`
//! of many versions aborts when it lists such a rule, and with it whatever else on the node asks it. So
//! such a value passes once through the packet's mark, which has its own value back before anything
//! can end the rule: see [`plain`].
//!
//! INVARIANT(one-bank): all that one packet is judged by at a hook stands in one bank, because the
//! rules that choose the bank are replaced at once.

use super::expr::{Compare, Ct, End, Header, Meta, Rule, Way, r};
use super::objects::{Change, Kind, MapShape};

pub const HOOK_INPUT: u32 = 1;
pub const HOOK_FORWARD: u32 = 2;
pub const HOOK_OUTPUT: u32 = 3;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

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

/// Once in each bank.
pub const BANKED: [&MapShape; 13] = [
    &IN4, &IN6, &OUT4, &OUT6, &ASKS4, &ASKS6, &MAC4, &MAC6, &CLASS4, &CLASS6, &NET4, &NET6, &ENTRY,
];
/// Rows and shapes mean the same in both banks.
pub const SHARED: [&MapShape; 4] = [&PART, &PORT, &STATE, &KNOWN];

pub fn banked(name: &str, bank: u8) -> String {
    format!("{name}-{bank}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn digit(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// NFPROTO_IPV4 and NFPROTO_IPV6.
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    fn icmp(self) -> u8 {
        match self {
            Self::V4 => ICMP,
            Self::V6 => ICMPV6,
        }
    }

    fn source(self, rule: Rule, to: u32) -> Rule {
        match self {
            Self::V4 => rule.payload(Header::Network, 12, 4, to),
            Self::V6 => rule.payload(Header::Network, 8, 16, to),
        }
    }

    fn destination(self, rule: Rule, to: u32) -> Rule {
        match self {
            Self::V4 => rule.payload(Header::Network, 16, 4, to),
            Self::V6 => rule.payload(Header::Network, 24, 16, to),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The interface that the packet came by is the workload's.
    From,
    To,
}

/// How a packet is judged at a workload's interface. The name is told with every denied packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WayIn {
    name: &'static str,
    side: Side,
    /// The workload has opened the flow: its egress program judges.
    is_opener: bool,
    /// By connection tracking; else the packet stands for itself.
    is_tracked: bool,
}

const fn way(name: &'static str, side: Side, is_opener: bool, is_tracked: bool) -> WayIn {
    WayIn { name, side, is_opener, is_tracked }
}

const FROM_OPENER: WayIn = way("from-opener", Side::From, true, true);
const FROM_REPLIER: WayIn = way("from-replier", Side::From, false, true);
const FROM_ITSELF: WayIn = way("from-itself", Side::From, true, false);
const TO_OPENER: WayIn = way("to-opener", Side::To, true, true);
const TO_REPLIER: WayIn = way("to-replier", Side::To, false, true);
const TO_ITSELF: WayIn = way("to-itself", Side::To, false, false);
const WAYS: [WayIn; 6] = [FROM_OPENER, FROM_REPLIER, FROM_ITSELF, TO_OPENER, TO_REPLIER, TO_ITSELF];

/// What is told of packets whose address is not the interface's, with the side.
pub const STRANGER_FROM: &str = "stranger-from";
pub const STRANGER_TO: &str = "stranger-to";

/// What a told packet's prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldWay {
    pub from_workload: bool,
    pub from_opener: bool,
    pub is_late: bool,
    pub is_stranger: bool,
}

/// Before the name of the way: the flow had been allowed.
const LATE: &str = "late-";

pub fn told_way(prefix: &str) -> Option<ToldWay> {
    let (is_late, name) = match prefix.strip_prefix(LATE) {
        Some(name) => (true, name),
        None => (false, prefix),
    };
    if name == STRANGER_FROM || name == STRANGER_TO {
        let from_workload = name == STRANGER_FROM;
        return Some(ToldWay { from_workload, from_opener: true, is_late, is_stranger: true });
    }
    let way = WAYS.iter().find(|way| way.name == name)?;
    let from_workload = way.side == Side::From;
    let from_opener = from_workload == way.is_opener;
    Some(ToldWay { from_workload, from_opener, is_late, is_stranger: false })
}

/// Chains that no program changes, and the maps.
pub fn make(change: &mut Change<'_>, prefixes: &[String], log_group: u16) {
    for shape in SHARED {
        change.make_map(shape.name, shape);
    }
    for bank in [0, 1] {
        for shape in BANKED {
            change.make_map(&banked(shape.name, bank), shape);
        }
    }
    for name in WAYS.map(|way| way.name).into_iter().chain([STRANGER_FROM, STRANGER_TO]) {
        make_deny(change, name, log_group);
    }
    for side in ["from", "to"] {
        change.make_chain(side);
    }
    for bank in [0, 1] {
        make_bank(change, bank);
    }
    for chain in ["is-from", "is-to"] {
        change.make_chain(chain);
    }
    choose_interfaces(change, prefixes);
    for (chain, hook, sides) in BASES {
        change.make_base_chain(chain, hook, 0, None);
        for side in sides {
            let first = if *side == Side::From { "is-from" } else { "is-to" };
            change.add_rule(chain, Rule::new().end(End::Jump(first)));
        }
    }
}

fn make_deny(change: &mut Change<'_>, name: &str, log_group: u16) {
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

/// Hook and the side of it that may be a workload's.
const BASES: [(&str, u32, &[Side]); 3] = [
    ("forward", HOOK_FORWARD, &[Side::From, Side::To]),
    ("input", HOOK_INPUT, &[Side::From]),
    ("output", HOOK_OUTPUT, &[Side::To]),
];

/// Judges the packets of every interface whose name begins so, and of those that are known. What has
/// no endpoint passes nothing.
pub fn choose_interfaces(change: &mut Change<'_>, prefixes: &[String]) {
    for side in [Side::From, Side::To] {
        let (chain, judge, index, name) = match side {
            Side::From => ("is-from", "from", Meta::Iif, Meta::IifName),
            Side::To => ("is-to", "to", Meta::Oif, Meta::OifName),
        };
        change.clear_chain(chain);
        let known = Rule::new().meta(index, r(0)).look_up(KNOWN.name, r(0), r(1));
        change.add_rule(chain, known.end(End::Goto(judge)));
        for prefix in prefixes {
            let rule = Rule::new().meta(name, r(0)).equals(r(0), prefix.as_bytes());
            change.add_rule(chain, rule.end(End::Goto(judge)));
        }
    }
}

/// Lets the bank judge from now on.
pub fn choose_bank(change: &mut Change<'_>, bank: u8) {
    for (chain, side) in [("from", Side::From), ("to", Side::To)] {
        change.clear_chain(chain);
        change.add_rule(chain, discovery());
        for family in Family::BOTH {
            let rule = of_family(family);
            let goes = format!("{chain}{}-{bank}", family.digit());
            if side == Side::From {
                own_frames(change, family, bank, &goes);
            }
            let known = local(rule, family, side, side == Side::From, bank, r(5));
            change.add_rule(chain, known.end(End::Goto(&goes)));
        }
        for rule in noise() {
            change.add_rule(chain, rule);
        }
        let stranger = if side == Side::From { STRANGER_FROM } else { STRANGER_TO };
        change.add_rule(chain, Rule::new().end(End::Goto(&format!("deny-{stranger}"))));
    }
}

/// Who has a link address of its own sends by no other.
fn own_frames(change: &mut Change<'_>, family: Family, bank: u8, goes: &str) {
    let (asks, macs, mac) = match family {
        Family::V4 => (&ASKS4, &MAC4, r(2)),
        Family::V6 => (&ASKS6, &MAC6, r(5)),
    };
    let sender = || family.source(of_family(family).meta(Meta::Iif, r(0)), r(1));
    let own = sender().payload(Header::Link, 6, 6, mac);
    let own = own.look_up(&banked(macs.name, bank), r(0), r(8));
    change.add_rule("from", own.end(End::Goto(goes)));
    let other = sender().look_up(&banked(asks.name, bank), r(0), r(8));
    change.add_rule("from", other.end(End::Goto(&format!("deny-{STRANGER_FROM}"))));
}

fn of_family(family: Family) -> Rule {
    Rule::new().meta(Meta::Family, r(0)).equals(r(0), &[family.number()])
}

fn of_protocol(rule: Rule, protocol: u8) -> Rule {
    rule.meta(Meta::L4Protocol, r(0)).equals(r(0), &[protocol])
}

/// Neighbour discovery never crosses a router: hop limit 255, types 133 to 137.
fn discovery() -> Rule {
    let rule = of_protocol(of_family(Family::V6), ICMPV6);
    let rule = rule.payload(Header::Network, 7, 1, r(1)).equals(r(1), &[255]);
    let rule = rule.payload(Header::Transport, 0, 1, r(2));
    rule.range(r(2), &[133], &[137]).end(End::Return)
}

/// Reports of group membership, which every host sends on its link: dropped and not told.
fn noise() -> [Rule; 2] {
    let v4 = of_protocol(of_family(Family::V4), IGMP).payload(Header::Network, 16, 1, r(1));
    let v6 = of_protocol(of_family(Family::V6), ICMPV6).payload(Header::Network, 24, 1, r(1));
    [
        v4.bits(r(1), r(1), &[0xf0], &[0]).equals(r(1), &[0xe0]).end(End::Drop),
        v6.equals(r(1), &[0xff]).end(End::Drop),
    ]
}

/// The program that judges the workload, by interface and near address. Uses registers 0 to 4.
fn local(rule: Rule, family: Family, side: Side, is_opener: bool, bank: u8, to: u32) -> Rule {
    let rule = match side {
        Side::From => family.source(rule.meta(Meta::Iif, r(0)), r(1)),
        Side::To => family.destination(rule.meta(Meta::Oif, r(0)), r(1)),
    };
    let map = match (family, is_opener) {
        (Family::V4, false) => &IN4,
        (Family::V6, false) => &IN6,
        (Family::V4, true) => &OUT4,
        (Family::V6, true) => &OUT6,
    };
    rule.look_up(&banked(map.name, bank), r(0), to)
}

/// The packet's own mark stays here while a rule needs its place.
const MARK: u32 = r(15);

fn with_mark() -> Rule {
    Rule::new().meta(Meta::Mark, MARK)
}

/// The same value in the same register, as one that `nft` can read a key from.
fn plain(rule: Rule, register: u32) -> Rule {
    let rule = rule.set_meta(Meta::Mark, register).meta(Meta::Mark, register);
    rule.set_meta(Meta::Mark, MARK)
}

fn make_bank(change: &mut Change<'_>, bank: u8) {
    let judge =
        |family: Family, way: &WayIn| format!("judge{}-{}-{bank}", family.digit(), way.name);
    for family in Family::BOTH {
        for way in &WAYS {
            make_judge(change, &judge(family, way), family, way, bank);
        }
        for (side, [itself, opener, replier]) in [
            ("from", [FROM_ITSELF, FROM_OPENER, FROM_REPLIER]),
            ("to", [TO_ITSELF, TO_OPENER, TO_REPLIER]),
        ] {
            let chain = format!("{side}{}-{bank}", family.digit());
            change.make_chain(&chain);
            for rule in noise() {
                change.add_rule(&chain, rule);
            }
            let other = if family == Family::V4 { ICMPV6 } else { ICMP };
            change.add_rule(&chain, of_protocol(Rule::new(), other).end(End::Drop));
            let unknown = (STATE_INVALID | STATE_UNTRACKED).to_ne_bytes();
            let state = Rule::new().ct(Ct::State, None, r(0));
            let state = state.bits(r(0), r(0), &unknown, &[0; 4]);
            let state = state.compare(r(0), Compare::Unequal, &[0; 4]);
            change.add_rule(&chain, state.end(End::Goto(&judge(family, &itself))));
            // A connection that is begun anew with the ports of an old one, maybe from the other end.
            let syn = of_protocol(Rule::new(), TCP).payload(Header::Transport, 13, 1, r(1));
            let syn = syn.bits(r(1), r(1), &[0x16], &[0]).equals(r(1), &[0x02]);
            change.add_rule(&chain, syn.end(End::Goto(&judge(family, &itself))));
            let (first, second) =
                if side == "from" { (&opener, &replier) } else { (&replier, &opener) };
            for (way, judged) in [(Way::Original, first), (Way::Reply, second)] {
                let rule = Rule::new().ct(Ct::Direction, None, r(0)).equals(r(0), &[way as u8]);
                change.add_rule(&chain, rule.end(End::Goto(&judge(family, judged))));
            }
            change.add_rule(&chain, Rule::new().end(End::Drop));
        }
    }
}

/// Which class the far address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Exact,
    Net,
    Outside,
}

struct Judge<'a> {
    family: Family,
    way: &'a WayIn,
    bank: u8,
}

impl Judge<'_> {
    /// The far address, into registers 5 to 8.
    fn remote(&self, rule: Rule) -> Rule {
        let Self { family, way, .. } = self;
        if way.is_tracked {
            let key = if *family == Family::V4 { Ct::Src4 } else { Ct::Src6 };
            // Who replies is who answers in truth, wherever the first packet was addressed to.
            let end = if way.is_opener { Way::Reply } else { Way::Original };
            return rule.ct(key, Some(end), r(5));
        }
        match way.side {
            Side::From => family.destination(rule, r(5)),
            Side::To => family.source(rule, r(5)),
        }
    }

    fn exact(&self, rule: Rule, to: u32) -> Rule {
        let map = if self.family == Family::V4 { &CLASS4 } else { &CLASS6 };
        self.remote(rule).look_up(&banked(map.name, self.bank), r(5), to)
    }

    fn look_up(&self, rule: Rule, map: &str, key: u32, to: u32) -> Rule {
        plain(rule.look_up(map, key, to), to)
    }

    /// The row, into register 12.
    fn row(&self, source: Source) -> Rule {
        let Self { family, way, bank } = *self;
        let rule = match source {
            Source::Exact => self.exact(with_mark(), r(10)),
            Source::Net => {
                let map = if family == Family::V4 { &NET4 } else { &NET6 };
                self.remote(with_mark()).look_up(&banked(map.name, bank), r(5), r(10))
            }
            Source::Outside => with_mark().load(&OUTSIDE.to_ne_bytes(), r(10)),
        };
        let rule = local(plain(rule, r(10)), family, way.side, way.is_opener, bank, r(11));
        self.look_up(plain(rule, r(11)), &banked(ENTRY.name, bank), r(10), r(12))
    }

    fn protocol(&self, rule: Rule, to: u32) -> Rule {
        if self.way.is_tracked {
            rule.ct(Ct::Protocol, None, to)
        } else {
            rule.meta(Meta::L4Protocol, to)
        }
    }

    /// The shape, into register 0.
    fn shape(&self, source: Source) -> Rule {
        let rule = self.protocol(self.row(source), r(13));
        self.look_up(rule, PART.name, r(12), r(0))
    }

    /// The port, or the block of ports that it lies in, as part of a key.
    fn port(&self, rule: Rule, is_icmp: bool, is_source: bool, is_block: bool, to: u32) -> Rule {
        let rule = if !self.way.is_tracked {
            let offset = if is_icmp || is_source { 0 } else { 2 };
            rule.payload(Header::Transport, offset, 2, to)
        } else {
            match (is_icmp, is_source) {
                // Type and code stand where others have their port.
                (true, _) => rule.ct(Ct::PortDst, Some(Way::Original), to),
                (false, true) => rule.ct(Ct::PortSrc, Some(Way::Original), to),
                (false, false) => rule.ct(Ct::PortSrc, Some(Way::Reply), to),
            }
        };
        let rule = plain(rule, to);
        if is_block { rule.bits(to, to, &[0xff, 0, 0, 0], &[0, 0, BLOCK, 0]) } else { rule }
    }

    /// The rules for rows of one source of classes, where the row is known.
    fn rules(&self, source: Source) -> Vec<Rule> {
        let icmp = [self.family.icmp()];
        let allowed = PORT_ALLOWED.to_ne_bytes();
        let mut rules = Vec::new();
        for is_icmp in [false, true] {
            let how = if is_icmp { Compare::Equal } else { Compare::Unequal };
            for is_block in [false, true] {
                let rule = self.shape(source).compare(r(13), how, &icmp);
                let rule = self.port(rule, is_icmp, false, is_block, r(1));
                let rule = self.look_up(rule, PORT.name, r(0), r(2)).equals(r(2), &allowed);
                rules.push(rule.end(End::Return));
            }
        }
        let all = self.shape(source).equals(r(0), &SHAPE_ALL.to_ne_bytes());
        rules.insert(1, all.end(End::Return));
        for (to_block, from_block) in [(false, false), (false, true), (true, false), (true, true)] {
            let rule = self.shape(source).compare(r(13), Compare::Unequal, &icmp);
            let rule = self.port(rule, false, false, to_block, r(1));
            let rule = self.look_up(rule, PORT.name, r(0), r(2));
            let rule = self.port(rule, false, true, from_block, r(3));
            let rule = self.look_up(rule, PORT.name, r(2), r(4)).equals(r(4), &allowed);
            rules.push(rule.end(End::Return));
        }
        // Protocols without ports: a part of their own, or the part of all others.
        let mut other = self.protocol(self.row(source), r(0));
        for protocol in [TCP, 17, 132, ICMP, ICMPV6] {
            other = other.compare(r(0), Compare::Unequal, &[protocol]);
        }
        let other = plain(other.load(&OTHER_PROTOCOLS.to_ne_bytes(), r(13)), r(13));
        let other = self.look_up(other, PART.name, r(12), r(0));
        rules.push(other.equals(r(0), &SHAPE_ALL.to_ne_bytes()).end(End::Return));
        rules
    }
}

/// Exact address, then prefix, then outside. Where the program does not tell a class from the outside,
/// the outside's row answers, never the prefix's.
fn make_judge(change: &mut Change<'_>, chain: &str, family: Family, way: &WayIn, bank: u8) {
    let judge = Judge { family, way, bank };
    let [exact, net, outside] = ["x", "n", "o"].map(|end| format!("{chain}-{end}"));
    let deny = format!("deny-{}", way.name);
    for name in [chain, &exact, &net, &outside] {
        change.make_chain(name);
    }
    let is_exact = || judge.exact(Rule::new(), r(10));
    change.add_rule(chain, is_exact().end(End::Goto(&exact)));
    change.add_rule(chain, Rule::new().end(End::Goto(&net)));
    for (name, source) in [(&exact, Source::Exact), (&net, Source::Net)] {
        for rule in judge.rules(source) {
            change.add_rule(name, rule);
        }
        change.add_rule(name, judge.row(source).end(End::Goto(&deny)));
    }
    // The address may have been taken from the map since.
    change.add_rule(&exact, is_exact().end(End::Goto(&outside)));
    change.add_rule(&exact, Rule::new().end(End::Goto(&net)));
    change.add_rule(&net, Rule::new().end(End::Goto(&outside)));
    for rule in judge.rules(Source::Outside) {
        change.add_rule(&outside, rule);
    }
    change.add_rule(&outside, Rule::new().end(End::Goto(&deny)));
}
