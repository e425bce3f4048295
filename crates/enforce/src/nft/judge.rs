//! One packet, one program: the rules that look up what a program says.
//!
//! A value that was looked up is itself looked up with in the same rule. The kernel does not mind; `nft`
//! of many versions aborts when it lists such a rule, and with it whatever else on the node asks it. So
//! such a value passes once through the packet's mark, which has its own value back before anything
//! can end the rule: see [`plain`].

use super::expr::{Compare, Ct, End, Header, Meta, Rule, Way as Direction, r};
use super::maps::{
    BLOCK, CLASS4, CLASS6, ENTRY, HOST, HOST_NET4, HOST_NET6, IN4, IN6, NAMED4, NAMED6, NET4, NET6,
    OTHER_PROTOCOLS, OUT4, OUT6, OUTSIDE, PART, PORT, PORT_ALLOWED, SHAPE_ALL, banked,
};
use super::objects::Change;

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const ICMPV6: u8 = 58;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub fn digit(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// NFPROTO_IPV4 and NFPROTO_IPV6.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub fn icmp(self) -> u8 {
        match self {
            Self::V4 => ICMP,
            Self::V6 => ICMPV6,
        }
    }

    pub fn source(self, rule: Rule, to: u32) -> Rule {
        match self {
            Self::V4 => rule.payload(Header::Network, 12, 4, to),
            Self::V6 => rule.payload(Header::Network, 8, 16, to),
        }
    }

    pub fn destination(self, rule: Rule, to: u32) -> Rule {
        match self {
            Self::V4 => rule.payload(Header::Network, 16, 4, to),
            Self::V6 => rule.payload(Header::Network, 24, 16, to),
        }
    }
}

/// Which end of the packet is the judged one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearEnd {
    Source,
    Destination,
}

/// How a packet is judged. The name is told with every packet that is denied so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayIn {
    pub name: &'static str,
    /// The judged one's interface: where the packet came in, or goes out.
    pub device: Meta,
    pub near: NearEnd,
    /// The judged one has opened the flow: its egress program judges.
    pub is_opener: bool,
    /// By connection tracking; else the packet stands for itself.
    pub is_tracked: bool,
    /// Of a host endpoint: what the map of hosts is asked for.
    pub host: Option<u32>,
    /// What becomes of an allowed packet.
    pub allow: End<'static>,
    /// Where a denied one goes, if not to the chain that tells and drops it.
    pub deny: Option<&'static str>,
}

pub fn judge_chain(family: Family, way: &WayIn, bank: u8) -> String {
    format!("judge{}-{}-{bank}", family.digit(), way.name)
}

pub fn of_family(family: Family) -> Rule {
    Rule::new().meta(Meta::Family, r(0)).equals(r(0), &[family.number()])
}

pub fn of_protocol(rule: Rule, protocol: u8) -> Rule {
    rule.meta(Meta::L4Protocol, r(0)).equals(r(0), &[protocol])
}

/// Neighbour discovery never crosses a router: hop limit 255, types 133 to 137.
pub fn discovery() -> Rule {
    let rule = of_protocol(of_family(Family::V6), ICMPV6);
    let rule = rule.payload(Header::Network, 7, 1, r(1)).equals(r(1), &[255]);
    let rule = rule.payload(Header::Transport, 0, 1, r(2));
    rule.range(r(2), &[133], &[137]).end(End::Return)
}

/// Reports of group membership, which every host sends on its link.
pub fn noise(end: End<'_>) -> [Rule; 2] {
    let v4 = of_protocol(of_family(Family::V4), IGMP).payload(Header::Network, 16, 1, r(1));
    let v6 = of_protocol(of_family(Family::V6), ICMPV6).payload(Header::Network, 24, 1, r(1));
    [
        v4.bits(r(1), r(1), &[0xf0], &[0]).equals(r(1), &[0xe0]).end(end),
        v6.equals(r(1), &[0xff]).end(end),
    ]
}

