//! `bulkhead-lab demo`: the shop at work under its policies, and someone who tries what it must not.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{complain, say, signalled};
use crate::flows::{FlowSums, Follower};
use crate::lab::Lab;
use crate::manifests;
use crate::probe::Probe;
use crate::shop::{SNOOP, Tally, Traffic, snoop};
use crate::world::World;

/// A round of forbidden attempts begins this often.
const ATTEMPTS_EVERY: Duration = Duration::from_secs(2);
/// How long the last flows may take to be told.
const LAST_FLOWS: Duration = Duration::from_secs(3);

pub async fn demo(seconds: Option<u64>, folder: &Path) -> Result<ExitCode> {
    if !folder.is_dir() {
        bail!(
            "`{}` is no folder: run it in the repository, or say where the shop's manifests are \
             (--manifests)",
            folder.display()
        );
    }
    let signal = signalled();
    tokio::pin!(signal);
    let mut demo = tokio::select! {
        demo = Demo::up(folder) => demo?,
        ended = &mut signal => {
            complain(&format!("ended by {} before the shop was up", ended?));
            return Ok(ExitCode::from(130));
        }
    };
    demo.introduce(seconds).await?;
    let ended = tokio::select! {
        worked = demo.work(seconds.map(Duration::from_secs)) => worked,
        ended = &mut signal => ended.map(|name| complain(&format!("ended by {name}"))),
    };
    let summary = demo.finish().await;
    drop(demo);
    ended?;
    let good = summary.tell();
    say("The machine is as it was.");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Demo {
    traffic: Traffic,
    follower: Follower,
    attempts: Vec<Probe>,
    attempted: Attempted,
    lab: Lab,
    began: Instant,
}

#[derive(Clone, Debug, Default)]
struct Attempted {
    n_blocked: u64,
    /// What got through.
    passed: Vec<String>,
}

impl Demo {
    async fn up(folder: &Path) -> Result<Self> {
        let began = Instant::now();
        say("Bulkhead: bringing up a small shop in network namespaces ...");
        let objects = manifests::read(&[folder.to_owned()])?;
        let world = World::from_objects(&objects)?;
        let lab = Lab::bare(&objects).await?;
        let mut traffic = Traffic::open(lab.net().clone(), &world.endpoints).await?;
        lab.apply(&objects).await.context("cannot apply the shop's manifests")?;
        lab.wait_enforced().await?;
        let follower = Follower::start(lab.client()).await?;
        traffic.begin();
        say(&format!(
            "{} workloads on {} nodes, enforced after {:.1} s.",
            world.endpoints.len(),
            world.nodes.len(),
            began.elapsed().as_secs_f64()
        ));
        let (attempts, attempted) = (snoop::attempts(), Attempted::default());
        Ok(Self { traffic, follower, attempts, attempted, lab, began })
    }

    async fn introduce(&self, seconds: Option<u64>) -> Result<()> {
        let cli = self.lab.programs().cli.display();
        let kubeconfig = self.lab.kubeconfig();
        let (snoop, _) = self.lab.net().endpoint(SNOOP).await?;
        let (_, victim) = self.lab.net().endpoint("shop-core/inventory").await?;
        say(&format!(
            "
Try in another terminal:
  export KUBECONFIG={}
  kubectl get pods,networkpolicies -A -o wide
  kubectl get tiers,globalnetworkpolicies
  kubectl describe networkpolicy -n shop-data db
  {cli} flows --follow --verdict deny
  {cli} why ops/snoop shop-data/db:5432
  kubectl delete globalnetworkpolicy platform.guard-data    # who stops the snoop now?
  ip netns exec {} ping {}    # from ops/snoop to shop-core/inventory
",
            kubeconfig.display(),
            snoop.name,
            victim.address(false).context("the shop is dual-stack")?,
        ));
        match seconds {
            Some(seconds) => say(&format!("Ends by itself after {seconds} s.")),
            None => say("Ctrl-C ends it and leaves the machine as it was."),
        }
        Ok(())
    }

    /// Goes on until the time is up or something breaks.
    async fn work(&mut self, time: Option<Duration>) -> Result<()> {
        let until = time.map(|time| Instant::now() + time);
        while until.is_none_or(|until| Instant::now() < until) {
            let round = Instant::now();
            let outcomes = self.lab.probe(&self.attempts).await?;
            for (attempt, outcome) in self.attempts.iter().zip(outcomes) {
                if outcome.connected {
                    let family = if attempt.is_v6()? { " over IPv6" } else { "" };
                    let id = attempt.id.as_str().unwrap_or_default();
                    self.attempted.passed.push(format!("{id}{family}"));
                } else {
                    self.attempted.n_blocked += 1;
                }
            }
            self.lab.check()?;
            self.status();
            let left =
                until.map_or(ATTEMPTS_EVERY, |u| u.saturating_duration_since(Instant::now()));
            tokio::time::sleep(ATTEMPTS_EVERY.saturating_sub(round.elapsed()).min(left)).await;
        }
        Ok(())
    }

    fn status(&self) {
        let (tally, flows) = (self.traffic.tally(), self.follower.sums());
        let most = flows.denied_by.iter().max_by_key(|(_, times)| **times);
        let most = most.map(|(rule, _)| format!(" | most by {rule}")).unwrap_or_default();
        say(&format!(
            "{:4.0} s | calls {} ok, {} failed | flows {} allowed, {} denied{most} | forbidden \
             attempts {} blocked, {} through",
            self.began.elapsed().as_secs_f64(),
            tally.n_ok,
            tally.n_failed(),
            flows.n_allowed,
            flows.n_denied + flows.n_late_denied,
            self.attempted.n_blocked,
            self.attempted.passed.len(),
        ));
    }

    /// The sums, once the last attempts have been told as flows.
    async fn finish(&mut self) -> Summary {
        let until = Instant::now() + LAST_FLOWS;
        let mut untold = self.untold().await;
        while self.attempted.n_blocked > 0 && !untold.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
            untold = self.untold().await;
        }
        Summary {
            calls: self.traffic.tally(),
            flows: self.follower.sums(),
            attempted: self.attempted.clone(),
            untold: if self.attempted.n_blocked > 0 { untold } else { Vec::new() },
        }
    }

    /// Attempts of which no flow tells that they were denied.
    async fn untold(&self) -> Vec<String> {
        let flows = self.follower.sums();
        let mut untold = Vec::new();
        for attempt in &self.attempts {
            let Ok((src, dst)) = self.lab.net().addresses(attempt).await else { continue };
            let port = attempt.port.unwrap_or_default();
            let same = |denied: &&(std::net::IpAddr, std::net::IpAddr, String, u16)| {
                denied.0 == src && denied.1 == dst && (denied.3 == port || port == 0)
            };
            if !flows.denied.iter().any(|denied| same(&denied)) {
                untold.push(format!("{} ({src} -> {dst})", attempt.id));
            }
        }
        untold
    }
}

