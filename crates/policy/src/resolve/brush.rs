//! What a grant covers in each key space, once both addresses have had their say.

use std::borrow::Cow;

use bulkhead_types::Protocol;

use super::grants::{Grant, PortSieve, Sieve};
use super::paint::{EVERYTHING, Interval, normalise, subtract};
use crate::rule::Icmp;
use crate::select::{GroupId, Groups};

/// The key spaces of a row, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Destination ports of TCP, UDP or SCTP.
    Ports(Protocol),
    /// `type << 8 | code` of ICMP or ICMPv6.
    Icmp(Protocol),
    /// Protocol numbers other than these five.
    Other,
}

impl Space {
    pub const ALL: [Space; 6] = [
        Space::Ports(Protocol::TCP),
        Space::Ports(Protocol::UDP),
        Space::Ports(Protocol::SCTP),
        Space::Icmp(Protocol::ICMP),
        Space::Icmp(Protocol::ICMPV6),
        Space::Other,
    ];
}

/// Port criteria of one side with names replaced by what they stand for at that side's address.
#[derive(Debug, Default)]
pub struct PortTest<'a> {
    only: Option<PortSet<'a>>,
    except: Option<PortSet<'a>>,
}

#[derive(Debug, Default)]
struct PortSet<'a> {
    /// Normalised.
    ranges: &'a [Interval],
    named: Vec<(Protocol, u16)>,
}

const EVERY: &[Interval] = &[EVERYTHING];

/// Normalised.
type Intervals<'a> = Cow<'a, [Interval]>;

/// A grant for one pair of (local address, remote class).
#[derive(Debug)]
pub struct Brush<'a> {
    pub grant: &'a Grant,
    pub src: PortTest<'a>,
    pub dst: PortTest<'a>,
}

impl Brush<'_> {
    /// The keys and the source ports that the grant covers; either may be empty.
    pub fn area(&self, space: Space) -> (Intervals<'_>, Intervals<'_>) {
        let nothing = (Cow::Borrowed(&[][..]), Cow::Borrowed(&[][..]));
        let grant = self.grant;
        let covers = |protocol| {
            grant.protocol.is_none_or(|only| only == protocol)
                && grant.not_protocol.is_none_or(|except| except != protocol)
        };
        match space {
            Space::Ports(protocol) if covers(protocol) && grant.icmp.is_none() => {
                (self.dst.ports(protocol), self.src.ports(protocol))
            }
            Space::Icmp(protocol) if covers(protocol) && self.asks_for_no_port() => {
                let holes: Vec<Interval> = grant.not_icmp.map(icmp_keys).into_iter().collect();
                let whole = [grant.icmp.map_or(EVERYTHING, icmp_keys)];
                (subtract(&whole, &holes).into(), EVERY.into())
            }
            Space::Other if grant.icmp.is_none() && self.asks_for_no_port() => {
                (self.other_keys().into(), EVERY.into())
            }
            _ => nothing,
        }
    }

    /// Protocols with a key space of their own are never looked up here, so what is said of them
    /// does not count; it is left uniform to keep rows alike.
    fn other_keys(&self) -> Vec<Interval> {
        let key = |protocol: Protocol| {
            let is_other = !protocol.has_ports() && !protocol.is_icmp();
            is_other.then_some((u16::from(protocol.0), u16::from(protocol.0)))
        };
        match (self.grant.protocol, self.grant.not_protocol) {
            (Some(only), except) if except != Some(only) => key(only).into_iter().collect(),
            (Some(_), _) => Vec::new(),
            (None, except) => {
                let holes: Vec<Interval> = except.and_then(key).into_iter().collect();
                subtract(&[EVERYTHING], &holes)
            }
        }
    }

    fn asks_for_no_port(&self) -> bool {
        self.src.only.is_none() && self.dst.only.is_none()
    }
}

impl<'a> PortTest<'a> {
    /// `class` holds the groups of the side's address.
    pub fn new(sieve: &'a Sieve, class: &[GroupId], groups: &Groups) -> Self {
        let set = |ports: &'a PortSieve| PortSet {
            ranges: &ports.ranges,
            named: ports
                .named
                .iter()
                .flat_map(|name| class.iter().filter_map(|group| groups.port_of(*group, *name)))
                .collect(),
        };
        Self { only: sieve.ports.as_deref().map(set), except: sieve.not_ports.as_deref().map(set) }
    }

    fn ports(&self, protocol: Protocol) -> Intervals<'_> {
        let whole = self.only.as_ref().map_or(EVERY.into(), |set| set.of(protocol));
        match &self.except {
            None => whole,
            Some(except) => subtract(&whole, &except.of(protocol)).into(),
        }
    }
}

impl PortSet<'_> {
    fn of(&self, protocol: Protocol) -> Intervals<'_> {
        if self.named.is_empty() {
            return self.ranges.into();
        }
        let named = self.named.iter().filter(|(p, _)| *p == protocol).map(|(_, n)| (*n, *n));
        normalise(self.ranges.iter().copied().chain(named).collect()).into()
    }
}

fn icmp_keys(icmp: Icmp) -> Interval {
    match icmp.code {
        Some(code) => {
            let key = u16::from_be_bytes([icmp.kind, code]);
            (key, key)
        }
        None => (u16::from_be_bytes([icmp.kind, 0]), u16::from_be_bytes([icmp.kind, u8::MAX])),
    }
}