/// The program that judges, by interface and near address. Uses registers 0 to 4; of a host endpoint,
/// in a rule [`with_mark`].
pub fn local(rule: Rule, family: Family, way: &WayIn, bank: u8, to: u32) -> Rule {
    let near = |rule: Rule| near_end(rule, family, way, r(1));
    if let Some(host) = way.host {
        let map = if family == Family::V4 { &HOST_NET4 } else { &HOST_NET6 };
        let rule = plain(host_of(rule, host, way.device, bank), r(0));
        return near(rule).look_up(&banked(map.name, bank), r(0), to);
    }
    let map = match (family, way.is_opener) {
        (Family::V4, false) => &IN4,
        (Family::V6, false) => &IN6,
        (Family::V4, true) => &OUT4,
        (Family::V6, true) => &OUT6,
    };
    near(rule.meta(way.device, r(0))).look_up(&banked(map.name, bank), r(0), to)
}

fn near_end(rule: Rule, family: Family, way: &WayIn, to: u32) -> Rule {
    match way.near {
        NearEnd::Source => family.source(rule, to),
        NearEnd::Destination => family.destination(rule, to),
    }
}

/// Which programs of which host endpoint judge at the interface, into register 0.
pub fn host_of(rule: Rule, host: u32, device: Meta, bank: u8) -> Rule {
    let rule = rule.load(&host.to_ne_bytes(), r(0)).meta(device, r(1));
    rule.look_up(&banked(HOST.name, bank), r(0), r(0))
}

/// The packet's own mark stays here while a rule needs its place.
pub const MARK: u32 = r(15);

pub fn with_mark() -> Rule {
    Rule::new().meta(Meta::Mark, MARK)
}

/// The same value in the same register, as one that `nft` can read a key from.
pub fn plain(rule: Rule, register: u32) -> Rule {
    let rule = rule.set_meta(Meta::Mark, register).meta(Meta::Mark, register);
    rule.set_meta(Meta::Mark, MARK)
}

/// Where the row of the far address is found: by the names that the judged one knows it by, or by its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Named,
    Exact,
    Net,
    Outside,
}

pub struct Judge<'a> {
    pub family: Family,
    pub way: &'a WayIn,
    pub bank: u8,
}

