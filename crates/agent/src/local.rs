//! Answers the CNI plugin on this node: takes interfaces over, and says when they are enforced.
//!
//! The socket lies in the agent's private folder and answers root alone. Every line, wait and number of
//! callers is bounded.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bulkhead_cni::local::{Answer, LINE_BYTES_MAX, Request, Slot, WAIT_MAX};
use bulkhead_enforce::node::given::{GivenInterface, NewInterface};
use bulkhead_enforce::{EnforceReport, NodeHandle};
use bulkhead_types::EndpointId;
use bulkhead_wire::Surroundings;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::given::Book;

/// Callers at a time; the next ones wait in line.
const CALLERS_MAX: usize = 256;
/// A caller says what it wants at once.
const LINE_WAIT: Duration = Duration::from_secs(5);

/// What the callers share.
pub struct Desk {
    node: String,
    handle: NodeHandle,
    book: Mutex<Book>,
    surroundings: watch::Sender<Surroundings>,
}

impl Desk {
    /// Gives back to the kernel side what earlier agents of this boot were told.
    pub async fn open(
        node: String,
        handle: NodeHandle,
        state_dir: &Path,
        surroundings: watch::Sender<Surroundings>,
    ) -> anyhow::Result<Self> {
        let book = Book::open(state_dir);
        handle.restore(book.interfaces().cloned().collect()).await?;
        surroundings.send_modify(|now| now.given = book.given());
        Ok(Self { node, handle, book: Mutex::new(book), surroundings })
    }

    pub async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Add { slot, endpoint, host_interfaces, addresses, wait_ms } => {
                let new = NewInterface { id: endpoint, names: host_interfaces, addresses };
                self.add(slot, new, Duration::from_millis(wait_ms).min(WAIT_MAX)).await
            }
            Request::Del { slot } => {
                let mut book = self.book.lock().await;
                let moved = book.remove(&slot);
                self.forget(&book, moved).await
            }
            Request::Gc { valid } => {
                let mut book = self.book.lock().await;
                let moved = book.retain(&valid);
                self.forget(&book, moved).await
            }
            Request::Check { slot } => self.check(&slot).await,
            Request::Status => match self.handle.report().borrow().revision.0 {
                0 => Answer::NotReady {
                    reason: format!("node `{}` has no program from its server yet", self.node),
                },
                _ => Answer::Done,
            },
        }
    }

    async fn add(&self, slot: Slot, new: NewInterface, wait: Duration) -> Answer {
        let given = match self.handle.attach(new).await {
            Ok(given) => given,
            Err(error) => return Answer::Refused { reason: error.to_string() },
        };
        {
            let mut book = self.book.lock().await;
            book.put(slot, given.clone());
            self.surroundings.send_modify(|now| now.given = book.given());
        }
        let mut report = self.handle.report();
        let judged = report.wait_for(|report| is_judged(report, &given));
        match tokio::time::timeout(wait, judged).await {
            Ok(Ok(_)) => Answer::Done,
            Ok(Err(_)) => Answer::NotReady { reason: "the agent is ending".to_owned() },
            Err(_) => Answer::Late { waited_for: self.missing(&given) },
        }
    }

    async fn forget(&self, book: &Book, moved: bool) -> Answer {
        if moved {
            self.surroundings.send_modify(|now| now.given = book.given());
            if let Err(error) = self.handle.restore(book.interfaces().cloned().collect()).await {
                return Answer::Refused { reason: error.to_string() };
            }
        }
        Answer::Done
    }

    async fn check(&self, slot: &Slot) -> Answer {
        let Slot { container, interface } = slot;
        let Some(given) = self.book.lock().await.get(slot).cloned() else {
            let reason = format!("`{interface}` of container `{container}` was never handed over");
            return Answer::Refused { reason };
        };
        if is_judged(&self.handle.report().borrow(), &given) {
            return Answer::Done;
        }
        let reason = format!("`{}` is closed for want of {}", given.name, self.missing(&given));
        Answer::Refused { reason }
    }

    /// What keeps the interface closed, as the object of a sentence.
    fn missing(&self, given: &GivenInterface) -> String {
        let report = self.handle.report();
        let report = report.borrow();
        let node = &self.node;
        if report.revision.0 == 0 {
            return format!("the first program of node `{node}` from its server");
        }
        let who = given.id.as_ref().map_or("its owner".to_owned(), |id| format!("`{id}`"));
        let is_known =
            |id: &EndpointId| report.attached.contains(id) || report.waiting.contains(id);
        if given.id.as_ref().is_some_and(|id| !is_known(id)) {
            return format!(
                "{who} in the program of node `{node}`: the server does not say that it runs here"
            );
        }
        let judged = report.judged.get(&given.ifindex);
        let left = given.addresses.iter().filter(|a| !judged.is_some_and(|j| j.contains(a)));
        let left: Vec<String> = left.map(IpAddr::to_string).collect();
        let left = left.join(" and ");
        format!("{who} with the address {left} in the program of node `{node}`")
    }
}

fn is_judged(report: &EnforceReport, given: &GivenInterface) -> bool {
    let judged: Option<&BTreeSet<IpAddr>> = report.judged.get(&given.ifindex);
    judged.is_some_and(|judged| given.addresses.is_subset(judged))
}

/// Listens where nobody but root may speak.
pub fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("`{}` is in the way", socket.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("cannot listen at `{}`", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until it is dropped.
pub async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let callers = Arc::new(Semaphore::new(CALLERS_MAX));
    loop {
        let Ok(caller) = Arc::clone(&callers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Err(error) = talk(stream, &desk).await {
                        tracing::warn!(%error, "a local caller was not served");
                    }
                    drop(caller);
                });
            }
            // Such as too many open files: others of them will close.
            Err(error) => {
                tracing::warn!(%error, "a local caller cannot be accepted");
                tokio::time::sleep(LINE_WAIT / 50).await;
            }
        }
    }
}

async fn talk(mut stream: UnixStream, desk: &Desk) -> anyhow::Result<()> {
    let uid = stream.peer_cred().context("nobody says who calls")?.uid();
    if uid != 0 {
        bail!("user {uid} is not root");
    }
    let (from, mut to) = stream.split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(LINE_BYTES_MAX));
    tokio::time::timeout(LINE_WAIT, from.read_line(&mut line))
        .await
        .context("no request came")??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => desk.answer(request).await,
        Err(error) => Answer::Refused { reason: format!("the request cannot be read: {error}") },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    to.write_all(&line).await.context("the answer is not taken")
}
