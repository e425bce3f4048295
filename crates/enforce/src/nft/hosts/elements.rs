//! What the maps of hosts hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::{Direction, EndpointId, FailsafePort, HostStage};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::{ClassId, HostProgram, NodeProgram, ProgramId};
use ipnet::IpNet;

use super::said::said_of;
use super::ways::{ANSWER, SAID, code};
use crate::nft::intervals::flatten;
use crate::nft::numbers::Ids;
use crate::nft::objects::Element;

/// Elements of the five maps of hosts: tables, near addresses by family, fail-safe ports by family.
pub type HostElements = [Vec<Element>; 5];

pub fn elements(
    node: &NodeProgram,
    standing: &BTreeMap<u32, EndpointId>,
    ids: &mut Ids,
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
                let table = ids.tables.get_or_add(content_hash(content)).0.to_be_bytes();
                let key = [what.to_ne_bytes(), ifindex.to_ne_bytes()].concat();
                hosts.push(Element { key, value: Some(u32::from_ne_bytes(table)) });
                if !made.insert(table) {
                    continue;
                }
                let id_of = |id| ids.program(if is_said { said_of(id) } else { id });
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
