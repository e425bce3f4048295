//! The faults, each with what status must say about it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_api::enforcement::NodeEnforcement;
use clap::ValueEnum;

use super::world::{self, MANY};
use super::{Soak, hand};
use crate::lab::Lab;

/// What status must say is there after this long at the latest, on a machine that does other things.
const TOLD_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);
/// Packets that are under way when something is mended.
const STRAGGLERS: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// The agent is killed at a random moment of an update.
    KillAgent,
    /// The agent is replaced by one whose maps have another layout, some of them killed on the way.
    Upgrade,
    /// The server is gone for a while.
    ServerGone,
    /// The server comes back with an earlier state.
    ServerReturnsOld,
    /// A link is detached by hand.
    DetachLink,
    /// Pins are removed by hand.
    RemovePins,
    /// An element is deleted by hand.
    DeleteElement,
    /// An interface gets another name.
    Rename,
    /// An interface goes down and up.
    Flap,
    /// An interface is deleted in the middle of an update, and comes back.
    DeleteInterface,
    /// A rule set that does not fit.
    MapsFull,
    /// More flows than the table holds.
    FlowsFull,
    /// The wall clock jumps, and the agent is restarted under it.
    ClockJump,
    /// The disk of the agent is full.
    DiskFull,
}

impl Fault {
    pub const ALL: [Fault; 14] = [
        Self::KillAgent,
        Self::Upgrade,
        Self::ServerGone,
        Self::ServerReturnsOld,
        Self::DetachLink,
        Self::RemovePins,
        Self::DeleteElement,
        Self::Rename,
        Self::Flap,
        Self::DeleteInterface,
        Self::MapsFull,
        Self::FlowsFull,
        Self::ClockJump,
        Self::DiskFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::KillAgent => "kill_agent",
            Self::Upgrade => "upgrade",
            Self::ServerGone => "server_gone",
            Self::ServerReturnsOld => "server_returns_old",
            Self::DetachLink => "detach_link",
            Self::RemovePins => "remove_pins",
            Self::DeleteElement => "delete_element",
            Self::Rename => "rename",
            Self::Flap => "flap",
            Self::DeleteInterface => "delete_interface",
            Self::MapsFull => "maps_full",
            Self::FlowsFull => "flows_full",
            Self::ClockJump => "clock_jump",
            Self::DiskFull => "disk_full",
        }
    }
}

impl Soak {
    /// Returns how many forbidden packets had to pass because of it.
    pub(super) async fn inflict(&mut self, fault: Fault) -> Result<u64> {
        match fault {
            Fault::DetachLink => return self.detach_link().await,
            Fault::KillAgent => self.kill_agent().await,
            Fault::Upgrade => self.upgrade().await,
            Fault::ServerGone => self.server_gone().await,
            Fault::ServerReturnsOld => self.server_returns_old().await,
            Fault::RemovePins => self.remove_pins().await,
            Fault::DeleteElement => self.delete_element().await,
            Fault::Rename => self.rename().await,
            Fault::Flap => self.flap().await,
            Fault::DeleteInterface => self.delete_interface().await,
            Fault::MapsFull => self.maps_full().await,
            Fault::FlowsFull => self.flows_full().await,
            Fault::ClockJump => self.clock_jump().await,
            Fault::DiskFull => self.disk_full().await,
        }?;
        Ok(0)
    }

    /// The agent of the node with nearly everything on it.
    fn agent(&mut self) -> Result<&mut crate::control::Agent> {
        self.lab.agents().iter_mut().find(|agent| agent.node() == "n1").context("no agent")
    }

    async fn kill_agent(&mut self) -> Result<()> {
        let mut dice = self.dice;
        dice.roll(1);
        let (turned, ()) = tokio::join!(self.turn_policy(), dice.pause(60));
        turned?;
        self.dice.pause(30).await;
        self.agent()?.kill().await?;
        self.agent()?.restart()
    }

    async fn upgrade(&mut self) -> Result<()> {
        for _ in 0..=self.dice.roll(2) {
            self.turn_policy().await?;
            self.agent()?.kill().await?;
            self.layout += 1;
            let layout = self.layout.to_string();
            self.agent()?.set_flag("--map-layout", layout);
            self.agent()?.restart()?;
            // The next one finds it at any point of its way.
            self.dice.pause(400).await;
        }
        Ok(())
    }

    async fn server_gone(&mut self) -> Result<()> {
        let most_s = if self.length > Duration::from_secs(600) { 120 } else { 3 };
        let away = Duration::from_millis(500 + self.dice.roll(most_s * 1000));
        self.lab.server().kill().await?;
        let back = Instant::now() + away;
        if self.dice.roll(2) == 0 {
            self.agent()?.kill().await?;
            self.agent()?.restart()?;
        }
        self.watch.goes_on(&mut self.tally).await;
        tokio::time::sleep(back.saturating_duration_since(Instant::now())).await;
        self.lab.server().restart().await?;
        self.turn_policy().await
    }

