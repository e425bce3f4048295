//! The nftables back end as the worker sees it.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_types::{Names, Revision};
use bulkhead_wire::NodeProgram;

use crate::dns::DnsReport;
use crate::ebpf::Bindings;
use crate::events::boot_now_ns;
use crate::kernel::linux::raw::Raw;
use crate::netlink::Topology;
use crate::nft::chains::MARK_OWN;
use crate::nft::conntrack::{self, Tracked};
use crate::nft::denial::ToldBy;
use crate::nft::hear::{Hear, Hearers};
use crate::nft::hosts::Said;
use crate::nft::log::{self, Told};
use crate::nft::message::CONNTRACK;
use crate::nft::moves::{Locals, Places, locals};
use crate::nft::named::{LookersAt, lookers_at, named};
use crate::nft::records::Records;
use crate::nft::socket::{Socket, failed};
use crate::nft::table::{Table, Wanted, table_name};
use crate::node::backend::{Backend, Sink};
use crate::node::bind::Held;
use crate::node::ground::{ANYWHERE, host_interfaces};
use crate::node::names::{Learner, lookers};
use crate::node::told::ToldLately;
use crate::node::{EnforceError, NodeOptions};
use crate::resets::both_ends;

/// Of the kernel's log: the group that denied packets are told to.
const LOG_GROUP: u16 = 0x4268;

pub struct Nft {
    table: Table,
    /// For questions about tracked flows.
    tracking: Socket,
    events: Socket,
    /// The group of dropped packets is ours.
    hears_drops: bool,
    n_lost: u64,
    records: Records,
    /// Listing all flows takes time that grows with them: a small part of all time is spent so.
    next_list: Instant,
    program: Option<(Arc<NodeProgram>, Bindings)>,
    /// When the bank that no packet looks at is brought to the program too.
    levels_at: Option<Instant>,
    said: Said,
    /// Another back end judges until there is a program here.
    is_judging: bool,
    told: ToldLately,
    topology: Topology,
    /// Sends resets to both ends of what was cut, where that is wanted.
    resets: Option<Raw>,
    learner: Learner,
    hear: Hear,
    /// What is enforced, and who looks things up there.
    locals: Locals,
    lookers_at: LookersAt,
    /// Who looks things up, by address alone.
    near: HashMap<IpAddr, u64>,
}

/// An agent that is about to end may hold the table so long.
const HELD_MAX: Duration = Duration::from_secs(10);
/// No packet is still on its way through the other bank then.
const LEVELS_AFTER: Duration = Duration::from_millis(500);
/// Connection tracking counts and keeps times only where it is told to.
const SWITCHES: [&str; 2] =
    ["/proc/sys/net/netfilter/nf_conntrack_acct", "/proc/sys/net/netfilter/nf_conntrack_timestamp"];
/// Of the time, the part that is not spent on listing flows.
const LIST_REST: u32 = 30;

impl Nft {
    /// Closes the workloads' interfaces at once, where nothing of an earlier process judges them.
    pub fn open(options: &NodeOptions) -> Result<Self, EnforceError> {
        let mut nft = Self::beside(options)?;
        nft.table.close_once_free(HELD_MAX)?;
        nft.is_judging = true;
        Ok(nft)
    }

    /// Touches nothing until it has a program, because another back end judges.
    pub fn beside(options: &NodeOptions) -> Result<Self, EnforceError> {
        let table = Table::open(options, LOG_GROUP)?;
        let events = Socket::open()?;
        for group in [conntrack::GROUP_NEW, conntrack::GROUP_DESTROY] {
            events.join(group)?;
        }
        for switch in SWITCHES {
            if let Err(error) = std::fs::write(switch, "1") {
                tracing::warn!(%error, switch, "flow records will lack counters or times");
            }
        }
        let mut nft = Self {
            table,
            tracking: Socket::open()?,
            events,
            hears_drops: false,
            n_lost: 0,
            records: Records::new(&options.node_name, options.update_ms),
            next_list: Instant::now(),
            program: None,
            levels_at: None,
            said: Said::default(),
            is_judging: false,
            told: ToldLately::default(),
            topology: Topology::default(),
            resets: options.resets.then(raw).transpose()?,
            learner: Learner::open(&options.dns),
            hear: Hear::open(&table_name(&options.pin_dir), &options.dns.resolvers)?,
            locals: Locals::default(),
            lookers_at: LookersAt::new(),
            near: HashMap::new(),
        };
        nft.listen();
        Ok(nft)
    }

