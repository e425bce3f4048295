//! The session with the server: programs down, answers up; again and again, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_enforce::EnforceReport;
use bulkhead_types::Revision;
use bulkhead_wire::limits::WAITING_NAMED_MAX;
use bulkhead_wire::{
    Ack, FromNode, Hello, Nack, NodeProgram, NodeStatus, Surroundings, ToNode, VERSION,
};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};

use crate::flows::{FlowQueue, Shipper};
use crate::keeper::{Program, Realized};
use crate::rpc::{self, Programs, RpcError};
use crate::saved::Unsaved;

/// Also tells the server that the node lives.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Reports that move faster are told once.
const STATUS_DEBOUNCE: Duration = Duration::from_millis(100);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A server that takes no word for so long is given up.
const WORD_MAX: Duration = Duration::from_secs(5);
const WORDS_QUEUED_MAX: usize = 64;

/// What a session works with; outlives every single one.
pub struct Session {
    pub node: String,
    pub server: String,
    pub tls: Arc<ClientConfig>,
    pub held: Held,
    pub desired: watch::Sender<Program>,
    pub realized: watch::Receiver<Realized>,
    pub report: watch::Receiver<EnforceReport>,
    pub surroundings: watch::Receiver<Surroundings>,
    pub unsaved: watch::Receiver<Unsaved>,
    pub flows: Arc<FlowQueue>,
    pub shipper: Shipper,
}

/// The program that deltas apply to, whether the kernel has taken it or not.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub program: Arc<NodeProgram>,
    /// Which life of the server it is from; 0 when it is from disk.
    pub life: u64,
}

/// What a word from the server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing to enforce.
    Nothing,
    /// The held program is a new one.
    Program,
    /// It was not taken, and the server should hear this.
    Answer(FromNode),
}

impl Held {
    /// Never goes back, and never guesses: what does not follow on from the held program is answered.
    pub fn take(&mut self, word: ToNode) -> Taken {
        let held = self.program.revision;
        match word {
            ToNode::Welcome(welcome) => {
                self.life = welcome.life;
                Taken::Nothing
            }
            ToNode::Program(program) if program.revision < held => refusal(
                program.revision,
                format!("program {} is older than {held}, which this node holds", program.revision),
            ),
            ToNode::Program(program) => {
                self.program = program;
                Taken::Program
            }
            ToNode::Delta(delta) if delta.revision <= delta.base => refusal(
                delta.revision,
                format!("delta {} is not newer than its base {}", delta.revision, delta.base),
            ),
            ToNode::Delta(delta) => match delta.apply(Arc::make_mut(&mut self.program)) {
                Ok(()) => Taken::Program,
                Err(error) => Taken::Answer(FromNode::WantSnapshot { reason: error.to_string() }),
            },
        }
    }
}

fn refusal(revision: Revision, reason: String) -> Taken {
    Taken::Answer(FromNode::Nack(Nack { revision, reason }))
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the server ended the session")]
    ByServer,
    #[error("the server takes no words")]
    Stuck,
    #[error("the agent is ending")]
    ByAgent,
}

