//! The real kernel: pinned maps, programs and links under one folder of a BPF file system.
//!
//! ```text
//! PIN_DIR/maps-LAYOUT/NAME           the maps
//! PIN_DIR/links/IFINDEX-{in,out}     the tcx links, which hold the programs
//! ```
//!
//! Everything survives this process. The next one reuses the maps as they are and replaces the
//! program in each link, which is atomic: no packet goes unjudged in between. Where the maps are of
//! another layout or not complete, see `takeover`.

mod apply;
pub mod bpf;
mod bpf_link;
mod denies;
pub mod family;
mod hurry;
pub mod inject;
mod links;
pub mod map;
mod netfilter;
mod pins;
pub mod poll;
mod prints;
pub mod priority;
pub mod raw;
mod read;
mod takeover;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aya::TestRun;
use aya::maps::{MapData, PerCpuArray, PerCpuValues, RingBuf};
use aya::programs::{SchedClassifier, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use bulkhead_enforce_abi::{
    Address, CONFIG_LISTENED, CONFIG_NETFILTER, CONFIG_RESETS, ClassValue, Endpoint, EndpointKey,
    EntryKey, FailsafeKey, Flow, FlowKey, Host, Interface, LAYOUT, LocalKey, NAME_PREFIXES_MAX,
    NameEntryKey, NameKey, NamePrefix, NameValue, Prefix4, Prefix6, Row, SlotKey, Span,
    name_prefix,
};

use crate::kernel::{Kernel, KernelOp};
use crate::limits::MapSizes;
use crate::node::EnforceError;
use crate::realized::{Tables, mapped};
use family::{ByFamily, Family};
use map::Map;

/// The compiled `bpf/bulkhead.bpf.c`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bulkhead.bpf.o"));

/// The programs' names in the object.
pub const FROM_WORKLOAD: &str = "from_workload";
pub const TO_WORKLOAD: &str = "to_workload";
pub const FROM_WIRE: &str = "from_wire";
pub const TO_WIRE: &str = "to_wire";
pub const FROM_DRIVER: &str = "from_driver";

pub use links::LinkDrift;

pub struct Linux {
    pin_dir: PathBuf,
    layout: u32,
    sizes: MapSizes,
    ebpf: Ebpf,
    links: links::Links,
    /// The last link that was checked.
    checked_to: Option<(u32, &'static str)>,
    /// The time of the folder of links' pins at which all were there.
    pins_listed_of: Option<SystemTime>,
    hurry: hurry::Hurry,
    hooks: Option<netfilter::Hooks>,
    earlier: takeover::Earlier,
    /// Every map by its pin, so that a removed pin can be made again.
    pinned: BTreeMap<String, MapData>,
    config: Map<u32, u64>,
    denies: denies::Denies,
    slots: Map<SlotKey, u64>,
    endpoints: ByFamily<EndpointKey, Endpoint>,
    interfaces: Map<u32, Interface>,
    name_prefixes: Map<u32, NamePrefix>,
    hosts: Map<u32, Host>,
    locals: Map<LocalKey, u32>,
    failsafes: Map<FailsafeKey, u32>,
    classes4: Map<[u8; 4], ClassValue>,
    classes6: Map<Address, ClassValue>,
    prefixes4: Map<Prefix4, ClassValue>,
    prefixes6: Map<Prefix6, ClassValue>,
    entries: Map<EntryKey, u32>,
    names: Map<NameKey, NameValue>,
    name_entries: Map<NameEntryKey, u32>,
    resolvers: Map<Address, u32>,
    rows: Map<u32, Row>,
    spans: Map<u32, Span>,
    flows: ByFamily<FlowKey, Flow>,
    flows_made: PerCpuArray<MapData, u64>,
    /// The number of flows made at which a table was last seen empty.
    empty_at: BTreeMap<Family, Option<u64>>,
    drops: PerCpuArray<MapData, u64>,
    dns_counts: PerCpuArray<MapData, u64>,
}

impl Linux {
    /// Makes or reuses the maps and loads the programs. Attaches nothing.
    ///
    /// Sizes of maps that exist already stay as they are.
    pub fn open(pin_dir: &Path, sizes: MapSizes) -> Result<Self, EnforceError> {
        Self::open_as(pin_dir, sizes, LAYOUT)
    }

    /// As an agent whose maps have another layout number would.
    pub fn open_as(pin_dir: &Path, sizes: MapSizes, layout: u32) -> Result<Self, EnforceError> {
        pins::mount_bpffs(pin_dir)?;
        let folder = pin_dir.join(format!("maps-{layout}"));
        pins::make_folder(&folder)?;
        pins::make_folder(&pin_dir.join("links"))?;
        let known = takeover::pinned(&folder);
        let (mut ebpf, mut sizes) = load(&folder, sizes)?;
        if !known.is_empty() && known != takeover::pinned(&folder) {
            tracing::warn!(folder = %folder.display(), "pins are missing: beginning with new maps");
            drop(ebpf);
            takeover::put_aside(&folder)?;
            (ebpf, sizes) = load(&folder, sizes)?;
        }
        let pinned = takeover::pinned(&folder).into_iter().map(|name| {
            let map = MapData::from_pin(folder.join(&name));
            map.map(|map| (name, map)).map_err(|error| kernel("open a pinned map", &error))
        });
        let pinned = pinned.collect::<Result<_, _>>()?;
        let counters = |name: &str| {
            MapData::from_pin(folder.join(name))
                .and_then(|data| PerCpuArray::try_from(aya::maps::Map::PerCpuArray(data)))
                .map_err(|error| kernel(&format!("open the map `{name}`"), &error))
        };
        Ok(Self {
            pin_dir: pin_dir.to_owned(),
            layout,
            sizes,
            ebpf,
            links: links::Links::new(),
            checked_to: None,
            pins_listed_of: None,
            hurry: hurry::Hurry::open(),
            hooks: None,
            earlier: takeover::Earlier::find(pin_dir, &folder),
            pinned,
            config: Map::open(&folder, "config")?,
            denies: denies::Denies::open(&folder)?,
            slots: Map::open(&folder, "slots")?,
            endpoints: ByFamily::open(&folder, "endpoints4", "endpoints6")?,
            interfaces: Map::open(&folder, "interfaces")?,
            name_prefixes: Map::open(&folder, "name_prefixes")?,
            hosts: Map::open(&folder, "hosts")?,
            locals: Map::open(&folder, "locals")?,
            failsafes: Map::open(&folder, "failsafes")?,
            classes4: Map::open(&folder, "classes4")?,
            classes6: Map::open(&folder, "classes6")?,
            prefixes4: Map::open(&folder, "prefixes4")?,
            prefixes6: Map::open(&folder, "prefixes6")?,
            entries: Map::open(&folder, "entries")?,
            names: Map::open(&folder, "names")?,
            name_entries: Map::open(&folder, "name_entries")?,
            resolvers: Map::open(&folder, "resolvers")?,
            rows: Map::open(&folder, "rows")?,
            spans: Map::open(&folder, "spans")?,
            flows: ByFamily::open(&folder, "flows4", "flows6")?,
            flows_made: counters("made")?,
            empty_at: BTreeMap::new(),
            drops: counters("drops")?,
            dns_counts: counters("dns_counts")?,
        })
    }

    /// Puts the program at netfilter's hooks of this network namespace; from then on new flows of
    /// workloads are judged there.
    pub fn attach_hooks(&mut self) -> Result<(), EnforceError> {
        let maps = self.pin_dir.join(format!("maps-{}", self.layout));
        self.hooks = Some(netfilter::Hooks::attach(&self.pin_dir, &maps)?);
        self.config.set(&CONFIG_NETFILTER, &1)
    }

    /// Which interfaces carry workloads, by the beginnings of their names: what is routed to or from one
    /// that is not known yet is dropped. Of more than there is room for the first ones count.
    pub fn set_name_prefixes(&self, prefixes: &[String]) -> Result<(), EnforceError> {
        let known = prefixes.iter().filter_map(|text| name_prefix(text));
        let padded = known.chain(std::iter::repeat(NamePrefix::default()));
        let elements: Vec<_> = (0..).zip(padded.take(NAME_PREFIXES_MAX)).collect();
        self.name_prefixes.set_all(&elements)
    }

    /// Whether the kernel tells of packets at which connections are cut.
    pub fn set_resets(&self, wanted: bool) -> Result<(), EnforceError> {
        self.config.set(&CONFIG_RESETS, &u64::from(wanted))
    }

    /// Puts back what somebody removed from the hooks, and names it.
    pub fn check_hooks(&mut self) -> Result<Vec<String>, EnforceError> {
        self.hooks.as_mut().map_or(Ok(Vec::new()), netfilter::Hooks::check)
    }

    pub fn sizes(&self) -> &MapSizes {
        &self.sizes
    }

    pub fn flows(&self) -> &ByFamily<FlowKey, Flow> {
        &self.flows
    }

    /// Every flow, but for tables that were empty the last time and that nothing came into since.
    pub fn look_through_flows(
        &mut self,
        mut visit: impl FnMut(FlowKey, Flow),
    ) -> Result<(), EnforceError> {
        for family in Family::ALL {
            let n_made = self.n_flows_made(family)?;
            let empty_at = self.empty_at.entry(family).or_default();
            if *empty_at == Some(n_made) {
                continue;
            }
            let mut is_empty = true;
            self.flows.for_each_of(family, |key, flow| {
                is_empty = false;
                visit(key, flow);
            })?;
            *empty_at = is_empty.then_some(n_made);
        }
        Ok(())
    }

    fn n_flows_made(&self, family: Family) -> Result<u64, EnforceError> {
        let by_cpu = self
            .flows_made
            .get(&(family as u32), 0)
            .map_err(|error| kernel("read the map `made`", &error))?;
        Ok(by_cpu.iter().sum())
    }

    /// Makes the pins of maps again that were removed, and names them.
    pub fn check_map_pins(&mut self) -> Result<Vec<String>, EnforceError> {
        let folder = self.pin_dir.join(format!("maps-{}", self.layout));
        let present = takeover::pinned(&folder);
        let mut missing = Vec::new();
        for (name, map) in self.pinned.iter().filter(|(name, _)| !present.contains(*name)) {
            pins::make_folder(&folder)?;
            map.pin(folder.join(name)).map_err(|error| kernel("pin a map again", &error))?;
            missing.push(name.clone());
        }
        Ok(missing)
    }

    /// The reading end of the events. There is one: a second call is an error.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>, EnforceError> {
        self.take_ring("events")
    }

    fn take_ring(&mut self, name: &str) -> Result<RingBuf<MapData>, EnforceError> {
        let action = format!("open the ring buffer `{name}`");
        let Some(map) = self.ebpf.take_map(name) else {
            return Err(EnforceError::Kernel {
                action,
                message: "it was taken already".to_owned(),
            });
        };
        RingBuf::try_from(map).map_err(|error| kernel(&action, &error))
    }

    /// Whose answers to DNS questions count.
    pub fn set_resolvers(&mut self, resolvers: &BTreeSet<IpAddr>) -> Result<(), EnforceError> {
        let known: Vec<Address> = self.resolvers.all()?.into_iter().map(|(key, _)| key).collect();
        let wanted: BTreeSet<Address> = resolvers.iter().copied().map(mapped).collect();
        let gone: Vec<Address> = known.into_iter().filter(|key| !wanted.contains(key)).collect();
        self.resolvers.unset_all(&gone)?;
        wanted.iter().try_for_each(|key| self.resolvers.set(key, &1))
    }

    /// Says that somebody listens to what resolvers answer.
    pub fn set_listened(&self, at_ns: u64) -> Result<(), EnforceError> {
        self.config.set(&CONFIG_LISTENED, &at_ns)
    }

    /// The reading end of what resolvers answer; there is one, too.
    pub fn take_heard(&mut self) -> Result<RingBuf<MapData>, EnforceError> {
        self.take_ring("heard")
    }

    /// Packets to and from resolvers counted for `what`, over all CPUs.
    pub fn n_dns(&self, what: u32) -> Result<u64, EnforceError> {
        let values: PerCpuValues<u64> = self
            .dns_counts
            .get(&what, 0)
            .map_err(|error| kernel("read the map `dns_counts`", &error))?;
        Ok(values.iter().sum())
    }

    /// Packets counted for `reason`, over all CPUs.
    pub fn n_dropped(&self, reason: u8) -> Result<u64, EnforceError> {
        let values: PerCpuValues<u64> = self
            .drops
            .get(&u32::from(reason), 0)
            .map_err(|error| kernel("read the map `drops`", &error))?;
        Ok(values.iter().sum())
    }

    /// A loaded program, for BPF_PROG_TEST_RUN.
    pub fn program(&mut self, name: &str) -> Result<&mut SchedClassifier, EnforceError> {
        program(&mut self.ebpf, name)
    }

    /// Whether programs can be put on interfaces as they are here.
    pub fn has_tcx() -> Result<(), EnforceError> {
        pins::has_tcx()
    }

    /// Whether an earlier process has left interfaces judged.
    pub fn is_pinned(pin_dir: &Path) -> bool {
        pin_dir.join("links").read_dir().is_ok_and(|mut links| links.next().is_some())
    }

    /// Runs the driver's program on a frame that is given to it `repeat` times (BPF_PROG_TEST_RUN): its
    /// verdict, and the mean of what it took in nanoseconds.
    pub fn run_driver(&mut self, frame: &[u8], repeat: u32) -> Result<(u32, u64), EnforceError> {
        let action = format!("run the program `{FROM_DRIVER}`");
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        let result =
            driver_of(&self.ebpf)?.test_run(options).map_err(|error| kernel(&action, &error))?;
        Ok((result.return_value, result.duration.as_nanos() as u64))
    }

    /// Removes every pin, which detaches the programs and frees the maps.
    pub fn teardown(pin_dir: &Path) -> Result<(), EnforceError> {
        pins::remove(pin_dir)
    }
}

impl Kernel for Linux {
    fn apply(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        self.apply_op(op)
    }

    fn read(&mut self) -> Result<Tables, EnforceError> {
        self.read_tables()
    }
}

/// Loads the programs onto the maps in `folder`, which are made where they are missing.
fn load(folder: &Path, wanted: MapSizes) -> Result<(Ebpf, MapSizes), EnforceError> {
    let sizes = pins::sizes_of(folder, wanted);
    let mut loader = EbpfLoader::new();
    loader.default_map_pin_directory(folder);
    for (name, size) in pins::named_sizes(&sizes) {
        loader.map_max_entries(name, size);
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| kernel("load the programs", &error))?;
    for name in [FROM_WORKLOAD, TO_WORKLOAD, FROM_WIRE, TO_WIRE] {
        let program = program(&mut ebpf, name)?;
        program.load().map_err(|error| {
            kernel(&format!("load the program `{name}` (needs Linux 6.6 with tcx)"), &error)
        })?;
    }
    let action = format!("load the program `{FROM_DRIVER}`");
    let driver: &mut Xdp = ebpf
        .program_mut(FROM_DRIVER)
        .ok_or_else(|| missing(FROM_DRIVER))?
        .try_into()
        .map_err(|error| kernel(&action, &error))?;
    driver.load().map_err(|error| kernel(&action, &error))?;
    Ok((ebpf, sizes))
}

fn missing(name: &str) -> EnforceError {
    EnforceError::Kernel {
        action: format!("find the program `{name}`"),
        message: "the compiled object does not have it".to_owned(),
    }
}

fn driver_of(ebpf: &Ebpf) -> Result<&Xdp, EnforceError> {
    let found = ebpf.program(FROM_DRIVER).ok_or_else(|| missing(FROM_DRIVER))?;
    found.try_into().map_err(|error| kernel(&format!("use the program `{FROM_DRIVER}`"), &error))
}

fn program_of<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a SchedClassifier, EnforceError> {
    let found = ebpf.program(name).ok_or_else(|| missing(name))?;
    found.try_into().map_err(|error| kernel(&format!("use the program `{name}`"), &error))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, EnforceError> {
    let found = ebpf.program_mut(name).ok_or_else(|| missing(name))?;
    found.try_into().map_err(|error| kernel(&format!("use the program `{name}`"), &error))
}

fn kernel(action: &str, error: &(dyn std::error::Error + 'static)) -> EnforceError {
    EnforceError::Kernel { action: action.to_owned(), message: chain(error) }
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
