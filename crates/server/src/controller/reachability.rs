//! Who can reach whom, kept beside the compiled model.
//!
//! Nothing is kept until somebody asks. From then on each compile is followed, so that an answer
//! costs what has changed and not the whole, until nobody has asked for a while.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bulkhead_api::reach::{
    AllowedTraffic, AlteredReach, ReachChange, ReachChanges, ReachConnection, ReachExtent,
    ReachReport, ReachWithin,
};
use bulkhead_policy::Engine;
use bulkhead_policy::reach::{Change, End, Extent, Place, Pods, Reach, Traffic};
use roaring::RoaringBitmap;
use tokio::sync::oneshot;

use super::owners::Owners;

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
}

#[derive(Debug, Default)]
pub struct Reachability {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    reach: Reach,
    asked: Instant,
    changes: VecDeque<ReachChange>,
    forgotten_up_to: u64,
}

impl Reachability {
    /// After each compile. `reached`: the resourceVersion that is compiled.
    pub fn follow(&mut self, engine: &mut Engine, owners: &Owners, reached: u64, now: Instant) {
        let Some(kept) = &mut self.kept else { return };
        if now.saturating_duration_since(kept.asked) > KEPT_FOR {
            self.kept = None;
            engine.unwatch();
            return;
        }
        let watched = engine.take_watched();
        let change = kept.reach.follow(engine, &watched);
        kept.remember(&change, owners, reached);
    }

    pub fn answer(
        &mut self,
        question: ReachQuestion,
        engine: &mut Engine,
        owners: &Owners,
        reached: u64,
        now: Instant,
    ) {
        let kept = self.kept.get_or_insert_with(|| {
            engine.watch();
            let reach = Reach::of(engine);
            Kept { reach, asked: now, changes: VecDeque::new(), forgotten_up_to: reached }
        });
        kept.asked = now;
        // Whoever asked may be gone.
        match question {
            ReachQuestion::Connections(workloads, to) => {
                drop(to.send(kept.connections(&workloads, owners, reached)));
            }
            ReachQuestion::Changes(since, to) => drop(to.send(kept.changes_since(since))),
        }
    }
}

impl Kept {
    fn connections(
        &mut self,
        workloads: &BTreeSet<String>,
        owners: &Owners,
        reached: u64,
    ) -> Result<ReachReport, ReachRefused> {
        let n_endpoints = self.reach.endpoints().count();
        if workloads.is_empty() && n_endpoints > ENDPOINTS_MAX {
            return Err(ReachRefused::TooMany(n_endpoints));
        }
        let known: BTreeSet<String> = match workloads.is_empty() {
            true => BTreeSet::new(),
            false => self.reach.endpoints().map(|endpoint| owners.name_of(endpoint)).collect(),
        };
        if let Some(unknown) = workloads.iter().find(|name| !known.contains(*name)) {
            return Err(ReachRefused::Unknown(unknown.clone()));
        }
        let focus = (!workloads.is_empty()).then_some(workloads);
        let matrix = self.reach.matrix(|endpoint| owners.name_of(endpoint), focus);
        let connections = matrix.connections.iter().map(|connection| ReachConnection {
            src: end(&connection.src),
            dst: end(&connection.dst),
            allowed: allowed(&connection.allowed),
            extent: extent(&connection.extent),
        });
        let within = matrix.within.iter().map(|within| ReachWithin {
            workload: within.workload.to_string(),
            allowed: allowed(&within.allowed),
            extent: extent(&within.extent),
        });
        Ok(ReachReport {
            resource_version: reached,
            connections: connections.collect(),
            within: within.collect(),
        })
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
            before: allowed(&self.reach.pool().get(altered.before)),
            after: allowed(&self.reach.pool().get(altered.after)),
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

fn end(end: &End) -> String {
    match end {
        End::Workload(name) => name.to_string(),
        End::Outside(range) => range.to_string(),
        End::Name(name) | End::Entry(name) => name.to_string(),
    }
}

fn allowed(traffic: &Traffic) -> Vec<AllowedTraffic> {
    let words = traffic.in_words().into_iter();
    words
        .map(|words| AllowedTraffic {
            protocol: words.protocol,
            ports: words.ports,
            source_ports: words.source_ports,
            types: words.types,
            numbers: words.numbers,
        })
        .collect()
}

fn extent(extent: &Extent) -> ReachExtent {
    ReachExtent {
        pods: (extent.pods == Pods::Some).then(|| "some".to_owned()),
        ip_version: extent.is_v4.map(|is_v4| if is_v4 { 4 } else { 6 }),
    }
}
