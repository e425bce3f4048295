//! What a grant covers in each key space, once both addresses have had their say.

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
pub struct PortTest {
    only: Option<PortSet>,
    except: Option<PortSet>,
}

#[derive(Debug, Default)]
struct PortSet {
    ranges: Vec<Interval>,
    named: Vec<(Protocol, u16)>,
}

/// A grant for one pair of (local address, remote class).
#[derive(Debug)]
pub struct Brush<'a> {
    pub grant: &'a Grant,
    pub src: PortTest,
    pub dst: PortTest,
}

impl Brush<'_> {
    /// The keys and the source ports that the grant covers; both normalised, either may be empty.
    pub fn area(&self, space: Space) -> (Vec<Interval>, Vec<Interval>) {
        let nothing = (Vec::new(), Vec::new());
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
                (subtract(&whole, &holes), vec![EVERYTHING])
            }
            Space::Other if grant.icmp.is_none() && self.asks_for_no_port() => {
                (self.other_keys(), vec![EVERYTHING])
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

impl PortTest {
    /// `class` holds the groups of the side's address.
    pub fn new(sieve: &Sieve, class: &[GroupId], groups: &Groups) -> Self {
        let set = |ports: &PortSieve| PortSet {
            ranges: ports.ranges.clone(),
            named: ports
                .named
                .iter()
                .flat_map(|name| class.iter().filter_map(|group| groups.port_of(*group, *name)))
                .collect(),
        };
        Self { only: sieve.ports.as_ref().map(set), except: sieve.not_ports.as_ref().map(set) }
    }

    fn ports(&self, protocol: Protocol) -> Vec<Interval> {
        let of = |set: &PortSet| {
            let named = set.named.iter().filter(|(p, _)| *p == protocol).map(|(_, n)| (*n, *n));
            normalise(set.ranges.iter().copied().chain(named).collect())
        };
        let whole = self.only.as_ref().map_or_else(|| vec![EVERYTHING], of);
        match &self.except {
            None => whole,
            Some(except) => subtract(&whole, &of(except)),
        }
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