impl Session {
    /// Runs until the process ends; the future may be dropped at any point.
    pub async fn run(&mut self) {
        let mut backoff = BACKOFF_FIRST;
        let mut n_failed = 0u32;
        loop {
            let mut heard = false;
            let ended = self.once(&mut heard).await;
            let error = match ended {
                Ok(never) => match never {},
                Err(Ended::ByAgent) => return,
                Err(error) => error,
            };
            if heard {
                (backoff, n_failed) = (BACKOFF_FIRST, 0);
            }
            n_failed += 1;
            // The first failure is news; after that one line for each doubling is enough.
            if n_failed.is_power_of_two() {
                tracing::warn!(%error, n_failed, "no session: enforcement goes on, trying again");
            }
            tokio::time::sleep(jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One session from connect to failure.
    async fn once(&mut self, heard: &mut bool) -> Result<std::convert::Infallible, Ended> {
        let server = rpc::connect(&self.server, Arc::clone(&self.tls)).await?;
        let (words, outgoing) = mpsc::channel(WORDS_QUEUED_MAX);
        let said = self.realized.borrow_and_update().clone();
        say(&words, FromNode::Hello(self.hello(&said))).await?;
        let mut programs = server.session(outgoing).await?;
        let welcome = programs.next().await?.ok_or(Ended::ByServer)?;
        *heard = true;
        tracing::info!(server = %self.server, holds = %self.held.program.revision, "in session");

        let Self { held, desired, realized, report, surroundings, unsaved, flows, shipper, .. } =
            self;
        let talk = Talk { held, desired, realized, report, surroundings, unsaved, flows, words };
        tokio::select! {
            ended = talk.run(welcome, &mut programs, said) => ended,
            error = shipper.ship(&server, flows) => Err(error.into()),
        }
    }

    fn hello(&self, said: &Realized) -> Hello {
        Hello {
            version: VERSION,
            node: self.node.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            holds: self.held.program.revision,
            digest: self.held.program.digest(),
            enforces: said.enforced.max(self.report.borrow().revision),
            life: self.held.life,
        }
    }
}

/// One session's conversation.
struct Talk<'a> {
    held: &'a mut Held,
    desired: &'a watch::Sender<Program>,
    realized: &'a mut watch::Receiver<Realized>,
    report: &'a mut watch::Receiver<EnforceReport>,
    surroundings: &'a mut watch::Receiver<Surroundings>,
    unsaved: &'a watch::Receiver<Unsaved>,
    flows: &'a FlowQueue,
    words: mpsc::Sender<FromNode>,
}

impl Talk<'_> {
    async fn run(
        mut self,
        welcome: ToNode,
        programs: &mut Programs,
        mut said: Realized,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut status_due = tokio::time::interval(STATUS_EVERY);
        status_due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.hear(welcome).await?;
        self.tell_surroundings().await?;
        // A program that was refused before this session is still refused: the server must know.
        if let Some((revision, reason)) = said.refused.clone() {
            self.say(FromNode::Nack(Nack { revision, reason })).await?;
        }
        loop {
            tokio::select! {
                word = programs.next() => self.hear(word?.ok_or(Ended::ByServer)?).await?,
                changed = self.realized.changed() => {
                    changed.map_err(|_| Ended::ByAgent)?;
                    let now = self.realized.borrow_and_update().clone();
                    self.answer(&said, &now).await?;
                    said = now;
                }
                changed = self.report.changed() => {
                    changed.map_err(|_| Ended::ByAgent)?;
                    self.report.mark_unchanged();
                    status_due.reset_after(STATUS_DEBOUNCE);
                }
                changed = self.surroundings.changed() => {
                    changed.map_err(|_| Ended::ByAgent)?;
                    self.tell_surroundings().await?;
                }
                _ = status_due.tick() => {
                    let status = self.status();
                    self.say(FromNode::Status(status)).await?;
                }
            }
        }
    }

    async fn hear(&mut self, word: ToNode) -> Result<(), Ended> {
        match self.held.take(word) {
            Taken::Nothing => Ok(()),
            Taken::Program => {
                self.desired.send_replace(Some(Arc::clone(&self.held.program)));
                Ok(())
            }
            Taken::Answer(answer) => {
                tracing::warn!(?answer, "the server's word cannot be followed");
                self.say(answer).await
            }
        }
    }

    async fn answer(&self, said: &Realized, now: &Realized) -> Result<(), Ended> {
        if now.enforced != said.enforced || now.at_ns != said.at_ns {
            self.say(FromNode::Ack(Ack { revision: now.enforced, at_ns: now.at_ns })).await?;
        }
        match &now.refused {
            Some((revision, reason)) if now.refused != said.refused => {
                let nack = Nack { revision: *revision, reason: reason.clone() };
                self.say(FromNode::Nack(nack)).await
            }
            _ => Ok(()),
        }
    }

    async fn tell_surroundings(&mut self) -> Result<(), Ended> {
        let found = self.surroundings.borrow_and_update().clone();
        self.say(FromNode::Surroundings(found)).await
    }

    async fn say(&self, word: FromNode) -> Result<(), Ended> {
        say(&self.words, word).await
    }

    fn status(&self) -> NodeStatus {
        let realized = self.realized.borrow();
        let report = self.report.borrow();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut drift: Vec<String> = report
            .closed_interfaces
            .iter()
            .map(|name| format!("interface `{name}` passes nothing: no endpoint is matched to it"))
            .collect();
        drift.extend(report.drift.iter().chain(&report.doubts).cloned());
        drift.extend(self.unsaved.borrow().clone());
        drift.extend(report.warnings.iter().cloned());
        if let Some((revision, reason)) = &realized.refused {
            drift.push(format!("program {revision} is refused: {reason}"));
        }
        NodeStatus {
            enforced: realized.enforced,
            enforced_at_ns: realized.at_ns,
            n_attached: count(report.attached.len()),
            n_waiting: count(report.waiting.len()),
            waiting: report.waiting.iter().take(WAITING_NAMED_MAX).cloned().collect(),
            flows_lost: self.flows.n_lost().saturating_add(report.lost_records),
            log_events_suppressed: self.flows.n_log_events_suppressed(),
            drift,
        }
    }
}

async fn say(words: &mpsc::Sender<FromNode>, word: FromNode) -> Result<(), Ended> {
    match tokio::time::timeout(WORD_MAX, words.send(word)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::ByServer),
        Err(_) => Err(Ended::Stuck),
    }
}

/// Between half and all of it, so that a thousand nodes do not come back at once.
fn jittered(backoff: Duration) -> Duration {
    let share = f64::from(u32::try_from(crate::run::random() >> 32).unwrap_or(u32::MAX));
    backoff.mul_f64(0.5 + 0.5 * share / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
