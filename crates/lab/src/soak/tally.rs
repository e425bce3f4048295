//! What a soak counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::Fault;
use crate::probe::Probe;

/// Sentences that are kept of what was wrong.
const SAID_MAX: usize = 20;

#[derive(Debug, Default)]
pub struct Tally {
    by_kind: BTreeMap<Fault, u64>,
    rounds_ms: BTreeMap<Fault, u64>,
    /// Allowed connections that were cut or stood still, and allowed new ones that failed.
    pub wrongly_dropped: u64,
    /// Forbidden packets that arrived, and forbidden connections that came about.
    pub wrongly_passed: u64,
    /// Of links that somebody detached, until they were back.
    passed_while_detached: u64,
    told_ms: BTreeMap<Fault, u64>,
    n_probes: u64,
    n_status: u64,
    pub status_wrong: u64,
    pub sent: u64,
    pub answers: u64,
    said: Vec<String>,
}

impl Tally {
    pub fn faults(&self) -> u64 {
        self.by_kind.values().sum()
    }

    pub fn is_clean(&self) -> bool {
        self.wrongly_dropped == 0 && self.wrongly_passed == 0 && self.status_wrong == 0
    }

    /// `excused` of the packets that passed had to, because nothing was there to stop them.
    pub fn round(
        &mut self,
        fault: Fault,
        took: Duration,
        (passed, excused): (u64, u64),
        n_cut: u64,
    ) {
        *self.by_kind.entry(fault).or_default() += 1;
        *self.rounds_ms.entry(fault).or_default() += millis(took);
        self.wrongly_dropped += n_cut;
        if n_cut > 0 {
            self.say(fault, format!("{n_cut} allowed connections were cut"));
        }
        self.passed_while_detached += excused;
        if passed > excused {
            self.wrongly_passed += passed - excused;
            self.say(fault, format!("{} forbidden packets passed", passed - excused));
        }
    }

    /// A connection that is ended for it; so it is counted as cut.
    pub fn stands_still(&mut self, name: &str) {
        tracing::error!("the connection `{name}` stands still");
        self.said.push(format!("the connection `{name}` stood still"));
    }

    pub fn probed(&mut self, fault: Fault, probe: &Probe, is_open: bool, connected: bool) {
        self.n_probes += 1;
        match (is_open, connected) {
            (true, false) => self.wrongly_dropped += 1,
            (false, true) => self.wrongly_passed += 1,
            _ => return,
        }
        self.say(fault, format!("{}: connected {connected}, allowed {is_open}", probe.id));
    }

    pub fn status(&mut self, fault: Fault, is_true: bool, what: impl FnOnce() -> String) {
        self.n_status += 1;
        if !is_true {
            self.status_wrong += 1;
            self.say(fault, format!("status: {}", what()));
        }
    }

    /// How long it took until status told of something.
    pub fn told(&mut self, fault: Fault, after: Duration) {
        let longest = self.told_ms.entry(fault).or_default();
        *longest = (*longest).max(millis(after));
    }

    fn say(&mut self, fault: Fault, sentence: String) {
        tracing::error!(?fault, "{sentence}");
        if self.said.len() < SAID_MAX {
            self.said.push(format!("{}: {sentence}", fault.name()));
        }
    }

    pub fn to_json(&self) -> Value {
        let named = |counts: &BTreeMap<Fault, u64>| -> Value {
            let named = counts.iter().map(|(fault, n)| (fault.name().to_owned(), json!(n)));
            Value::Object(named.collect())
        };
        let mean = self.rounds_ms.iter().map(|(fault, ms)| {
            let n = self.by_kind.get(fault).copied().unwrap_or(1).max(1);
            (*fault, ms / n)
        });
        json!({
            "faults": self.faults(),
            "wrongly_dropped": self.wrongly_dropped,
            "wrongly_passed": self.wrongly_passed,
            "status_wrong": self.status_wrong,
            "by_kind": named(&self.by_kind),
            "mean_round_ms": named(&mean.collect()),
            "told_after_ms_max": named(&self.told_ms),
            "passed_while_detached": self.passed_while_detached,
            "probes": {
                "forbidden_packets": self.sent,
                "answers_on_long_lived_connections": self.answers,
                "new_connections": self.n_probes,
                "looks_at_status": self.n_status,
            },
            "wrong": self.said,
            "not_faulted": [
                "the kernel's own clocks: the agents' wall clock jumps (libfaketime), the kernel's \
                 boot clock, by which flows age, is the whole machine's",
            ],
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
