//! A soak: faults one after another on a running world, and what became of its connections.
//!
//! Allowed connections that live all the while, forbidden packets without pause, and after every fault
//! new connections, allowed and forbidden, and a look at whether status told the truth.

mod faults;
mod hand;
mod tally;
mod watch;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::probe::Patience;
pub use faults::Fault;
pub use tally::Tally;
use watch::Watch;

/// For what must come about, and for what must not.
const PATIENT: Patience =
    Patience { timeout: Duration::from_millis(500), attempts: 6, parallel: 32 };
const BRIEF: Patience = Patience { timeout: Duration::from_millis(250), attempts: 1, parallel: 32 };

/// How long to go on, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    pub length: Duration,
    pub seed: u64,
    /// Only these kinds; all where empty.
    pub kinds: Vec<Fault>,
}

/// Numbers of one run; the same seed gives the same ones.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n.max(1)
    }

    pub async fn pause(&mut self, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(most_ms))).await;
    }
}

/// The world under faults.
pub struct Soak {
    lab: Lab,
    watch: Watch,
    dice: Dice,
    tally: Tally,
    length: Duration,
    /// Which of the policy's two forms is in force, and a number that is in both.
    turn: u64,
    layout: u64,
    clock: PathBuf,
}

/// Runs to the end; the tally is what there is to say.
pub async fn run(options: Options) -> Result<Tally> {
    let mut soak = Soak::up(&options).await?;
    let until = Instant::now() + options.length;
    let mut kinds = if options.kinds.is_empty() { Fault::ALL.to_vec() } else { options.kinds };
    let first: Vec<Fault> = kinds.clone();
    for fault in first {
        soak.round(fault).await?;
    }
    // Kills are quick, and their moment is what matters: most rounds are theirs.
    if kinds.contains(&Fault::KillAgent) {
        kinds.extend(std::iter::repeat_n(Fault::KillAgent, kinds.len() * 8));
    }
    while Instant::now() < until {
        let at = usize::try_from(soak.dice.roll(kinds.len() as u64))?;
        soak.round(*kinds.get(at).context("no kind of fault")?).await?;
    }
    Ok(soak.end())
}

impl Soak {
    async fn up(options: &Options) -> Result<Self> {
        let mut lab = Lab::up(&world::objects()?).await?;
        let clock = lab.claim().data_folder().join("clock");
        std::fs::write(&clock, "+0")?;
        for agent in lab.agents() {
            // Agents live by a clock of their own that can jump.
            agent.set_variable("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1".to_owned());
            agent.set_variable("FAKETIME_TIMESTAMP_FILE", clock.to_string_lossy().into_owned());
            agent.set_variable("FAKETIME_NO_CACHE", "1".to_owned());
            agent.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
            agent.kill().await?;
            agent.restart()?;
        }
        // Something new: only a living agent answers to it.
        lab.apply(&[world::policy(2)?]).await?;
        lab.wait_enforced().await?;
        let watch = Watch::start(&lab).await?;
        let (tally, dice) = (Tally::default(), Dice(options.seed));
        let length = options.length;
        Ok(Self { lab, watch, dice, tally, length, turn: 2, layout: 100, clock })
    }

    /// One fault, and everything that must hold while it is there and after it.
    async fn round(&mut self, fault: Fault) -> Result<()> {
        tracing::info!(?fault, n = self.tally.faults(), "fault");
        let began = Instant::now();
        let before = self.watch.passed();
        let inflicted = self.inflict(fault).await;
        let excused = *inflicted.as_ref().unwrap_or(&0);
        let failed = match inflicted {
            Ok(_) => self.settle(fault).await.err(),
            Err(error) => Some(error),
        };
        let passed = self.watch.passed() - before;
        let n_cut = self.watch.mend(&self.lab).await?;
        self.tally.round(fault, began.elapsed(), (passed, excused), n_cut);
        if let Some(error) = failed {
            // What goes on here is unknown, so nothing after it would say anything.
            return Err(error.context(format!(
                "after fault {} ({fault:?}): {}",
                self.tally.faults(),
                serde_json::to_string(&self.tally.to_json())?
            )));
        }
        Ok(())
    }

    /// Everything written is in force, connections go on, and new ones meet the policy.
    async fn settle(&mut self, fault: Fault) -> Result<()> {
        // What the server says of an agent that has just gone may be a moment old; an answer to
        // something new is not.
        self.turn_policy().await?;
        self.lab.wait_enforced().await?;
        self.watch.goes_on(&mut self.tally).await;
        let (open, shut): (Vec<_>, Vec<_>) =
            world::probes(self.turn).into_iter().partition(|(_, is_open)| *is_open);
        for (probes, patience) in [(open, PATIENT), (shut, BRIEF)] {
            let wanted: Vec<_> = probes.iter().map(|(probe, _)| probe.clone()).collect();
            let outcomes = self.lab.net().probe(&wanted, &patience).await?;
            for ((probe, is_open), outcome) in probes.iter().zip(outcomes) {
                self.tally.probed(fault, probe, *is_open, outcome.connected);
            }
        }
        let now = self.lab.enforcement().await?;
        for node in &now.nodes {
            let is_true = node.connected && node.enforced >= node.wanted && node.waiting.is_empty();
            self.tally.status(fault, is_true, || format!("after it: {node:?}"));
        }
        Ok(())
    }

    /// The policy's other form, written.
    async fn turn_policy(&mut self) -> Result<()> {
        self.turn += 1;
        self.lab.apply(&[world::policy(self.turn)?]).await
    }

    /// The end of the run; what the probers saw at last counts too.
    fn end(mut self) -> Tally {
        self.tally.sent = self.watch.sent();
        self.tally.answers = self.watch.answers();
        self.tally
    }
}
