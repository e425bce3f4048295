//! What Log rules have matched, told of real traffic by either back end.

use std::net::UdpSocket;
use std::sync::Arc;

use bulkhead_enforce::BackendChoice;
use bulkhead_types::{Decision, Direction, HostInterface, HostStage, RuleRef, Verdict};
use bulkhead_wire::row::{Outcome, Row, Span, Spans};
use bulkhead_wire::{FlowEvent, FlowRecord, RuleId};
use tokio::sync::mpsc;

use crate::netns_hosts::add_host;
use crate::netns_node::{connect, enforce, listen, mk_allow_all, mk_program};
use crate::programs::{Maker, mk_rule};
use crate::world::{World, inside, wait_for};

/// Port 80 is allowed behind two rules that log, everything else denied behind one.
fn mk_logged(maker: &mut Maker) -> Row {
    let allow = maker.leaf(Decision::Allow, "web");
    let allow = maker.behind(allow, &["first", "second"]);
    let deny = maker.leaf(Decision::Deny, "deny");
    let deny = maker.behind(deny, &["first"]);
    let spans = [(0, deny), (80, allow), (81, deny)].map(|(start, leaf)| {
        let outcome = Outcome::Leaf(leaf);
        Span { start, outcome }
    });
    let spans = Spans::new(spans.to_vec()).unwrap();
    Row { tcp: spans.clone(), udp: spans, ..Row::uniform(deny) }
}

/// The verdict of the first record of this kind by the end that receives.
fn await_verdict(records: &mut mpsc::Receiver<FlowRecord>, event: FlowEvent) -> Arc<Verdict> {
    wait_for("the record", || {
        while let Ok(record) = records.try_recv() {
            if record.event == event && record.direction == Direction::Ingress {
                return Some(record.verdict);
            }
        }
        None
    })
}

#[test]
fn an_allowed_and_a_denied_flow_name_the_rules_that_logged_them_on_both_back_ends() {
    for backend in [BackendChoice::Ebpf, BackendChoice::Nftables] {
        let world = World::new(2);
        let (handle, mut records) = world.start_on(backend);
        enforce(&handle, mk_program(&world, 1, |maker| (mk_logged(maker), maker.allow())));
        let target = world.pods[1].v4_port(80);
        let _listener = listen(&world.pods[1].netns, target);
        let _client = connect(&world.pods[0].netns, target).unwrap();
        let allowed = await_verdict(&mut records, FlowEvent::New);
        let logged = vec![mk_rule("first"), mk_rule("second")];
        assert_eq!(*allowed, Verdict { logged, ..Verdict::allow(mk_rule("web")) }, "{backend:?}");

        let client =
            inside(&world.pods[0].netns, || UdpSocket::bind(world.pods[0].v4_port(4_000)).unwrap());
        client.send_to(b"no", world.pods[1].v4_port(81)).unwrap();
        let denied = await_verdict(&mut records, FlowEvent::Denied);
        let logged = vec![mk_rule("first")];
        assert_eq!(*denied, Verdict { logged, ..Verdict::deny(mk_rule("deny")) }, "{backend:?}");
    }
}

#[test]
fn a_stage_that_only_logs_has_no_say_and_tells_the_flow() {
    let world = World::new(2);
    let (handle, mut records) = world.start_on(BackendChoice::Ebpf);
    let mut maker = Maker { program: mk_allow_all(&world, 1) };
    let id = RuleId::of(&RuleRef::StageDefault);
    maker.program.rules.insert(id, RuleRef::StageDefault.into());
    let silence = bulkhead_wire::row::Leaf { decision: Decision::Allow, rule: id };
    let logged = maker.behind(silence, &["watch"]);
    let spans = [(0, silence), (80, logged), (81, silence)].map(|(start, leaf)| {
        let outcome = Outcome::Leaf(leaf);
        Span { start, outcome }
    });
    let early = Row { tcp: Spans::new(spans.to_vec()).unwrap(), ..Row::uniform(silence) };
    let normal = maker.allow_ports(&[80, 81]);
    let said = vec![
        (HostStage::PreDnat, Direction::Ingress, early),
        (HostStage::Normal, Direction::Ingress, normal),
    ];
    add_host(&mut maker, HostInterface::All, said);
    enforce(&handle, maker.program);
    let outside = crate::netns_hosts::Outside::new(&world);
    for port in [81, 80] {
        let target = (std::net::Ipv4Addr::new(192, 0, 2, 1), port).into();
        let _listener = listen(&world.node(), target);
        let _client = connect(&outside.netns, target).unwrap();
    }
    let mut early = Vec::new();
    wait_for("the flow that was logged", || {
        while let Ok(record) = records.try_recv() {
            if record.event == FlowEvent::New && record.verdict.rule == RuleRef::StageDefault {
                early.push((record.packet.dst_port, record.verdict.logged.clone()));
            }
        }
        (!early.is_empty()).then_some(())
    });
    assert_eq!(early, [(80, vec![mk_rule("watch")])]);
}
