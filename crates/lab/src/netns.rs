//! Network namespaces by name, and one thread that steps into them.
//!
//! A socket stays in the namespace it was opened in, whoever uses it later. So one thread walks from
//! namespace to namespace opening sockets, and the async world does the rest.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};

/// Where iproute2 keeps them.
const FOLDER: &str = "/run/netns";

/// An open network namespace.
#[derive(Clone, Debug)]
pub struct NetNs {
    pub name: String,
    file: Arc<File>,
}

impl NetNs {
    pub fn open(name: &str) -> Result<Self> {
        let path = path_of(name);
        let file =
            File::open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Self { name: name.to_owned(), file: Arc::new(file) })
    }

    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }
}

pub fn path_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Names in use that start with `prefix`.
pub fn list(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// Takes the name away; the namespace goes when its last process and socket are gone.
pub fn remove(name: &str) -> Result<()> {
    let path = path_of(name);
    // not mounted: a leftover of a start that was cut short
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

type Job = (Arc<File>, Box<dyn FnOnce(Result<(), nix::Error>) + Send>);

/// The thread that steps into namespaces.
#[derive(Clone, Debug)]
pub struct Walker {
    jobs: Sender<Job>,
}

impl Walker {
    pub fn start() -> Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        std::thread::Builder::new().name("netns-walker".to_owned()).spawn(move || {
            for (file, job) in inbox {
                job(setns(file.as_fd(), CloneFlags::CLONE_NEWNET));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Runs `work` inside `netns`. For short work that does not wait: it blocks the caller.
    pub fn within<T, F>(&self, netns: &NetNs, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let (answer, answered) = channel();
        let job = Box::new(move |entered: Result<(), nix::Error>| {
            // the caller may be gone
            let _ = answer.send(entered.map_err(anyhow::Error::from).and_then(|()| work()));
        });
        let gone = || anyhow!("the thread that enters namespaces has ended");
        self.jobs.send((Arc::clone(&netns.file), job)).map_err(|_| gone())?;
        answered
            .recv()
            .map_err(|_| gone())?
            .with_context(|| format!("in namespace `{}`", netns.name))
    }
}
