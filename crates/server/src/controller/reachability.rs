//! Who can reach whom, kept beside the compiled model.
//!
//! Nothing is kept until somebody asks. From then on each compile is followed, so that an answer
//! costs what has changed and not the whole, until nobody has asked for a while.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bulkhead_api::reach::{AlteredReach, ReachChange, ReachChanges, ReachReport};
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::reach::{Beyond, Change, Open, Place, Reach, allowed, asks_for_requests};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event};
use roaring::RoaringBitmap;
use tokio::sync::oneshot;

use super::held::Held;
use super::owners::Owners;
use super::twin::Twin;

/// Nobody has asked for so long: the answers are dropped.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Changes that are remembered.
const CHANGES_MAX: usize = 256;
/// Blocks of pairs that one change tells.
const ALTERED_MAX: usize = 1_000;
/// Names that one side of a block tells.
const NAMES_MAX: usize = 100;
/// With more endpoints the whole is not told, only single workloads.
pub const ENDPOINTS_MAX: usize = 5_000;

/// What is asked about the whole model.
#[derive(Debug)]
pub enum ReachQuestion {
    /// The connections of these workloads; of all where none is named.
    Connections(BTreeSet<String>, oneshot::Sender<Result<ReachReport, ReachRefused>>),
    /// What was altered after this resourceVersion.
    Changes(u64, oneshot::Sender<ReachChanges>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachRefused {
    #[error("there is no workload `{0}`; names are as `namespace/name[Kind]`")]
    Unknown(String),
    #[error(
        "{0} endpoints are too many to tell all connections of (the limit is {ENDPOINTS_MAX}): \
         name workloads with `?workload=namespace/name[Kind]`"
    )]
    TooMany(usize),
    #[error("the server has fallen behind its own store: ask again")]
    Behind,
}

#[derive(Debug, Default)]
pub struct Reachability {
    kept: Option<Kept>,
    /// The model without requests, while some policy asks for any and somebody for answers.
    twin: Twin,
    /// Questions that wait for it.
    waiting: Vec<Asked>,
    /// Policies of which some rule asks for requests.
    asking: BTreeSet<ObjectKey>,
    /// As of when the model is compiled.
    moment: Moment,
}

#[derive(Debug)]
struct Kept {
    reach: Reach,
    asked: Instant,
    changes: VecDeque<ReachChange>,
    forgotten_up_to: u64,
}

/// Workloads, and who wants to know of their connections.
type Asked = (BTreeSet<String>, oneshot::Sender<Result<ReachReport, ReachRefused>>);

impl Reachability {
    pub fn upsert(&mut self, object: &Object) {
        if asks_for_requests(object) {
            self.asking.insert(object.key());
        } else if !self.asking.is_empty() {
            self.asking.remove(&object.key());
        }
        self.twin.apply(|| Event::Upsert(object.clone()));
    }

    pub fn delete(&mut self, key: &ObjectKey) {
        self.asking.remove(key);
        self.twin.apply(|| Event::Delete(key.clone()));
    }

    /// With each compile, as of the moment that it is for.
    pub fn compile(&mut self, now: Moment) {
        self.moment = now;
        if self.asking.is_empty() && self.waiting.is_empty() {
            self.twin = Twin::Unknown;
        }
        self.twin.compile(now);
    }

    /// After each compile. `reached`: the resourceVersion that is compiled.
    pub fn follow(&mut self, engine: &mut Engine, owners: &Owners, reached: u64, now: Instant) {
        let Some(kept) = &mut self.kept else { return };
        if now.saturating_duration_since(kept.asked) > KEPT_FOR && self.waiting.is_empty() {
            self.kept = None;
            self.twin = Twin::Unknown;
            engine.unwatch();
            return;
        }
        let watched = engine.take_watched();
        let change = kept.reach.follow(engine, &watched);
        kept.remember(&change, owners, reached);
    }

    /// `held` is what the model is compiled of.
    pub fn answer(
        &mut self,
        question: ReachQuestion,
        engine: &mut Engine,
        owners: &Owners,
        held: &Held,
        now: Instant,
    ) {
        let reached = held.revision();
        let kept = self.kept.get_or_insert_with(|| {
            engine.watch();
            let reach = Reach::of(engine);
            Kept { reach, asked: now, changes: VecDeque::new(), forgotten_up_to: reached }
        });
        kept.asked = now;
        // Whoever asked may be gone.
        match question {
            ReachQuestion::Changes(since, to) => drop(to.send(kept.changes_since(since))),
            ReachQuestion::Connections(workloads, to) => {
                if let Err(refused) = kept.admits(&workloads, owners) {
                    drop(to.send(Err(refused)));
                } else if self.asking.is_empty() || self.twin.ready().is_some() {
                    let open = self.twin.ready();
                    drop(to.send(kept.connections(&workloads, open, engine, owners, held)));
                } else {
                    self.waiting.push((workloads, to));
                    if matches!(self.twin, Twin::Unknown) {
                        self.twin = Twin::make(held.clone(), self.moment);
                    }
                }
            }
        }
    }