    fn places(&self, program: &NodeProgram, bindings: &Bindings) -> Places {
        let mut hosts = host_interfaces(program, &self.topology, &BTreeMap::new());
        hosts.remove(&ANYWHERE);
        Places { locals: locals(program, bindings), hosts }
    }

    /// An agent that has just ended may have the group a little longer.
    fn listen(&mut self) {
        if self.hears_drops {
            return;
        }
        match log::listen(&mut self.events, LOG_GROUP) {
            Ok(()) => self.hears_drops = true,
            Err(error) => tracing::warn!(%error, "denied packets are not told; trying again"),
        }
    }

    /// Whether the kernel has what this back end takes: by a table that is never committed to.
    pub fn probe() -> Result<(), EnforceError> {
        Table::probe()
    }
}

/// By which names an address of this node knows another.
fn known_names(learner: &Learner, near: &HashMap<IpAddr, u64>) -> impl Fn(IpAddr, IpAddr) -> Names {
    move |from, to| near.get(&from).map(|it| learner.cache.names(*it, to)).unwrap_or_default()
}

fn raw() -> Result<Raw, EnforceError> {
    let failed = |error| failed("open the sockets for resets", error);
    let raw = Raw::open().map_err(failed)?;
    raw.mark(MARK_OWN).map_err(failed)?;
    Ok(raw)
}

/// Tells both ends of a connection that a workload may not go on with. One that cannot be reached finds
/// out by its own timeout, as without resets.
fn reset(raw: &Raw, told: &Told) {
    let is_cut = told.way.is_late && told.way.by == ToldBy::Workload;
    let Some(numbers) = told.seen.numbers.filter(|_| is_cut) else { return };
    for (to, packet) in both_ends(&told.seen.packet, numbers).into_iter().flatten() {
        if let Err(error) = raw.send(to, &packet) {
            tracing::debug!(%error, %to, "an end of a cut connection gets no reset");
        }
    }
}

impl Backend for Nft {
    fn revision(&self) -> Revision {
        self.table.revision()
    }

    fn follow(&mut self, topology: &Topology) -> Result<BTreeSet<u32>, EnforceError> {
        let is_bridged =
            |ifindex: &u32| topology.links.get(ifindex).is_some_and(|link| link.master.is_some());
        let (bridged, routed): (BTreeMap<u32, String>, BTreeMap<u32, String>) =
            topology.interfaces.clone().into_iter().partition(|(ifindex, _)| is_bridged(ifindex));
        if self.is_judging {
            self.table.know(topology.interfaces.keys().copied().collect())?;
            self.table.bar(bridged)?;
        }
        self.topology.clone_from(topology);
        Ok(routed.into_keys().collect())
    }

    fn held(&self, program: &NodeProgram) -> Held {
        let mut held = Held::new();
        for (id, endpoint) in program.endpoints.iter() {
            for (ifindex, address) in self.table.found() {
                if endpoint.addresses.contains_key(address) {
                    held.insert(*ifindex, id.clone());
                }
            }
        }
        held
    }

    fn inherited_interfaces(&self) -> BTreeSet<u32> {
        self.table.known().clone()
    }

    fn mend(&mut self, topology: &Topology) -> Result<Vec<String>, EnforceError> {
        if self.is_judging && self.table.is_changed()? {
            self.restore()?;
            self.told.tell("the table of nftables was changed; made anew".to_owned());
        }
        self.follow(topology)?;
        let mut told = self.told.told();
        for name in self.table.barred() {
            told.push(format!(
                "interface `{name}` is a port of a bridge, which nftables cannot judge: it passes \
                 nothing"
            ));
        }
        Ok(told)
    }

