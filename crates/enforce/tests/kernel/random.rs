//! Random node programs and packets that ask about them, from a seed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bulkhead_enforce::dns::{Answer, Cache};
use bulkhead_enforce::ebpf::plan::endpoint_content;
use bulkhead_types::{Decision, EndpointId, Packet, Protocol};
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{ClassId, Judges, NameSetId, NodeProgram, RowId, Sight, Tag};
use ipnet::IpNet;
use rand::prelude::*;
use rand::rngs::SmallRng;

use crate::programs::Maker;

const EDGES: [u16; 10] = [0, 1, 53, 80, 443, 1023, 1024, 8080, 40000, u16::MAX];
const PROTOCOLS: [u8; 8] = [6, 17, 132, 1, 58, 2, 47, 136];

fn mk_port(rng: &mut SmallRng) -> u16 {
    let edge = *EDGES.choose(rng).unwrap();
    if rng.random_bool(0.7) { edge.wrapping_add(rng.random_range(0..3)) } else { rng.random() }
}

/// Close together, so that prefixes overlap and packets hit.
pub fn mk_address(rng: &mut SmallRng) -> IpAddr {
    let (a, b) = (rng.random_range(0..4u8), rng.random_range(0..16u8));
    if rng.random() {
        Ipv4Addr::new(10, a, 0, b).into()
    } else {
        Ipv6Addr::from([0xfd00, u16::from(a), 0, 0, 0, 0, 0, u16::from(b)]).into()
    }
}

fn mk_prefix(rng: &mut SmallRng) -> IpNet {
    let address = mk_address(rng);
    let full = IpNet::from(address).prefix_len();
    let length = if rng.random_bool(0.5) { full } else { rng.random_range(0..=full) };
    IpNet::new(address, length).unwrap().trunc()
}

fn mk_leaf(rng: &mut SmallRng, maker: &mut Maker) -> Leaf {
    let decision = if rng.random() { Decision::Allow } else { Decision::Deny };
    maker.leaf(decision, &format!("rule{}", rng.random_range(0..12)))
}

fn mk_starts(rng: &mut SmallRng, most: usize) -> Vec<u16> {
    let mut starts: Vec<u16> = (0..rng.random_range(0..most)).map(|_| mk_port(rng)).collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    starts
}

fn mk_spans(rng: &mut SmallRng, maker: &mut Maker, by_source: bool) -> Spans {
    if rng.random_bool(0.4) {
        return Spans::uniform(mk_leaf(rng, maker));
    }
    let spans = mk_starts(rng, 20)
        .into_iter()
        .map(|start| {
            let outcome = if by_source && rng.random_bool(0.2) {
                let starts = mk_starts(rng, 6);
                Outcome::BySource(starts.into_iter().map(|s| (s, mk_leaf(rng, maker))).collect())
            } else {
                Outcome::Leaf(mk_leaf(rng, maker))
            };
            Span { start, outcome }
        })
        .collect();
    Spans::new(spans).unwrap()
}

fn mk_row(rng: &mut SmallRng, maker: &mut Maker) -> Row {
    Row {
        tcp: mk_spans(rng, maker, true),
        udp: mk_spans(rng, maker, true),
        sctp: mk_spans(rng, maker, true),
        icmp: mk_spans(rng, maker, false),
        icmpv6: mk_spans(rng, maker, false),
        other: mk_spans(rng, maker, false),
    }
}

/// Ids by content, as the compiler makes them.
pub fn mk_program(rng: &mut SmallRng, revision: u64) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let classes: Vec<ClassId> = (0..rng.random_range(0..6)).map(|n| ClassId(n + 100)).collect();
    for _ in 0..rng.random_range(0..12) {
        if let Some(class) = classes.choose(rng) {
            maker.program.classes.insert(mk_prefix(rng), *class);
        }
    }
    let mut judges = Vec::new();
    for _ in 0..rng.random_range(1..5) {
        let outside = mk_row(rng, &mut maker);
        let mut rows: Vec<(ClassId, Row)> = Vec::new();
        for class in &classes {
            if rng.random_bool(0.6) {
                rows.push((*class, mk_row(rng, &mut maker)));
            }
        }
        let rows: Vec<(ClassId, &Row)> = rows.iter().map(|(class, row)| (*class, row)).collect();
        judges.push(maker.judge(&outside, &rows));
    }
    for n in 0..rng.random_range(1..4) {
        let addresses: Vec<IpAddr> = (0..rng.random_range(1..4)).map(|_| mk_address(rng)).collect();
        let taken: Vec<IpAddr> =
            maker.program.endpoints.values().flat_map(|e| e.addresses.keys().copied()).collect();
        let addresses: Vec<IpAddr> =
            addresses.into_iter().filter(|address| !taken.contains(address)).collect();
        let pick =
            Judges { ingress: *judges.choose(rng).unwrap(), egress: *judges.choose(rng).unwrap() };
        let id = maker.endpoint(&format!("pod{n}"), &addresses, pick);
        for judged in
            Arc::make_mut(maker.program.endpoints.get_mut(&id).unwrap()).addresses.values_mut()
        {
            if rng.random_bool(0.3) {
                judged.ingress = *judges.choose(rng).unwrap();
            }
        }
    }
    maker.program
}