    /// Waits for what questions wait for; for ever where there is none.
    pub async fn made(&mut self) -> Option<Open> {
        self.twin.made().await
    }

    /// Takes in what was made, and answers who waited for it.
    pub fn take(&mut self, made: Option<Open>, engine: &Engine, owners: &Owners, held: &Held) {
        self.twin.take(made, self.moment);
        for (workloads, to) in std::mem::take(&mut self.waiting) {
            let is_known = self.asking.is_empty() || self.twin.ready().is_some();
            let answer = match &mut self.kept {
                Some(kept) if is_known => kept.admits(&workloads, owners).and_then(|()| {
                    kept.connections(&workloads, self.twin.ready(), engine, owners, held)
                }),
                _ => Err(ReachRefused::Behind),
            };
            drop(to.send(answer));
        }
    }
}

impl Kept {
    /// Whether the question can be answered.
    fn admits(&self, workloads: &BTreeSet<String>, owners: &Owners) -> Result<(), ReachRefused> {
        let n_endpoints = self.reach.endpoints().count();
        if workloads.is_empty() && n_endpoints > ENDPOINTS_MAX {
            return Err(ReachRefused::TooMany(n_endpoints));
        }
        let known: BTreeSet<String> = match workloads.is_empty() {
            true => BTreeSet::new(),
            false => self.reach.endpoints().map(|endpoint| owners.name_of(endpoint)).collect(),
        };
        match workloads.iter().find(|name| !known.contains(*name)) {
            Some(unknown) => Err(ReachRefused::Unknown(unknown.clone())),
            None => Ok(()),
        }
    }

    fn connections(
        &mut self,
        workloads: &BTreeSet<String>,
        open: Option<&mut Open>,
        engine: &Engine,
        owners: &Owners,
        held: &Held,
    ) -> Result<ReachReport, ReachRefused> {
        let focus = (!workloads.is_empty()).then_some(workloads);
        let entries = held.entries().ok_or(ReachRefused::Behind)?;
        let beyond = Beyond { open, entries: &entries };
        let matrix = self.reach.whole(engine, &|id| owners.name_of(id), focus, beyond);
        Ok(ReachReport { resource_version: Some(held.revision()), ..matrix.report() })
    }

    fn changes_since(&self, since: u64) -> ReachChanges {
        let changes = self.changes.iter().filter(|change| change.resource_version > since);
        ReachChanges { forgotten_up_to: self.forgotten_up_to, changes: changes.cloned().collect() }
    }

    fn remember(&mut self, change: &Change, owners: &Owners, reached: u64) {
        if change.altered.is_empty() && !change.is_everything {
            return;
        }
        let told = change.altered.iter().take(ALTERED_MAX).map(|altered| AlteredReach {
            src: self.names(&altered.src, change, owners),
            dst: self.names(&altered.dst, change, owners),
            before: allowed(&self.reach.pool().get(altered.before), None),
            after: allowed(&self.reach.pool().get(altered.after), None),
        });
        let told = ReachChange {
            resource_version: reached,
            altered: told.collect(),
            is_everything: change.is_everything || change.altered.len() > ALTERED_MAX,
        };
        self.changes.push_back(told);
        if self.changes.len() > CHANGES_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.forgotten_up_to = oldest.resource_version;
        }
    }

    fn names(&self, slots: &RoaringBitmap, change: &Change, owners: &Owners) -> Vec<String> {
        let place =
            |id: u32| change.gone.get(&id).or_else(|| self.reach.slot(id).map(|slot| &slot.place));
        let name = |place: &Place| match place {
            Place::Endpoint(endpoint, _) => owners.name_of(endpoint),
            Place::Outside(prefix) => prefix.to_string(),
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        for id in slots {
            if names.len() == NAMES_MAX {
                let n_left = slots.len().saturating_sub(NAMES_MAX as u64);
                return names.into_iter().chain([format!("and up to {n_left} more")]).collect();
            }
            names.extend(place(id).map(name));
        }
        names.into_iter().collect()
    }
}