    async fn server_returns_old(&mut self) -> Result<()> {
        let data = self.lab.server().data().to_owned();
        let copy = data.with_extension("earlier");
        self.lab.server().kill().await?;
        copy_folder(&data, &copy).await?;
        self.lab.server().restart().await?;
        let turn = self.turn;
        for _ in 0..3 {
            self.turn_policy().await?;
        }
        self.lab.wait_enforced().await?;
        self.lab.server().kill().await?;
        copy_folder(&copy, &data).await?;
        self.lab.server().restart().await?;
        self.turn = turn;
        self.lab.forget_written().await?;
        // Until the node has come back, what status says of it is from before.
        until(&self.lab, |node| node.connected).await?;
        Ok(())
    }

    async fn detach_link(&mut self) -> Result<u64> {
        let pins = self.agent()?.pins().to_owned();
        let (passed, told) = (self.watch.passed(), self.n_told().await?);
        hand::detach(&pins, &mut self.dice)?;
        self.is_told(Fault::DetachLink, told, "was detached").await;
        tokio::time::sleep(STRAGGLERS).await;
        Ok(self.watch.passed() - passed)
    }

    async fn remove_pins(&mut self) -> Result<()> {
        let pins = self.agent()?.pins().to_owned();
        let told = self.n_told().await?;
        hand::unpin(&pins, &mut self.dice)?;
        self.is_told(Fault::RemovePins, told, "lost its pin").await;
        Ok(())
    }

    async fn delete_element(&mut self) -> Result<()> {
        let pins = self.agent()?.pins().to_owned();
        let told = self.n_told().await?;
        if hand::delete(&pins, &mut self.dice)? {
            self.is_told(Fault::DeleteElement, told, "put back").await;
        }
        Ok(())
    }

    /// The number of the last drift that status tells.
    async fn n_told(&self) -> Result<u64> {
        let now = self.lab.enforcement().await?;
        let node = now.nodes.iter().find(|node| node.node == "n1");
        let numbers =
            node.into_iter().flat_map(|node| node.problems.iter().map(|said| number(said)));
        Ok(numbers.max().unwrap_or(0))
    }

    /// Waits until status says a sentence with `words` that it did not say before.
    async fn is_told(&mut self, fault: Fault, before: u64, words: &str) {
        let began = Instant::now();
        let is_told = |node: &NodeEnforcement| {
            let is_new = |said: &String| said.contains(words) && number(said) > before;
            node.node == "n1" && node.problems.iter().any(is_new)
        };
        let told = until(&self.lab, is_told).await.is_ok();
        self.tally.told(fault, began.elapsed());
        self.tally.status(fault, told, || format!("does not say `{words}`"));
    }

    async fn rename(&mut self) -> Result<()> {
        let usual = self.lab.net().interface("app/server").await?;
        for (from, to) in [(usual.as_str(), "uplink9"), ("uplink9", usual.as_str())] {
            let routes = self.lab.net().routes("app/server", to).await?;
            let lines = format!(
                "link set {from} down\nlink set {from} name {to}\nlink set {to} up\n{routes}"
            );
            self.lab.net().on_node_of("app/server", &lines).await?;
            self.turn_policy().await?;
            self.lab.wait_enforced().await?;
            self.watch.goes_on(&mut self.tally).await;
        }
        Ok(())
    }

    async fn flap(&mut self) -> Result<()> {
        let interface = self.lab.net().interface("app/server").await?;
        let routes = self.lab.net().routes("app/server", &interface).await?;
        for _ in 0..3 {
            let down = format!("link set {interface} down\n");
            self.lab.net().on_node_of("app/server", &down).await?;
            self.dice.pause(150).await;
            let up = format!("link set {interface} up\n{routes}");
            self.lab.net().on_node_of("app/server", &up).await?;
            self.turn_policy().await?;
        }
        Ok(())
    }

    async fn delete_interface(&mut self) -> Result<()> {
        let interface = self.lab.net().interface("app/spare").await?;
        let mut dice = self.dice;
        let lab = &self.lab;
        let cut = async {
            dice.pause(30).await;
            lab.net().on_node_of("app/spare", &format!("link del {interface}\n")).await
        };
        self.turn += 1;
        let policy = world::policy(self.turn)?;
        let (cut, turned) = tokio::join!(cut, lab.apply(std::slice::from_ref(&policy)));
        cut.and(turned)?;
        let told = until(lab, |node| node.waiting.iter().any(|name| name.ends_with("app/spare")));
        let told = told.await.is_ok();
        self.tally.status(Fault::DeleteInterface, told, || "does not say who waits".to_owned());
        self.lab.net().rewire("app/spare").await
    }