/// Patterns, sets and rows for some of the program's judges; not every set gets rows.
pub fn mk_names(rng: &mut SmallRng, program: NodeProgram) -> NodeProgram {
    let mut maker = Maker { program };
    let tags: Vec<Tag> = (0..rng.random_range(1..5)).map(|n| Tag(n + 1)).collect();
    let some = |rng: &mut SmallRng| -> BTreeSet<Tag> {
        tags.iter().filter(|_| rng.random()).copied().collect()
    };
    for pattern in ["a.org", "b.org", "*.org", "*.b.org", "c.net"] {
        let tags = some(rng);
        if !tags.is_empty() {
            maker.program.names.patterns.insert(pattern.to_owned(), tags);
        }
    }
    let judges: BTreeSet<_> = maker.program.entries.keys().map(|(judge, _)| *judge).collect();
    let classes: BTreeSet<_> = maker.program.entries.keys().map(|(_, class)| *class).collect();
    for judge in judges {
        if rng.random_bool(0.3) {
            continue;
        }
        let sight = Sight { tags: some(rng), is_cut: true };
        for _ in 0..rng.random_range(0..6) {
            let set = some(rng).intersection(&sight.tags).copied().collect::<BTreeSet<_>>();
            if set.is_empty() {
                continue;
            }
            for class in &classes {
                if *class == ClassId::OUTSIDE || rng.random() {
                    let row = mk_row(rng, &mut maker);
                    let id = RowId::of(&row);
                    maker.program.rows.insert(id, row.into());
                    let key = (judge, *class, NameSetId::of(&set));
                    maker.program.names.entries.insert(key, id);
                }
            }
        }
        maker.program.names.programs.insert(judge, sight);
    }
    maker.program
}

/// Looked up by some endpoints: some addresses under some names.
pub fn mk_cache(rng: &mut SmallRng, program: &NodeProgram, ifindex: u32, cache: &mut Cache) {
    for id in program.endpoints.keys() {
        for _ in 0..rng.random_range(0..12) {
            let all = ["a.org", "b.org", "x.b.org", "c.net", "d.net"];
            let names: BTreeSet<String> =
                all.iter().filter(|_| rng.random_bool(0.3)).map(|n| (*n).to_owned()).collect();
            let answer = Answer { addresses: vec![(mk_address(rng), names, 60)] };
            cache.learn(endpoint_content(id, ifindex), &answer, |_| 1).unwrap();
        }
    }
}

/// A packet of `local`'s family, from or to it.
pub fn mk_question(rng: &mut SmallRng, local: IpAddr, is_egress: bool) -> Packet {
    let remote = loop {
        let remote = mk_address(rng);
        if remote.is_ipv4() == local.is_ipv4() {
            break remote;
        }
    };
    let protocol = Protocol(*PROTOCOLS.choose(rng).unwrap());
    let (src, dst) = if is_egress { (local, remote) } else { (remote, local) };
    let ports = protocol.has_ports();
    Packet {
        src,
        dst,
        protocol,
        src_port: if ports { mk_port(rng) } else { 0 },
        dst_port: if ports { mk_port(rng) } else { 0 },
        icmp_type: if protocol.is_icmp() { rng.random() } else { 0 },
        icmp_code: if protocol.is_icmp() { rng.random_range(0..3) } else { 0 },
    }
}

/// Some address of some endpoint.
pub fn pick_local(rng: &mut SmallRng, program: &NodeProgram) -> Option<(EndpointId, IpAddr)> {
    let all: Vec<(EndpointId, IpAddr)> = program
        .endpoints
        .iter()
        .flat_map(|(id, endpoint)| endpoint.addresses.keys().map(|a| (id.clone(), *a)))
        .collect();
    all.choose(rng).cloned()
}
