//! What Log rules match, as events: one for each rule that a flow's first packet has matched, up to a
//! rate. Beyond it events are counted; the flow records lose nothing.

use bulkhead_types::{EndpointId, Packet, RuleRef};
use bulkhead_wire::{FlowEvent, FlowRecord, Peer};
use tokio::time::Instant;
use tracing::field::{DisplayValue, display};

/// What events are filed under; a promise to those who filter by it.
pub const TARGET: &str = "bulkhead::log";

/// How many events may be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogRate {
    /// Finite and not negative; 0: none at all.
    pub per_second: f64,
    /// At once.
    pub burst: u32,
}

/// Writes events and counts those that it does not.
#[derive(Debug)]
pub struct LogEvents {
    rate: LogRate,
    tokens: f64,
    filled_at: Option<Instant>,
    /// Since they were last told.
    n_suppressed: u64,
}

impl LogEvents {
    pub fn new(rate: LogRate) -> Self {
        let full = if rate.per_second > 0.0 { f64::from(rate.burst) } else { 0.0 };
        Self { rate, tokens: full, filled_at: None, n_suppressed: 0 }
    }

    /// Writes an event for each Log rule of a record that tells how a flow was judged. Returns how many
    /// were over the rate.
    pub fn note(&mut self, record: &FlowRecord, now: Instant) -> u64 {
        if matches!(record.event, FlowEvent::Ended | FlowEvent::Update) {
            return 0;
        }
        let mut n_suppressed = 0;
        for rule in &record.verdict.logged {
            if self.takes_token(now) {
                write(rule, record);
            } else {
                n_suppressed += 1;
            }
        }
        self.n_suppressed += n_suppressed;
        n_suppressed
    }

    pub fn has_suppressed(&self) -> bool {
        self.n_suppressed > 0
    }

    /// Says how many events were over the rate since it was last said, if there were any.
    pub fn tell_suppressed(&mut self) {
        let n_suppressed = std::mem::take(&mut self.n_suppressed);
        if n_suppressed > 0 {
            tracing::warn!(
                target: TARGET,
                suppressed = n_suppressed,
                per_second = self.rate.per_second,
                "events over the rate were left out; flow records have them"
            );
        }
    }

    fn takes_token(&mut self, now: Instant) -> bool {
        let since = self.filled_at.map(|then| now.saturating_duration_since(then));
        self.filled_at = Some(now);
        let more = since.map_or(0.0, |since| since.as_secs_f64() * self.rate.per_second);
        self.tokens = (self.tokens + more).min(f64::from(self.rate.burst));
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

fn write(rule: &RuleRef, record: &FlowRecord) {
    let Packet { src, dst, protocol, src_port, dst_port, icmp_type, icmp_code } = record.packet;
    let ports = protocol.has_ports();
    let is_icmp = protocol.is_icmp();
    let (policy, profile) = match rule {
        RuleRef::Rule { tier, policy, index, .. } => (Some((tier, policy, *index)), None),
        RuleRef::Profile { name } => (None, Some(name.as_str())),
        // Nothing else has rules.
        _ => (None, None),
    };
    let policy_name = policy.map(|(_, policy, _)| policy.to_string());
    tracing::info!(
        target: TARGET,
        tier = policy.map(|(tier, ..)| tier.as_str()),
        policy = policy_name.as_deref(),
        rule = policy.map(|(.., index)| index),
        profile,
        direction = %record.direction,
        endpoint = %record.reporter,
        verdict = %record.verdict.decision,
        event = word(record.event),
        protocol = %protocol,
        src = %src,
        src_port = ports.then_some(src_port),
        src_endpoint = name(record.src.as_deref()),
        dst = %dst,
        dst_port = ports.then_some(dst_port),
        dst_endpoint = name(record.dst.as_deref()),
        icmp_type = is_icmp.then_some(icmp_type),
        icmp_code = is_icmp.then_some(icmp_code),
        revision = record.revision.0,
    );
}

fn name(peer: Option<&Peer>) -> Option<DisplayValue<&EndpointId>> {
    peer.map(|peer| display(&*peer.id))
}

fn word(event: FlowEvent) -> &'static str {
    match event {
        FlowEvent::New => "new",
        FlowEvent::Denied => "denied",
        FlowEvent::LateDenied => "late-denied",
        FlowEvent::Ended => "ended",
        FlowEvent::Update => "update",
    }
}

#[cfg(test)]
mod tests;