    async fn maps_full(&mut self) -> Result<()> {
        let large = world::too_large()?;
        self.lab.apply(&large).await?;
        let is_refused =
            |node: &NodeEnforcement| node.problems.iter().any(|said| said.contains("refused"));
        let told = patiently(&self.lab, Duration::from_secs(90), is_refused).await.is_ok();
        self.tally.status(Fault::MapsFull, told, || "does not say what is refused".to_owned());
        self.watch.goes_on(&mut self.tally).await;
        self.lab.delete(&large).await
    }

    /// Each datagram is a flow of its own at both ends.
    async fn flows_full(&mut self) -> Result<()> {
        let (netns, client) = self.lab.net().endpoint("app/client").await?;
        let (_, server) = self.lab.net().endpoint("app/server").await?;
        let from = SocketAddr::new(client.address(false).context("no address")?, 0);
        let to = server.address(false).context("no address")?;
        for _ in 0..3 {
            let socket = self
                .lab
                .net()
                .walker()
                .within(&netns, move || Ok(std::net::UdpSocket::bind(from)?))?;
            let flood = tokio::task::spawn_blocking(move || {
                for port in MANY.0..MANY.1 {
                    // An answer that nobody listens is an error of the next send.
                    let _ = socket.send_to(b"flow", SocketAddr::new(to, port));
                }
            });
            flood.await?;
            self.watch.goes_on(&mut self.tally).await;
        }
        self.turn_policy().await
    }

    async fn clock_jump(&mut self) -> Result<()> {
        const JUMPS: [&str; 6] = ["+3h", "-3h", "+400d", "-400d", "+1d", "-10m"];
        let jump = JUMPS.get(usize::try_from(self.dice.roll(6))?).unwrap_or(&"+3h");
        std::fs::write(&self.clock, jump)?;
        self.watch.goes_on(&mut self.tally).await;
        self.agent()?.kill().await?;
        self.agent()?.restart()?;
        self.watch.goes_on(&mut self.tally).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::write(&self.clock, "+0")?;
        self.turn_policy().await
    }

    /// The agent finds its state on a disk that is full, and is killed with it.
    async fn disk_full(&mut self) -> Result<()> {
        const SCRIPT: &str = "set -e; mount -t tmpfs -o size=256k tmpfs /mnt; cp -a \"$0/.\" /mnt/; \
            head -c 1m /dev/zero > /mnt/ballast 2>/dev/null || true; mount --move /mnt \"$0\"; exec \"$@\"";
        let state = self.agent()?.state().to_string_lossy().into_owned();
        let own_mounts = ["unshare", "-m", "--propagation", "private", "sh", "-c", SCRIPT, &state];
        self.agent()?.kill().await?;
        self.agent()?.restart_within(&own_mounts.map(str::to_owned))?;
        self.turn_policy().await?;
        self.lab.wait_enforced().await?;
        let says = |node: &NodeEnforcement| {
            node.problems.iter().any(|said| said.contains("cannot be saved"))
        };
        let told = until(&self.lab, says).await.is_ok();
        self.tally.status(Fault::DiskFull, told, || "does not say what is not saved".to_owned());
        self.watch.goes_on(&mut self.tally).await;
        self.agent()?.kill().await?;
        self.agent()?.restart()
    }
}

/// Of a sentence `drift NUMBER: ...`.
fn number(said: &str) -> u64 {
    let rest = said.strip_prefix("drift ").and_then(|rest| rest.split(':').next());
    rest.and_then(|number| number.parse().ok()).unwrap_or(0)
}

async fn until(lab: &Lab, is_so: impl Fn(&NodeEnforcement) -> bool) -> Result<()> {
    patiently(lab, TOLD_MAX, is_so).await
}

async fn patiently(
    lab: &Lab,
    patience: Duration,
    is_so: impl Fn(&NodeEnforcement) -> bool,
) -> Result<()> {
    let until = Instant::now() + patience;
    loop {
        let now = lab.enforcement().await?;
        if now.nodes.iter().any(&is_so) {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("not so after {patience:?}: {}", serde_json::to_string(&now)?);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let _ = tokio::fs::remove_dir_all(to).await;
    let status = tokio::process::Command::new("cp").arg("-a").arg(from).arg(to).status().await?;
    if !status.success() {
        bail!("cannot copy `{}`", from.display());
    }
    Ok(())
}
