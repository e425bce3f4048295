//! Whether a rule matches a packet, criterion by criterion.

use std::net::IpAddr;

use bulkhead_types::{NO_NAMES, Names, Packet, Protocol, Selector};
use ipnet::IpNet;

use super::trace::Criterion;
use super::world::World;
use crate::rule::{DomainPattern, Family, Icmp, Ports, Rule, ServiceRef, Side};

impl World {
    /// The first criterion of `rule` that `packet` does not meet; `None`: the rule matches.
    pub(super) fn first_miss(
        &self,
        rule: &Rule,
        packet: &Packet,
        names: &Names,
    ) -> Option<Criterion> {
        let traffic = [
            (Criterion::IpVersion, rule.family.is_none_or(|f| f == Family::of(packet.src))),
            (Criterion::Protocol, rule.protocol.is_none_or(|p| p == packet.protocol)),
            (Criterion::NotProtocol, rule.not_protocol.is_none_or(|p| p != packet.protocol)),
            (Criterion::Icmp, rule.icmp.is_none_or(|icmp| is_icmp(packet, icmp))),
            (Criterion::NotIcmp, rule.not_icmp.is_none_or(|icmp| !is_icmp(packet, icmp))),
            (Criterion::Http, rule.http.is_none()),
        ];
        let missed = traffic.into_iter().find(|(_, holds)| !holds).map(|(criterion, _)| criterion);
        let source = End { address: packet.src, port: packet.src_port, names: &NO_NAMES };
        let destination = End { address: packet.dst, port: packet.dst_port, names };
        missed
            .or_else(|| self.side_miss(&rule.src, &source, packet, &SOURCE))
            .or_else(|| {
                // Behind a service as a destination is an address with its ports.
                let behind = |s: &ServiceRef| self.is_behind_port(s, packet);
                let holds = rule.dst.service.as_deref().is_none_or(behind);
                (!holds).then_some(Criterion::DestinationService)
            })
            .or_else(|| self.side_miss(&rule.dst, &destination, packet, &DESTINATION))
    }

    fn side_miss(
        &self,
        side: &Side,
        end: &End<'_>,
        packet: &Packet,
        criteria: &[Criterion; 9],
    ) -> Option<Criterion> {
        let [selector, not_selector, nets, not_nets, service, nodes, domains, ports, not_ports] =
            *criteria;
        let belongs = |s: &Selector| self.belongs(end, s);
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&end.address));
        let behind = |s: &ServiceRef| self.backends(s).addresses.contains(&end.address);
        let of_node = |s: &Selector| {
            self.nodes().any(|n| n.addresses.contains(&end.address) && s.matches(&n.labels))
        };
        let looked_up = |list: &[DomainPattern]| list.iter().any(|p| p.is_for(end.names));
        let named = |p: &Ports| self.is_port(p, side.selector.as_ref(), end, packet);
        [
            (selector, side.selector.as_ref().is_none_or(belongs)),
            (not_selector, !side.not_selector.as_ref().is_some_and(belongs)),
            (nets, side.nets.as_deref().is_none_or(within)),
            (not_nets, !side.not_nets.as_deref().is_some_and(within)),
            (service, side.service.as_deref().is_none_or(behind)),
            (nodes, side.nodes.as_ref().is_none_or(of_node)),
            (domains, side.domains.as_deref().is_none_or(looked_up)),
            (ports, side.ports.as_deref().is_none_or(named)),
            (not_ports, !side.not_ports.as_deref().is_some_and(named)),
        ]
        .into_iter()
        .find(|(_, holds)| !holds)
        .map(|(criterion, _)| criterion)
    }

    /// Whether some endpoint or network set that matches has the address.
    fn belongs(&self, end: &End<'_>, selector: &Selector) -> bool {
        self.carriers_of(end.address, end.names).any(|c| selector.matches(&c.labels))
    }

    fn is_behind_port(&self, service: &ServiceRef, packet: &Packet) -> bool {
        let end = (packet.dst, packet.protocol, packet.dst_port);
        self.backends(service).ports.contains(&end)
    }

    /// Names stand for the ports of the endpoints behind `address` that the side's positive selector
    /// matches.
    fn is_port(
        &self,
        ports: &Ports,
        selector: Option<&Selector>,
        end: &End<'_>,
        packet: &Packet,
    ) -> bool {
        if !packet.protocol.has_ports() {
            return false;
        }
        let port = end.port;
        ports.ranges.iter().any(|range| range.contains(port))
            || self
                .carriers_of(end.address, end.names)
                .filter(|c| selector.is_none_or(|s| s.matches(&c.labels)))
                .flat_map(|c| &c.ports)
                .any(|p| {
                    p.protocol == packet.protocol && p.port == port && ports.named.contains(&p.name)
                })
    }
}

/// One end of the connection, with the names under which it was looked up.
struct End<'a> {
    address: IpAddr,
    port: u16,
    names: &'a Names,
}

const SOURCE: [Criterion; 9] = [
    Criterion::SourceSelector,
    Criterion::SourceNotSelector,
    Criterion::SourceNets,
    Criterion::SourceNotNets,
    Criterion::SourceService,
    Criterion::SourceNodes,
    Criterion::SourceDomains,
    Criterion::SourcePorts,
    Criterion::SourceNotPorts,
];

const DESTINATION: [Criterion; 9] = [
    Criterion::DestinationSelector,
    Criterion::DestinationNotSelector,
    Criterion::DestinationNets,
    Criterion::DestinationNotNets,
    Criterion::DestinationService,
    Criterion::DestinationNodes,
    Criterion::DestinationDomains,
    Criterion::DestinationPorts,
    Criterion::DestinationNotPorts,
];

/// ICMP and ICMPv6 types count alike: which of the two a rule means is its protocol's business.
fn is_icmp(packet: &Packet, icmp: Icmp) -> bool {
    matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6)
        && packet.icmp_type == icmp.kind
        && icmp.code.is_none_or(|code| code == packet.icmp_code)
}