    fn alarm(&self) -> Option<BorrowedFd<'_>> {
        Some(self.table.alarm())
    }

    fn realize(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
        _topology: &Topology,
    ) -> Result<(), EnforceError> {
        let places = self.places(program, bindings);
        let newcomers = self.table.newcomers(&places.locals);
        if !newcomers.is_empty() {
            // While their interface is closed, so that nothing of the old can come back.
            conntrack::forget(&mut self.tracking, &newcomers)?;
        }
        let (hosts, here) = (places.hosts.clone(), places.locals.clone());
        let at = lookers_at(&lookers(program, bindings), bindings);
        self.learner.try_program(program);
        let named = named(program, &here, &at, &self.learner.cache);
        let wanted = Wanted { program: &self.said.with(program), places, named };
        let enforced = self.table.enforce(wanted);
        enforced.inspect_err(|_| self.learner.take_back())?;
        self.learner.realized(program, bindings);
        self.near = at.iter().map(|((_, address), looker)| (*address, *looker)).collect();
        (self.locals, self.lookers_at) = (here, at);
        self.hear.listen_for(self.hearers(program));
        self.is_judging = true;
        self.levels_at = Some(Instant::now() + LEVELS_AFTER);
        self.records.learn(program, bindings, &hosts);
        self.program = Some((Arc::clone(program), bindings.clone()));
        Ok(())
    }

    fn answers(&self) -> BorrowedFd<'_> {
        self.hear.answers()
    }

    fn hear(&mut self) -> bool {
        self.listen_to_resolvers()
    }

    fn beat(&mut self) {
        self.hear.beat();
    }

    fn dns(&self) -> (DnsReport, Vec<String>) {
        let mut warnings = self.learner.warnings(boot_now_ns());
        warnings.extend(self.hear.warning());
        (self.learner.report(), warnings)
    }

    fn is_open(&self, ifindex: u32) -> bool {
        self.table.is_open(ifindex)
    }

    fn settles_in(&self) -> Option<Duration> {
        self.levels_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn settle(&mut self) {
        // At the end of the thread it may not be time yet, and then never is.
        if self.levels_at.is_some_and(|at| at <= Instant::now()) {
            self.levels_at = None;
            if let Err(error) = self.table.level() {
                tracing::warn!(%error, "the table is made anew with the next program");
            }
        }
    }

    fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn drain(&mut self, sink: &mut Sink) -> bool {
        let (records, resets) = (&mut self.records, &self.resets);
        let known = known_names(&self.learner, &self.near);
        let mut was_something = false;
        let is_complete = self.events.take(|message| {
            was_something = true;
            if let Some(told) = log::read(&message) {
                let is_denied = records.dropped(&told, &known, sink);
                if let Some(raw) = resets.as_ref().filter(|_| is_denied) {
                    reset(raw, &told);
                }
            } else if message.kind == CONNTRACK << 8 | conntrack::NEW {
                Tracked::read(&message).iter().for_each(|flow| records.began(flow, &known, sink));
            } else if message.kind == CONNTRACK << 8 | conntrack::DELETE {
                Tracked::read(&message).iter().for_each(|flow| records.ended(flow, &known, sink));
            }
        });
        self.n_lost += u64::from(!is_complete);
        was_something
    }

    fn sweep(&mut self, sink: &mut Sink) -> Result<u64, EnforceError> {
        self.listen();
        let began = Instant::now();
        if began >= self.next_list {
            let flows = conntrack::all(&mut self.tracking)?;
            let known = known_names(&self.learner, &self.near);
            self.records.sweep(&flows, &known, sink);
            drop(known);
            self.forget_unused(&flows)?;
            self.next_list = Instant::now() + began.elapsed() * LIST_REST;
        }
        Ok(self.n_lost)
    }

    fn remove(&mut self) -> Result<(), EnforceError> {
        self.hear.listen_for(Hearers::new());
        self.table.remove()
    }
}