impl Judge<'_> {
    /// The far address, into registers 5 to 8.
    fn remote(&self, rule: Rule) -> Rule {
        self.remote_to(rule, r(5))
    }

    /// The far address, into this register and of IPv6 the three after it.
    pub fn remote_to(&self, rule: Rule, to: u32) -> Rule {
        let Self { family, way, .. } = self;
        if way.is_tracked {
            let key = if *family == Family::V4 { Ct::Src4 } else { Ct::Src6 };
            // Who replies is who answers in truth, wherever the first packet was addressed to.
            let end = if way.is_opener { Direction::Reply } else { Direction::Original };
            return rule.ct(key, Some(end), to);
        }
        match way.near {
            NearEnd::Source => family.destination(rule, to),
            NearEnd::Destination => family.source(rule, to),
        }
    }

    fn exact(&self, rule: Rule, to: u32) -> Rule {
        let map = if self.family == Family::V4 { &CLASS4 } else { &CLASS6 };
        self.remote(rule).look_up(&banked(map.name, self.bank), r(5), to)
    }

    fn look_up(&self, rule: Rule, map: &str, key: u32, to: u32) -> Rule {
        plain(rule.look_up(map, key, to), to)
    }

    /// The row of an address that was looked up, into a register.
    fn named(&self, rule: Rule, to: u32) -> Rule {
        let Self { family, way, bank } = *self;
        // One key: interface, near address, far address.
        let (map, far) = match family {
            Family::V4 => (&NAMED4, r(2)),
            Family::V6 => (&NAMED6, r(5)),
        };
        let rule = near_end(rule.meta(way.device, r(0)), family, way, r(1));
        self.remote_to(rule, far).look_up(&banked(map.name, bank), r(0), to)
    }

    /// The row, into register 12.
    fn row(&self, source: Source) -> Rule {
        let Self { family, way, bank } = *self;
        let rule = match source {
            Source::Named => return plain(self.named(with_mark(), r(12)), r(12)),
            Source::Exact => self.exact(with_mark(), r(10)),
            Source::Net => {
                let map = if family == Family::V4 { &NET4 } else { &NET6 };
                self.remote(with_mark()).look_up(&banked(map.name, bank), r(5), r(10))
            }
            Source::Outside => with_mark().load(&OUTSIDE.to_ne_bytes(), r(10)),
        };
        let rule = local(plain(rule, r(10)), family, way, bank, r(11));
        self.look_up(plain(rule, r(11)), &banked(ENTRY.name, bank), r(10), r(12))
    }

    pub fn protocol(&self, rule: Rule, to: u32) -> Rule {
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
    pub fn port(
        &self,
        rule: Rule,
        is_icmp: bool,
        is_source: bool,
        is_block: bool,
        to: u32,
    ) -> Rule {
        let rule = if !self.way.is_tracked {
            let offset = if is_icmp || is_source { 0 } else { 2 };
            rule.payload(Header::Transport, offset, 2, to)
        } else {
            match (is_icmp, is_source) {
                // Type and code stand where others have their port.
                (true, _) => rule.ct(Ct::PortDst, Some(Direction::Original), to),
                (false, true) => rule.ct(Ct::PortSrc, Some(Direction::Original), to),
                (false, false) => rule.ct(Ct::PortSrc, Some(Direction::Reply), to),
            }
        };
        let rule = plain(rule, to);
        if is_block { rule.bits(to, to, &[0xff, 0, 0, 0], &[0, 0, BLOCK, 0]) } else { rule }
    }

    /// The rules for rows of one source of classes, where the row is known.
    fn rules(&self, source: Source) -> Vec<Rule> {
        let icmp = [self.family.icmp()];
        let allowed = PORT_ALLOWED.to_ne_bytes();
        let way_end = self.way.allow;
        let mut rules = Vec::new();
        for is_icmp in [false, true] {
            let how = if is_icmp { Compare::Equal } else { Compare::Unequal };
            for is_block in [false, true] {
                let rule = self.shape(source).compare(r(13), how, &icmp);
                let rule = self.port(rule, is_icmp, false, is_block, r(1));
                let rule = self.look_up(rule, PORT.name, r(0), r(2)).equals(r(2), &allowed);
                rules.push(rule.end(way_end));
            }
        }
        let all = self.shape(source).equals(r(0), &SHAPE_ALL.to_ne_bytes());
        rules.insert(1, all.end(way_end));
        for (to_block, from_block) in [(false, false), (false, true), (true, false), (true, true)] {
            let rule = self.shape(source).compare(r(13), Compare::Unequal, &icmp);
            let rule = self.port(rule, false, false, to_block, r(1));
            let rule = self.look_up(rule, PORT.name, r(0), r(2));
            let rule = self.port(rule, false, true, from_block, r(3));
            let rule = self.look_up(rule, PORT.name, r(2), r(4)).equals(r(4), &allowed);
            rules.push(rule.end(way_end));
        }
        // Protocols without ports: a part of their own, or the part of all others.
        let mut other = self.protocol(self.row(source), r(0));
        for protocol in [TCP, 17, 132, ICMP, ICMPV6] {
            other = other.compare(r(0), Compare::Unequal, &[protocol]);
        }
        let other = plain(other.load(&OTHER_PROTOCOLS.to_ne_bytes(), r(13)), r(13));
        let other = self.look_up(other, PART.name, r(12), r(0));
        rules.push(other.equals(r(0), &SHAPE_ALL.to_ne_bytes()).end(way_end));
        rules
    }
}

/// What the opener has looked up under a name, then exact address, then prefix, then outside. Where the
/// program does not tell a class from the outside, the outside's row answers, never the prefix's.
pub fn make_judge(change: &mut Change<'_>, family: Family, way: &WayIn, bank: u8) {
    let judge = Judge { family, way, bank };
    let chain = &judge_chain(family, way, bank);
    let [exact, net, outside] = ["x", "n", "o"].map(|end| format!("{chain}-{end}"));
    let deny = way.deny.map_or_else(|| format!("deny-{}", way.name), str::to_owned);
    for name in [chain, &exact, &net, &outside] {
        change.make_chain(name);
    }
    let is_exact = || judge.exact(Rule::new(), r(10));
    if way.is_opener && way.host.is_none() {
        let named = &format!("{chain}-d");
        change.make_chain(named);
        change.add_rule(chain, judge.named(Rule::new(), r(12)).end(End::Goto(named)));
        for rule in judge.rules(Source::Named) {
            change.add_rule(named, rule);
        }
        change.add_rule(named, judge.named(Rule::new(), r(12)).end(End::Goto(&deny)));
        // The name may have been forgotten since.
        change.add_rule(named, is_exact().end(End::Goto(&exact)));
        change.add_rule(named, Rule::new().end(End::Goto(&net)));
    }
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
