//! What the node is held to.

use std::net::{IpAddr, Ipv4Addr};

use bulkhead_types::{Decision, EndpointId, Labels, Revision, RuleRef, ToHost};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{
    ClassId, EndpointProgram, JudgedAddresses, Judges, NodeProgram, ProgramId, RowId, RuleId,
};

use crate::workload::{WORKLOADS, address};

/// The port that every workload may send to.
pub const OPEN: u16 = 7_000;
const ADDRESSES: u32 = 100_000;
const CLASSES: u32 = 500;
const PROGRAMS: u32 = 20;

/// Every workload may reach one port of its node; 100,000 addresses in 500 classes are known.
pub fn mk_program() -> NodeProgram {
    // What a workload sends to its node is for its policy to say.
    let mut program =
        NodeProgram { revision: Revision(1), to_host: ToHost::Return, ..NodeProgram::default() };
    let deny = leaf(&mut program, Decision::Deny, "deny");
    let allow = leaf(&mut program, Decision::Allow, "allow");
    let classes = &mut program.classes;
    for n in 0..ADDRESSES {
        let remote = Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n);
        classes.insert(IpAddr::V4(remote).into(), ClassId(u64::from(n % CLASSES) + 1));
    }
    let ids: Vec<ProgramId> =
        (0..PROGRAMS).map(|n| mk_judge(&mut program, n, deny, allow)).collect();
    let endpoints = &mut program.endpoints;
    for n in 0..WORKLOADS {
        let id = EndpointId::pod("bench", format!("workload-{n}"));
        let judge = ids[(n % PROGRAMS) as usize];
        let judges = Judges { ingress: judge, egress: judge };
        let endpoint = EndpointProgram {
            id: id.clone(),
            labels: Labels::new().into(),
            addresses: [(IpAddr::V4(address(n)), judges)].into_iter().collect(),
            staged: JudgedAddresses::default(),
            interface: None,
            mac: None,
        };
        endpoints.insert(id, endpoint.into());
    }
    program
}

fn leaf(program: &mut NodeProgram, decision: Decision, name: &str) -> Leaf {
    let rule = RuleRef::TierDefault { tier: name.to_owned() };
    let id = RuleId::of(&rule);
    program.rules.insert(id, rule.into());
    Leaf { decision, rule: id }
}

/// Opens the port to everybody, and another one to each class.
fn mk_judge(program: &mut NodeProgram, number: u32, deny: Leaf, allow: Leaf) -> ProgramId {
    let id = ProgramId(content_hash([&number.to_le_bytes()[..]]));
    let (rows, entries) = (&mut program.rows, &mut program.entries);

    for class in 0..=CLASSES {
        let port = 10_000 + (class * PROGRAMS + number) as u16;
        let open = |from: u16, leaf| Span { start: from, outcome: Outcome::Leaf(leaf) };
        let spans = vec![
            open(0, deny),
            open(OPEN, allow),
            open(OPEN + 1, deny),
            open(port, allow),
            open(port + 1, deny),
        ];
        let row = Row { udp: Spans::new(spans).unwrap(), ..Row::uniform(deny) };
        let row_id = RowId::of(&row);
        rows.insert(row_id, row.into());
        entries.insert((id, ClassId(u64::from(class))), row_id);
    }
    id
}
