//! Programs loaded and run on crafted frames, without any interface: BPF_PROG_TEST_RUN runs them as
//! if the frame came by the loopback interface.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::TestRun;
use aya::maps::{MapData, RingBuf};
use aya::programs::TestRunOptions;
use bulkhead_enforce::MapSizes;
use bulkhead_enforce::dns::Cache;
use bulkhead_enforce::ebpf::{Bindings, Ground, Place, plan_on};
use bulkhead_enforce::events::{Clock, Names};
use bulkhead_enforce::kernel::Kernel;
use bulkhead_enforce::kernel::linux::{FROM_WORKLOAD, Linux, TO_WORKLOAD};
use bulkhead_enforce::realized::Tables;
use bulkhead_enforce_abi::{Event, Plain};
use bulkhead_types::Direction;
use bulkhead_wire::{FlowRecord, NodeProgram};

use crate::packets::Frame;

pub const LOOPBACK: u32 = 1;
/// TCX_NEXT.
const NEXT: u32 = u32::MAX;
/// TCX_DROP.
const DROP: u32 = 2;

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Bench {
    pub kernel: Linux,
    pub tables: Tables,
    pub names: Names,
    pub events: RingBuf<MapData>,
    pub pin_dir: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        Self::sized(MapSizes::SMALL)
    }

    pub fn sized(sizes: MapSizes) -> Self {
        forget_the_dead();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pin_dir = format!("/sys/fs/bpf/bhk-bench-{}-{number}", std::process::id());
        let pin_dir = PathBuf::from(pin_dir);
        let mut kernel = Linux::open(&pin_dir, sizes).unwrap();
        let events = kernel.take_events().unwrap();
        let (tables, names) = (Tables::default(), Names::new("bench"));
        Self { kernel, tables, names, events, pin_dir }
    }

    /// Holds the kernel to the program, with every endpoint on the loopback interface.
    pub fn enforce(&mut self, program: &NodeProgram) {
        self.enforce_named(program, &Cache::default());
    }

    /// As [`Bench::enforce`], where endpoints have looked names up.
    pub fn enforce_named(&mut self, program: &NodeProgram, cache: &Cache) {
        let bindings: Bindings = program
            .endpoints
            .iter()
            .map(|(id, endpoint)| {
                let place = Place { ifindex: LOOPBACK, mac: endpoint.mac };
                (id.clone(), endpoint.addresses.keys().map(|a| (*a, place)).collect())
            })
            .collect();
        let ops = plan_on(
            &self.tables,
            None,
            program,
            &bindings,
            &Ground::default(),
            self.kernel.sizes(),
            cache,
        )
        .unwrap();
        for op in &ops {
            self.kernel.apply(op).unwrap();
            self.tables.apply(op);
        }
        self.names.learn(program, &self.tables, &bindings);
    }

    /// Whether the frame passes; `Ingress`: to the workload.
    pub fn passes(&mut self, direction: Direction, frame: &Frame) -> bool {
        self.passes_bytes(direction, &frame.bytes())
    }

    pub fn passes_bytes(&mut self, direction: Direction, frame: &[u8]) -> bool {
        match self.run(direction, frame, 1).0 {
            NEXT => true,
            DROP => false,
            other => panic!("unexpected verdict {other}"),
        }
    }

    /// The verdict, and nanoseconds a packet over `repeat` runs.
    pub fn run(&mut self, direction: Direction, frame: &[u8], repeat: u32) -> (u32, u64) {
        let name = match direction {
            Direction::Ingress => TO_WORKLOAD,
            Direction::Egress => FROM_WORKLOAD,
        };
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        let result = self.kernel.program(name).unwrap().test_run(options).unwrap();
        (result.return_value, result.duration.as_nanos() as u64)
    }

    /// What was told since the last call, with the drop reason of what no policy judged.
    pub fn told(&mut self) -> Vec<(u8, Option<FlowRecord>)> {
        let clock = Clock::now();
        let mut told = Vec::new();
        while let Some(item) = self.events.next() {
            let event = Event::from_bytes(&item).unwrap();
            told.push((event.reason, self.names.record(&event, &clock)));
        }
        told
    }

    /// The records among what was told.
    pub fn records(&mut self) -> Vec<FlowRecord> {
        self.told().into_iter().filter_map(|(_, record)| record).collect()
    }

    pub fn forget_flows(&mut self) {
        let mut keys = Vec::new();
        self.kernel.flows().for_each(|key, _| keys.push(key)).unwrap();
        for key in keys {
            self.kernel.flows().take(&key).unwrap();
        }
        self.told();
    }

    pub fn n_dropped(&self, reason: u8) -> u64 {
        self.kernel.n_dropped(reason).unwrap()
    }
}

/// Pins of benches whose process was killed.
fn forget_the_dead() {
    for entry in std::fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("bhk-bench-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = Linux::teardown(&entry.path());
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = Linux::teardown(&self.pin_dir);
    }
}
