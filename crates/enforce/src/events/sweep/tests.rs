use bulkhead_enforce_abi::LEAF_ALLOW;

use super::*;

const NOW: u64 = 1_000_000 * SECOND_NS;

fn mk_flow(idle_s: u64, state: u32, allowed: bool) -> Flow {
    let judged = if allowed { u64::from(LEAF_ALLOW) } else { 0 };
    let seen_ns = NOW - idle_s * SECOND_NS;
    Flow { judged, seen_ns, packets: [2, 1], state, ..Flow::default() }
}

fn mk_key(protocol: Protocol, lane: u8) -> FlowKey {
    FlowKey { protocol: protocol.0, lane, ..FlowKey::default() }
}

fn look(key: &FlowKey, flow: &Flow, is_live: bool) -> Finding {
    let sweep = Sweep::new(5_000, NOW - 10 * SECOND_NS);
    sweep.look(key, flow, is_live, NOW)
}

#[test]
fn closed_connections_end_after_their_last_packets() {
    let key = mk_key(Protocol::TCP, 0);
    let fins = STATE_OPENER_FIN | STATE_REPLIER_FIN | STATE_REPLIED;
    let ended = Finding::Remove(Some(FlowEvent::Ended));
    assert_eq!(look(&key, &mk_flow(2, fins, true), true), ended);
    assert_ne!(look(&key, &mk_flow(0, fins, true), true), ended);
    assert_ne!(look(&key, &mk_flow(2, STATE_OPENER_FIN | STATE_REPLIED, true), true), ended);
    assert_eq!(look(&key, &mk_flow(2, STATE_RESET, true), true), ended);
}

#[test]
fn a_cut_connection_is_remembered_longer_than_a_denied_attempt() {
    let cut = look(&mk_key(Protocol::TCP, 0), &mk_flow(60, STATE_REPLIED, false), true);
    assert_eq!(cut, Finding::Nothing);
    let attempt = look(&mk_key(Protocol::TCP, LANE_DENIED), &mk_flow(60, 0, false), true);
    assert_eq!(attempt, Finding::Remove(None));
}

#[test]
fn flows_of_endpoints_that_are_gone_end_at_once() {
    let flow = mk_flow(0, STATE_REPLIED, true);
    let found = look(&mk_key(Protocol::UDP, 0), &flow, false);
    assert_eq!(found, Finding::Remove(Some(FlowEvent::Ended)));
}

#[test]
fn only_moved_counters_are_reported() {
    let key = mk_key(Protocol::UDP, 0);
    let moved = look(&key, &mk_flow(1, STATE_REPLIED, true), true);
    assert_eq!(moved, Finding::Report(FlowEvent::Update));
    let still = look(&key, &mk_flow(11, STATE_REPLIED, true), true);
    assert_eq!(still, Finding::Nothing);
    let only_the_first = Flow { packets: [1, 0], ..mk_flow(1, 0, true) };
    assert_eq!(look(&key, &only_the_first, true), Finding::Nothing);
}
