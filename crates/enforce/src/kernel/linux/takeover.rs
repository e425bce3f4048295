//! Taking over from an earlier process whose maps are of another layout, or not all there any more.
//!
//! The earlier programs go on judging by the earlier maps, which they hold, until ours say the whole
//! of a program. Then the flows are carried over, our programs take the earlier ones' places in the
//! links, and the earlier maps go. Cut short at any point, the next start begins it again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use aya::maps::MapInfo;
use bulkhead_enforce_abi::{
    CONFIG_REVISION, EarlierFlow, FLOWS_SINCE, Flow, Flow4Key, FlowKey, LAYOUT, LEAF_ALLOW,
    LEAF_NO_SAY, RULE_FIXED, RULE_MASK, SlotKey,
};

use super::{Linux, kernel, pins};
use crate::events::{boot_now_ns, tick_now_ns};
use crate::kernel::linux::family::ByFamily;
use crate::kernel::linux::map::Map;
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

/// Folders of maps that are not ours.
#[derive(Debug, Default)]
pub struct Earlier {
    pub folders: Vec<PathBuf>,
    /// The newest revision that they say.
    pub revision: u64,
}

impl Earlier {
    pub fn find(pin_dir: &Path, own: &Path) -> Self {
        let entries = fs::read_dir(pin_dir).into_iter().flatten().flatten();
        let is_maps = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("maps-"))
        };
        let paths = entries.map(|entry| entry.path()).filter(is_maps);
        let folders: Vec<PathBuf> = paths.filter(|path| path != own).collect();
        let revisions = folders.iter().filter_map(|folder| revision_of(folder));
        let revision = revisions.max().unwrap_or(0);
        Self { folders, revision }
    }
}

fn revision_of(folder: &Path) -> Option<u64> {
    Map::<u32, u64>::open(folder, "config").ok()?.get(&CONFIG_REVISION).ok()?
}

/// `maps-LAYOUT` or `maps-LAYOUT-left-NUMBER`.
fn layout_of(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?;
    name.strip_prefix("maps-")?.split('-').next()?.parse().ok()
}

/// The names of what is pinned in a folder.
pub fn pinned(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Maps that lost some of their companions are of no use but for their flows: puts them aside.
pub fn put_aside(folder: &Path) -> Result<(), EnforceError> {
    let failed = |error| kernel("put maps aside whose companions are gone", &error);
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = |number: u32| folder.with_file_name(format!("{name}-left-{number}"));
    let free = (0..).map(beside).find(|path| !path.exists());
    fs::rename(folder, free.unwrap_or_else(|| beside(0))).map_err(failed)?;
    pins::make_folder(folder)
}

impl Linux {
    /// Whether earlier programs still judge, by maps that are not ours.
    pub fn is_staged(&self) -> bool {
        !self.earlier.folders.is_empty()
    }

    /// What the earlier programs judge by, where they still do.
    pub fn earlier_revision(&self) -> u64 {
        self.earlier.revision
    }

    /// Our maps say the whole of a program now, as in `tables`: our programs judge from here on.
    pub fn take_over(&mut self, tables: &Tables) -> Result<(), EnforceError> {
        let mut n_carried = self.carry_flows(tables)?;
        // Before our programs leave new flows to them.
        self.attach_hooks()?;
        self.replace_all()?;
        // Flows that began under the earlier programs meanwhile.
        n_carried += self.carry_flows(tables)?;
        // What was carried was not counted as made.
        self.empty_at.clear();
        let earlier = std::mem::take(&mut self.earlier);
        tracing::info!(n_carried, "taken over from the programs of an earlier agent");
        for folder in earlier.folders {
            pins::remove(&folder)?;
        }
        Ok(())
    }

    fn carry_flows(&self, tables: &Tables) -> Result<usize, EnforceError> {
        let mut n_carried = 0;
        for folder in &self.earlier.folders {
            let is_known = |layout| (FLOWS_SINCE..=LAYOUT.max(self.layout)).contains(&layout);
            let is_readable = layout_of(folder).is_some_and(is_known)
                && has_shape::<SlotKey, u64>(folder, "slots");
            match flows_of(folder).filter(|_| is_readable) {
                Some(flows) => n_carried += self.carry_from(folder, flows?, tables)?,
                None => tracing::warn!(folder = %folder.display(), "flows are learnt again"),
            }
        }
        Ok(n_carried)
    }

    /// A flow keeps who opened it. It is judged again at its next packet, because its epoch is past.
    fn carry_from(
        &self,
        folder: &Path,
        flows: Vec<(FlowKey, Flow)>,
        tables: &Tables,
    ) -> Result<usize, EnforceError> {
        let slots: Map<SlotKey, u64> = Map::open(folder, "slots")?;
        let mut contents = HashMap::new();
        slots.for_each(|key, content| {
            contents.insert((key.kind, key.slot), content);
        })?;
        let slot =
            |kind: SlotKind, slot: u32| tables.slots.of(kind, *contents.get(&(kind as u32, slot))?);
        let epoch = tables.epoch.wrapping_sub(1) << 32;
        let mut n_carried = 0;
        for (mut key, mut flow) in flows {
            let Some(endpoint) = slot(SlotKind::Endpoint, key.endpoint) else { continue };
            key.endpoint = endpoint;
            let leaf = flow.leaf();
            let rule = match leaf & RULE_MASK {
                fixed if fixed >= RULE_FIXED => fixed,
                of_rule => slot(SlotKind::Rule, of_rule).unwrap_or(0),
            };
            flow.judged = epoch | u64::from(leaf & (LEAF_ALLOW | LEAF_NO_SAY) | rule);
            n_carried += usize::from(self.flows.set_new(&key, &flow)?);
        }
        Ok(n_carried)
    }
}

/// `None` where they have no shape that is known.
fn flows_of(folder: &Path) -> Option<Result<Vec<(FlowKey, Flow)>, EnforceError>> {
    if has_shape::<Flow4Key, Flow>(folder, "flows4") && has_shape::<FlowKey, Flow>(folder, "flows6")
    {
        let flows = ByFamily::<FlowKey, Flow>::open(folder, "flows4", "flows6");
        return Some(flows.and_then(|flows| flows.all()));
    }
    has_shape::<FlowKey, EarlierFlow>(folder, "flows").then(|| {
        let flows = Map::<FlowKey, EarlierFlow>::open(folder, "flows")?.all()?;
        // Earlier programs counted the time in which the machine was suspended.
        let ahead_ns = boot_now_ns().saturating_sub(tick_now_ns());
        let carry = |flow: EarlierFlow| {
            let mut flow = Flow::from(flow);
            flow.started_ns = flow.started_ns.saturating_sub(ahead_ns);
            flow.seen_ns = flow.seen_ns.saturating_sub(ahead_ns);
            flow
        };
        Ok(flows.into_iter().map(|(key, flow)| (key, carry(flow))).collect())
    })
}

fn has_shape<K, V>(folder: &Path, name: &str) -> bool {
    MapInfo::from_pin(folder.join(name)).is_ok_and(|info| {
        (info.key_size() as usize, info.value_size() as usize) == (size_of::<K>(), size_of::<V>())
    })
}
