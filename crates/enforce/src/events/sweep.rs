//! Passes over the flow table: what has ended, and whose counters have moved.
//!
//! Stateless but for two times: a flow is reported again when it saw a packet since the last report
//! was due. Nothing is remembered by flow, so the agent's memory does not grow with the table.

use bulkhead_enforce_abi::{
    Flow, FlowKey, LANE_DENIED, STATE_OPENER_FIN, STATE_REPLIED, STATE_REPLIER_FIN, STATE_RESET,
};
use bulkhead_types::Protocol;
use bulkhead_wire::FlowEvent;

use crate::limits::{CLOSED_LINGER_NS, idle_s};

const SECOND_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    update_ns: u64,
    /// Times up to which moved counters were reported: of denied attempts, of other flows.
    denied_reported_ns: u64,
    reported_ns: u64,
}

/// What a pass says about one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Remove it and report its last counters as this, if as anything.
    Remove(Option<FlowEvent>),
    Report(FlowEvent),
    Nothing,
}

impl Sweep {
    pub fn new(update_ms: u64, now_ns: u64) -> Self {
        let update_ns = update_ms.saturating_mul(1_000_000);
        Self { update_ns, denied_reported_ns: now_ns, reported_ns: now_ns }
    }

    /// The pass at `now_ns`; afterwards call [`Sweep::done`].
    pub fn look(&self, key: &FlowKey, flow: &Flow, is_live: bool, now_ns: u64) -> Finding {
        let idle_ns = now_ns.saturating_sub(flow.seen_ns);
        let closed = is_closed(flow) && idle_ns >= CLOSED_LINGER_NS;
        let is_attempt = key.lane >= LANE_DENIED;
        if !is_live || closed || idle_ns > idle_max_ns(key, flow) {
            // An attempt has no end worth telling, only repeats that were not told yet.
            let repeats = flow.seen_ns >= self.denied_reported_ns && flow.n_packets(0) > 1;
            return Finding::Remove(match is_attempt {
                true => repeats.then_some(FlowEvent::Update),
                false => Some(FlowEvent::Ended),
            });
        }
        let due_ns = if is_attempt {
            self.denied_reported_ns
        } else if self.updates_are_due(now_ns) {
            self.reported_ns
        } else {
            return Finding::Nothing;
        };
        let n_packets = flow.n_packets(0).saturating_add(flow.n_packets(1));
        // In the tick of the last pass there may have been packets after it.
        if flow.seen_ns >= due_ns && n_packets > 1 {
            Finding::Report(FlowEvent::Update)
        } else {
            Finding::Nothing
        }
    }

    fn updates_are_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.reported_ns) >= self.update_ns
    }

    /// `now_ns` must be the time of the pass, read before it began.
    pub fn done(&mut self, now_ns: u64) {
        if self.updates_are_due(now_ns) {
            self.reported_ns = now_ns;
        }
        self.denied_reported_ns = now_ns;
    }
}

/// Whether its two ends have said that it is over.
pub fn is_closed(flow: &Flow) -> bool {
    let fins = STATE_OPENER_FIN | STATE_REPLIER_FIN;
    flow.state & STATE_RESET != 0 || flow.state & fins == fins
}

/// The twin of `idle_max_ns` in `bpf/src/flows.h`.
fn idle_max_ns(key: &FlowKey, flow: &Flow) -> u64 {
    let is_answered = flow.state & STATE_REPLIED != 0;
    let protocol = Protocol(key.protocol);
    let seconds = match protocol {
        Protocol::TCP if !flow.is_allowed() && key.lane == 0 => idle_s::CUT_TCP,
        _ if !flow.is_allowed() => idle_s::DENIED,
        Protocol::TCP if is_closed(flow) => idle_s::TCP_CLOSED,
        Protocol::TCP if is_answered => idle_s::TCP,
        Protocol::TCP => idle_s::TCP_OPENING,
        Protocol::UDP if is_answered => idle_s::UDP,
        Protocol::UDP => idle_s::UDP_UNANSWERED,
        Protocol::ICMP | Protocol::ICMPV6 => idle_s::ICMP,
        _ => idle_s::OTHER,
    };
    seconds * SECOND_NS
}

#[cfg(test)]
mod tests;
