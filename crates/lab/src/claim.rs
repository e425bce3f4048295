//! What a running lab owns, and the taking back of what a dead one left.
//!
//! A claim is a folder `/run/bulkhead-lab/ID` with the owner's pid and start time (a pid alone may have
//! been given to someone else since). Whatever the lab makes is found by ID: namespaces `bhl-ID-*`,
//! pins `/sys/fs/bpf/bhl-ID`, data in `$TMPDIR/bhl-ID`, and child processes listed in the folder.
//! Invariant: a claim whose owner lives is never touched by another lab.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns;
use crate::nonce::nonce;

const FOLDER: &str = "/run/bulkhead-lab";
const BPF_FOLDER: &str = "/sys/fs/bpf";

/// Held by one lab; everything it stands for is removed when it is dropped.
#[derive(Debug)]
pub struct Claim {
    id: String,
}

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: i32,
    started: u64,
}

impl ProcessId {
    /// `None` where no such process lives.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name in brackets may hold blanks: count from its end
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    fn parse(line: &str) -> Option<Self> {
        let (pid, started) = line.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    fn line(self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }

    /// Asks, then kills; waits until it is gone.
    pub fn end(self) {
        for (signal, patience) in [(Signal::SIGTERM, 3), (Signal::SIGKILL, 5)] {
            if !self.lives() {
                return;
            }
            // it may end between the look and the signal
            let _ = kill(Pid::from_raw(self.pid), signal);
            let until = Instant::now() + Duration::from_secs(patience);
            while self.lives() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Claim {
    /// Takes back what dead labs left, then claims a new id.
    pub fn take() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("the lab makes network namespaces and needs root: run it with sudo");
        }
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot create `{FOLDER}`"))?;
        let _lock = lock()?;
        sweep()?;
        let owner =
            ProcessId::of(std::process::id() as i32).context("cannot read /proc/self/stat")?;
        loop {
            let id = format!("{:05x}", nonce() & 0xf_ffff);
            let claim = Self { id };
            match fs::create_dir(claim.folder()) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    std::mem::forget(claim);
                }
                Err(error) => return Err(error).context(format!("cannot claim in `{FOLDER}`")),
                Ok(()) => {
                    fs::write(claim.folder().join("owner"), owner.line())?;
                    fs::DirBuilder::new()
                        .mode(0o700)
                        .recursive(true)
                        .create(claim.data_folder())?;
                    return Ok(claim);
                }
            }
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of one of its namespaces.
    pub fn netns(&self, name: &str) -> String {
        format!("bhl-{}-{name}", self.id)
    }

    pub fn pin_folder(&self) -> PathBuf {
        Path::new(BPF_FOLDER).join(format!("bhl-{}", self.id))
    }

    /// Private, on disk, gone with the claim.
    pub fn data_folder(&self) -> PathBuf {
        std::env::temp_dir().join(format!("bhl-{}", self.id))
    }

    /// Notes a child process, to be ended with the claim.
    pub fn add_child(&self, child: ProcessId) -> Result<()> {
        let path = self.folder().join("children");
        let mut file = File::options().create(true).append(true).open(path)?;
        Ok(file.write_all(child.line().as_bytes())?)
    }

    fn folder(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.id)
    }

    fn release(&self) -> Result<()> {
        let children = fs::read_to_string(self.folder().join("children")).unwrap_or_default();
        for child in children.lines().filter_map(ProcessId::parse) {
            child.end();
        }
        for name in netns::list(&self.netns("")) {
            netns::remove(&name)?;
        }
        remove_folder(&self.pin_folder())?;
        remove_folder(&self.data_folder())?;
        remove_folder(&self.folder())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!("the lab left something behind, the next start takes it: {error:#}");
        }
    }
}

fn lock() -> Result<Flock<File>> {
    let path = Path::new(FOLDER).join("lock");
    let file =
        File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock `{}`", path.display()))
}

/// Removes every claim whose owner is gone.
fn sweep() -> Result<()> {
    for entry in fs::read_dir(FOLDER)?.flatten().filter(|entry| entry.path().is_dir()) {
        let Ok(id) = entry.file_name().into_string() else { continue };
        let owner = fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
        // claims are made under the lock, so a folder without an owner is half a start
        if ProcessId::parse(&owner).is_some_and(ProcessId::lives) {
            continue;
        }
        tracing::info!("removing what the dead lab `{id}` left");
        drop(Claim { id });
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
