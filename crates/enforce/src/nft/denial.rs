//! The end of a denied packet: it is told, with a prefix that says who denied it, and dropped.

use bulkhead_types::{Direction, HostStage};

use super::chains::WAYS;
use super::expr::{Compare, Ct, End, Meta, Rule, r};
use super::hosts;
use super::judge::NearEnd;
use super::objects::Change;

const STATUS_CONFIRMED: u32 = 8;

/// Denied packets that are told in a second, of one way and family together.
const TOLD_PER_SECOND: u64 = 2_000;
const TOLD_BURST: u32 = 4_000;
/// Headers, and what an ICMP error quotes.
const TOLD_BYTES: u32 = 160;

/// What is told of packets whose address is not the interface's, with the side, and of those that a
/// workload sends to its own host although the node's setting is against it.
pub const STRANGER_FROM: &str = "stranger-from";
pub const STRANGER_TO: &str = "stranger-to";
pub const TO_HOST: &str = "to-host";

/// Who has denied a told packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    Workload,
    /// The near address is not the interface's.
    Stranger,
    /// The node's setting for what workloads send to their host.
    Setting,
    Host(HostStage),
}

/// What a told packet's prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldWay {
    pub by: ToldBy,
    /// The judged one's interface is where the packet came in.
    pub is_in: bool,
    pub direction: Direction,
    /// The packet's sender has opened the flow.
    pub from_opener: bool,
    pub is_late: bool,
}

/// Before the name of the way: the flow had been allowed.
const LATE: &str = "late-";

pub fn told_way(prefix: &str) -> Option<ToldWay> {
    let (is_late, name) = match prefix.strip_prefix(LATE) {
        Some(name) => (true, name),
        None => (false, prefix),
    };
    let plain = |by, is_in| {
        let direction = if is_in { Direction::Egress } else { Direction::Ingress };
        Some(ToldWay { by, is_in, direction, from_opener: true, is_late })
    };
    match name {
        STRANGER_FROM => return plain(ToldBy::Stranger, true),
        STRANGER_TO => return plain(ToldBy::Stranger, false),
        TO_HOST => return plain(ToldBy::Setting, true),
        _ => {}
    }
    let hosts = hosts::ways();
    let way = WAYS.iter().chain(&hosts).find(|way| way.name == name)?;
    let by = way.host.and_then(hosts::stage_of).map_or(ToldBy::Workload, ToldBy::Host);
    let from_judged = way.near == NearEnd::Source;
    Some(ToldWay {
        by,
        is_in: way.device == Meta::Iif,
        direction: if way.is_opener { Direction::Egress } else { Direction::Ingress },
        from_opener: from_judged == way.is_opener,
        is_late,
    })
}

/// Where packets go that `name` denies.
pub fn make_deny(change: &mut Change<'_>, name: &str, log_group: u16) {
    let (deny, late) = (format!("deny-{name}"), format!("{LATE}{name}"));
    for chain in [&deny, &late] {
        change.make_chain(chain);
    }
    // A flow is confirmed when a packet of it has left the node.
    let confirmed = Rule::new().ct(Ct::Status, None, r(0));
    let confirmed = confirmed.bits(r(0), r(0), &STATUS_CONFIRMED.to_ne_bytes(), &[0; 4]);
    let confirmed = confirmed.compare(r(0), Compare::Unequal, &[0; 4]);
    change.add_rule(&deny, confirmed.end(End::Goto(&late)));
    for (chain, prefix) in [(&deny, name), (&late, late.as_str())] {
        let told = Rule::new().limit(TOLD_PER_SECOND, TOLD_BURST);
        change.add_rule(chain, told.log(log_group, prefix, TOLD_BYTES));
        change.add_rule(chain, Rule::new().end(End::Drop));
    }
}