struct Summary {
    calls: Tally,
    flows: FlowSums,
    attempted: Attempted,
    untold: Vec<String>,
}

impl Summary {
    /// Prints it; whether all was as it must be.
    fn tell(&self) -> bool {
        let Self { calls, flows, attempted, untold } = self;
        let n_calls = calls.n_ok + calls.n_failed();
        let rate = calls.n_ok as f64 * 100.0 / (n_calls.max(1)) as f64;
        say("\nSummary");
        say(&format!(
            "  flows seen           {} ({} allowed, {} denied, {} cut later)",
            flows.n_allowed + flows.n_denied + flows.n_late_denied,
            flows.n_allowed,
            flows.n_denied,
            flows.n_late_denied
        ));
        let mut rules: Vec<_> = flows.denied_by.iter().collect();
        rules.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (rule, times) in rules {
            say(&format!("    denied {times:6} by {rule}"));
        }
        if flows.n_missed > 0 {
            say(&format!("    {} flows came faster than they were read", flows.n_missed));
        }
        say(&format!("  legitimate calls     {n_calls}, {rate:.2} % answered"));
        for (call, (times, error)) in &calls.failed {
            say(&format!("    FAILED {times} x {call}: {error}"));
        }
        say(&format!(
            "  forbidden attempts   {}, {} blocked",
            attempted.n_blocked + attempted.passed.len() as u64,
            attempted.n_blocked
        ));
        for passed in &attempted.passed {
            say(&format!("    GOT THROUGH {passed}"));
        }
        for attempt in untold {
            say(&format!("    NOT TOLD as a denied flow: {attempt}"));
        }
        let good = calls.failed.is_empty()
            && calls.n_ok > 0
            && attempted.passed.is_empty()
            && attempted.n_blocked > 0
            && flows.n_allowed > 0
            && untold.is_empty();
        say(if good { "  all as it must be" } else { "  NOT as it must be" });
        good
    }
}
