//! Objects that another API server keeps: those of a Kubernetes cluster.
//!
//! ```text
//!  API server ──list, watch──▶ reflect (one task a kind) ──▶ assemble ──▶ Mirror ──▶ controller
//!       ▲                                                       │
//!       └──── patch …/status ◀──── status writer                └──▶ GET …/upstream
//! ```
//!
//! Invariants:
//! * The API server has the only truth. Nothing of it is kept on disk or goes into our own database;
//!   the mirror is what was heard, and every start hears it anew.
//! * Unknown is not absent: nothing is compiled before every kind is known, by a whole list or by the
//!   word that the server has no such kind. What cannot be heard any more stays as it was last.
//! * After a cut all kinds are taken over together, so that no program is made of old policies and
//!   new pods.

pub mod account;
pub mod assemble;
mod backoff;
pub mod connect;
mod lean;
mod link;
mod reflect;
pub mod report;
pub mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulkhead_apimachinery::kinds;
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_store::{Limits, Mirror, ResourceVersion};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::assemble::{Assembler, Word};
use self::connect::{ConnectError, Source};
use self::link::Link;
use self::reflect::{ABSENT_LOOK_EVERY, Reflector};
use self::report::UpstreamReport;
use crate::shutdown::Shutdown;

/// Words of all kinds that wait to be taken in; a reflector then waits, and its watch with it.
const WORDS_QUEUED_MAX: usize = 4_096;

/// Cheap to clone.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

struct Shared {
    client: Client,
    server: String,
    mirror: Arc<Mirror>,
    /// How often a kind that the server does not have is looked for.
    look_every: Duration,
    report: Mutex<UpstreamReport>,
    /// How often everything was taken over; 0 until every kind is known.
    epoch: watch::Sender<u64>,
}

impl Upstream {
    /// Reads how the API server is to be reached; whether it is there shows later.
    pub async fn open(source: &Source, limits: Limits) -> Result<Self, ConnectError> {
        let (client, server) = connect::client(source).await?;
        Ok(Self::over(client, server, limits))
    }

    pub fn over(client: Client, server: String, limits: Limits) -> Self {
        let report = UpstreamReport::new(&server);
        Self(Arc::new(Shared {
            client,
            server,
            mirror: Arc::new(Mirror::new(first_revision(), limits)),
            look_every: ABSENT_LOOK_EVERY,
            report: Mutex::new(report),
            epoch: watch::channel(0).0,
        }))
    }

    /// What was heard; empty until every kind is known.
    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.0.mirror
    }

    /// Rises with every taking over of everything.
    pub fn epoch(&self) -> u64 {
        *self.0.epoch.borrow()
    }

    /// Waits until every kind is known.
    pub async fn known(&self) {
        // An error means that nobody will ever know: then waiting is right, too.
        if self.0.epoch.subscribe().wait_for(|epoch| *epoch > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub fn report(&self) -> UpstreamReport {
        self.lock().clone()
    }

    /// The answer to whoever looks for an object here.
    pub fn elsewhere(&self) -> Status {
        let message = format!(
            "this server keeps no objects: they are those of the API server at {}; ask there (here \
             are the reports under /apis/bulkhead.dev/v1 and the join tokens of nodes)",
            self.0.server
        );
        Status::new(Reason::MethodNotAllowed, message)
    }

    /// Follows the API server until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let (words, heard) = mpsc::channel(WORDS_QUEUED_MAX);
        let link = Link::default();
        let mut reflectors = JoinSet::new();
        for resource in kinds::all() {
            let (client, words, link) = (self.0.client.clone(), words.clone(), link.clone());
            let reflector = Reflector::new(client, resource, words, link, self.0.look_every);
            reflectors.spawn(reflector.run());
        }
        tracing::info!(server = %self.0.server, kinds = kinds::all().len(), "listening");
        tokio::select! {
            () = self.assemble(heard, &link) => {}
            () = shutdown.wait() => {}
        }
        // Dropping the set ends the reflectors.
        Ok(())
    }

    async fn assemble(&self, mut heard: mpsc::Receiver<Word>, link: &Link) {
        let mut assembler = Assembler::new(kinds::all().iter().map(|resource| resource.id));
        let mut words = Vec::new();
        loop {
            let hold = assembler.hold_ends().map(tokio::time::Instant::from_std);
            let hold_ends = async {
                match hold {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                n = heard.recv_many(&mut words, WORDS_QUEUED_MAX) => if n == 0 { return },
                () = hold_ends => {}
            }
            // After the words, so that none is of a generation that is not known here.
            assembler.aim(link.generation());
            for word in words.drain(..) {
                self.lock().note(&word);
                assembler.hear(word);
            }
            let now = Instant::now();
            if let Some(taken) = assembler.take(now, self.0.mirror.as_ref()) {
                let revision = self.0.mirror.replay(taken.changes);
                if taken.is_everything {
                    self.lock().synced();
                    self.0.epoch.send_modify(|epoch| *epoch += 1);
                    tracing::info!(%revision, "everything that the API server has is known");
                }
                for kind in taken.left_out {
                    tracing::warn!(?kind, "is not heard: its objects stay as they were last");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, UpstreamReport> {
        self.0.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Revisions are not kept anywhere; by the clock they go on from those of an earlier start.
fn first_revision() -> ResourceVersion {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ResourceVersion(u64::try_from(since.as_millis()).unwrap_or_default().max(1))
}

#[cfg(test)]
mod tests;
