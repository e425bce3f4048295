//! Whether a rule matches a packet, criterion by criterion.

use std::net::IpAddr;

use bulkhead_types::{Packet, Protocol, Selector};
use ipnet::IpNet;

use super::trace::Criterion;
use super::world::World;
use crate::rule::{Family, Icmp, Ports, Rule, Side};

impl World {
    /// The first criterion of `rule` that `packet` does not meet; `None`: the rule matches.
    pub(super) fn first_miss(&self, rule: &Rule, packet: &Packet) -> Option<Criterion> {
        let traffic = [
            (Criterion::IpVersion, rule.family.is_none_or(|f| f == Family::of(packet.src))),
            (Criterion::Protocol, rule.protocol.is_none_or(|p| p == packet.protocol)),
            (Criterion::NotProtocol, rule.not_protocol.is_none_or(|p| p != packet.protocol)),
            (Criterion::Icmp, rule.icmp.is_none_or(|icmp| is_icmp(packet, icmp))),
            (Criterion::NotIcmp, rule.not_icmp.is_none_or(|icmp| !is_icmp(packet, icmp))),
        ];
        let missed = traffic.into_iter().find(|(_, holds)| !holds).map(|(criterion, _)| criterion);
        missed
            .or_else(|| self.side_miss(&rule.src, packet.src, packet.src_port, packet, &SOURCE))
            .or_else(|| {
                self.side_miss(&rule.dst, packet.dst, packet.dst_port, packet, &DESTINATION)
            })
    }

    fn side_miss(
        &self,
        side: &Side,
        address: IpAddr,
        port: u16,
        packet: &Packet,
        names: &[Criterion; 6],
    ) -> Option<Criterion> {
        let [selector, not_selector, nets, not_nets, ports, not_ports] = *names;
        let belongs = |s: &Selector| self.belongs(address, s);
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        let named = |p: &Ports| self.is_port(p, side.selector.as_ref(), address, port, packet);
        [
            (selector, side.selector.as_ref().is_none_or(belongs)),
            (not_selector, !side.not_selector.as_ref().is_some_and(belongs)),
            (nets, side.nets.as_deref().is_none_or(within)),
            (not_nets, !side.not_nets.as_deref().is_some_and(within)),
            (ports, side.ports.as_ref().is_none_or(named)),
            (not_ports, !side.not_ports.as_ref().is_some_and(named)),
        ]
        .into_iter()
        .find(|(_, holds)| !holds)
        .map(|(criterion, _)| criterion)
    }

    /// Whether some endpoint or network set that matches has the address.
    fn belongs(&self, address: IpAddr, selector: &Selector) -> bool {
        self.carriers_of(address).any(|c| selector.matches(&c.labels))
    }

    /// Names stand for the ports of the endpoints behind `address` that the side's positive selector
    /// matches.
    fn is_port(
        &self,
        ports: &Ports,
        selector: Option<&Selector>,
        address: IpAddr,
        port: u16,
        packet: &Packet,
    ) -> bool {
        if !packet.protocol.has_ports() {
            return false;
        }
        ports.ranges.iter().any(|range| range.contains(port))
            || self
                .carriers_of(address)
                .filter(|c| selector.is_none_or(|s| s.matches(&c.labels)))
                .flat_map(|c| &c.ports)
                .any(|p| {
                    p.protocol == packet.protocol && p.port == port && ports.named.contains(&p.name)
                })
    }
}

const SOURCE: [Criterion; 6] = [
    Criterion::SourceSelector,
    Criterion::SourceNotSelector,
    Criterion::SourceNets,
    Criterion::SourceNotNets,
    Criterion::SourcePorts,
    Criterion::SourceNotPorts,
];

const DESTINATION: [Criterion; 6] = [
    Criterion::DestinationSelector,
    Criterion::DestinationNotSelector,
    Criterion::DestinationNets,
    Criterion::DestinationNotNets,
    Criterion::DestinationPorts,
    Criterion::DestinationNotPorts,
];

/// ICMP and ICMPv6 types count alike: which of the two a rule means is its protocol's business.
fn is_icmp(packet: &Packet, icmp: Icmp) -> bool {
    matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6)
        && packet.icmp_type == icmp.kind
        && icmp.code.is_none_or(|code| code == packet.icmp_code)
}
