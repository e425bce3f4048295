//! The programs under test: found, started, watched, ended.
//!
//! A child dies with the lab even after kill -9 (`setpriv --pdeathsig`), and is noted in the claim for
//! the case that this too fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::claim::{Claim, ProcessId};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub server: PathBuf,
    pub agent: PathBuf,
    pub cli: PathBuf,
    /// What the agents enforce with: `BULKHEAD_BACKEND`, or what they choose.
    pub backend: String,
}

impl Programs {
    /// `BULKHEAD_BIN_DIR`, or the folder of this executable or its parent (test executables live in
    /// `target/debug/deps`), or where cargo puts programs while it runs tests.
    pub fn find() -> Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this executable is")?;
        let configured = std::env::var_os("BULKHEAD_BIN_DIR").map(PathBuf::from);
        let folders: Vec<PathBuf> = match configured {
            Some(folder) => vec![folder],
            None => {
                let near = own.ancestors().skip(1).take(2).map(Path::to_owned);
                near.chain(cargo_folder()).collect()
            }
        };
        let find = |name: &str| {
            let mut places = folders.iter().map(|folder| folder.join(name));
            places.find(|path| path.is_file()).with_context(|| {
                let folders = folders.iter().map(|f| format!("`{}`", f.display()));
                format!(
                    "cannot find the program `{name}` in {}: build it (`cargo build -p {}`) or set \
                     BULKHEAD_BIN_DIR",
                    folders.collect::<Vec<_>>().join(" or "),
                    if name == "bulkhead" { "bulkhead-cli" } else { name },
                )
            })
        };
        Ok(Self {
            server: find("bulkhead-server")?,
            agent: find("bulkhead-agent")?,
            cli: find("bulkhead")?,
            backend: std::env::var("BULKHEAD_BACKEND").unwrap_or_else(|_| "auto".to_owned()),
        })
    }
}

/// Test executables may be built elsewhere (`build.build-dir`); then the programs are here.
fn cargo_folder() -> Option<PathBuf> {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| package.join("../../target"));
    Some(target.join(if cfg!(debug_assertions) { "debug" } else { "release" }))
}

/// A running program; it is ended when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: ProcessId,
    ended: watch::Receiver<Option<ExitStatus>>,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes its output to `NAME.log` in the claim's data folder.
    pub fn start(claim: &Arc<Claim>, name: &str, program: &Path, args: &[String]) -> Result<Self> {
        Self::start_in(claim, name, program, args, &[])
    }

    /// With variables in its environment besides ours.
    pub fn start_in(
        claim: &Arc<Claim>,
        name: &str,
        program: &Path,
        args: &[String],
        environment: &[(String, String)],
    ) -> Result<Self> {
        let log = claim.data_folder().join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        command.envs(environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (started, answer) = channel();
        let (ending, ended) = watch::channel(None);
        // the signal is sent when the thread ends that started the child, so this one stays
        std::thread::Builder::new().name(format!("wait-{name}")).spawn(move || {
            match command.spawn() {
                Err(error) => drop(started.send(Err(error))),
                Ok(mut child) => {
                    let _ = started.send(Ok(child.id()));
                    // the lab may be gone: then nobody asks
                    let _ = ending.send(child.wait().ok().or(Some(ExitStatus::default())));
                }
            }
        })?;
        let pid = answer
            .recv()?
            .with_context(|| format!("cannot start `{}` (by setpriv)", program.display()))?;
        let id = ProcessId::of(pid as i32).with_context(|| {
            format!("`{name}` ended at once, see `{}`: {}", log.display(), tail(&log))
        })?;
        claim.add_child(id)?;
        Ok(Self { name: name.to_owned(), id, ended, log })
    }

    pub fn pid(&self) -> i32 {
        self.id.pid
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&self) -> Result<()> {
        match *self.ended.borrow() {
            None => Ok(()),
            Some(status) => bail!("`{}` has ended ({status}): {}", self.name, tail(&self.log)),
        }
    }

    /// Sends a signal and waits for the end.
    pub async fn stop(&mut self, signal: Signal) -> Result<()> {
        if self.ended.borrow().is_none() {
            kill(Pid::from_raw(self.id.pid), signal)
                .with_context(|| format!("cannot signal `{}`", self.name))?;
        }
        let name = &self.name;
        let ended = self.ended.wait_for(Option::is_some);
        match tokio::time::timeout(Duration::from_secs(10), ended).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("`{name}` goes on 10 s after {signal}: {}", tail(&self.log)),
        }
    }

    /// Resident memory in bytes, its own part included.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id.pid);
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("`{path}` has no VmRSS"))? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            self.id.end();
        }
    }
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ")
}
