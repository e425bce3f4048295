//! The world that manifests describe, ready to be asked.
//!
//! Offline every workload stands on one imagined node, so one compiled program answers for all of
//! them. Where a workload really runs never changes a verdict, only whether anybody enforces it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::bail;
use bulkhead_api::expand::{Remark, expand};
use bulkhead_api::manifest::Severity;
use bulkhead_api::{Object, ObjectKey, addressing};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Changes, Diagnostic, Engine, Event, NodeProgram, World};
use bulkhead_types::EndpointId;

use crate::args::{Reading, When};
use crate::input::Input;
use crate::output;

/// The objects with a pod for every owner and addresses for all, or an error where the manifests
/// cannot be trusted.
///
/// A document that is no object stops everything: leaving out a policy could turn a deny into an
/// allow. What the policy engine cannot understand is read closed, as on a live server, and said.
pub fn objects(input: &mut Input) -> anyhow::Result<Vec<Object>> {
    for diagnostic in &input.manifests.diagnostics {
        if diagnostic.severity != Severity::Note {
            output::complain(&format!("{diagnostic}\n"));
        }
    }
    if input.manifests.has_errors() {
        bail!("the manifests have errors, so no verdict about them can be trusted");
    }
    let mut objects = input.take_objects();
    for remark in populate(&mut objects).remarks {
        if remark.severity != Severity::Note {
            let place = input.place(&remark.object, remark.field);
            let place = place.map(|source| format!("{source}: ")).unwrap_or_default();
            output::complain(&format!("warning: {place}{}: {}", remark.object, remark.message));
        }
    }
    Ok(objects)
}

/// What came of the owners.
pub struct Populated {
    /// The owner that each new pod stands for.
    pub owners: HashMap<ObjectKey, ObjectKey>,
    pub remarks: Vec<Remark>,
}

/// Adds a pod for every owner that has none, and gives addresses to all.
pub fn populate(objects: &mut Vec<Object>) -> Populated {
    let expansion = expand(objects.iter());
    let owners = expansion.pods.iter().map(|(owner, pod)| (pod.key(), owner.clone())).collect();
    objects.extend(expansion.pods.into_iter().map(|(_, pod)| pod));
    addressing::assign(objects);
    Populated { owners, remarks: expansion.remarks }
}

/// The moment that was asked for, or now.
pub fn moment(when: &When) -> Moment {
    when.at.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment(i128::try_from(now.as_nanos()).unwrap_or(i128::MAX))
    })
}

/// The slow reading of the objects, as asked for.
pub fn read(objects: &[Object], reading: &Reading) -> World {
    let world = World::from_objects(objects).at(moment(&reading.when));
    if reading.staged { world.staged() } else { world }
}

/// Says what the policy engine could not understand and therefore reads closed.
pub fn say_closed(input: &Input, world: &World) {
    say_closed_in(input, world.diagnostics());
}

pub fn say_closed_in<'a>(input: &Input, found: impl IntoIterator<Item = &'a Diagnostic>) {
    for found in found {
        if found.severity == bulkhead_policy::Severity::Error || found.is_about_tier() {
            let place = input.place(&found.object, &found.field);
            let place = place.map(|source| format!("{source}: ")).unwrap_or_default();
            output::complain(&format!("warning: {place}{}: {found}", found.object));
        }
    }
}

/// The compiled world.
pub struct Program {
    workloads: Arc<NodeProgram>,
    /// Host endpoints stay on their own nodes.
    hosts: HashMap<EndpointId, Arc<NodeProgram>>,
}

/// The one node of an offline world.
const NODE: &str = "offline";

impl Program {
    pub fn of(objects: &[Object], now: Moment) -> Self {
        let (mut engine, _) = engine(objects, &BTreeSet::new(), now);
        let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
        let mut hosts = HashMap::new();
        for tables in nodes.iter().filter_map(|node| engine.program(node)) {
            hosts.extend(tables.hosts.keys().map(|host| (host.clone(), Arc::clone(&tables))));
        }
        Self { workloads: engine.program(NODE).unwrap_or_default(), hosts }
    }

    /// The program that knows the host endpoint, if there is one.
    pub fn of_host(&self, host: &EndpointId) -> &NodeProgram {
        self.hosts.get(host).unwrap_or(&self.workloads)
    }

    /// The program that knows every workload.
    pub fn of_workloads(&self) -> &NodeProgram {
        &self.workloads
    }
}

/// What a server holds with an address and without a node. Of what manifests declare nobody knows
/// where it will run: that stands on a node.
pub fn unplaced(input: &Input) -> BTreeSet<ObjectKey> {
    let has_node = |object: &Object| match object {
        Object::Pod(pod) => pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
        Object::Workload(workload) => workload.spec.node_name.is_some(),
        _ => true,
    };
    let unplaced = input
        .live()
        .iter()
        .filter(|object| !has_node(object) && !addressing::addresses(object).is_empty());
    unplaced.map(Object::key).collect()
}

/// The engine of an offline world, in which everything but `unplaced` is on a node, and all that it
/// had to say.
pub fn engine(
    objects: &[Object],
    unplaced: &BTreeSet<ObjectKey>,
    now: Moment,
) -> (Engine, Changes) {
    let mut engine = Engine::new();
    engine.advance(now);
    for object in objects {
        let mut object = object.clone();
        if unplaced.is_empty() || !unplaced.contains(&object.key()) {
            place(&mut object);
        }
        engine.apply(Event::Upsert(object));
    }
    let changes = engine.take_changes();
    (engine, changes)
}

fn place(object: &mut Object) {
    let node = Some(NODE.to_owned());
    match object {
        Object::Pod(pod) => pod.spec.get_or_insert_default().node_name = node,
        Object::Workload(workload) => workload.spec.node_name = node,
        _ => {}
    }
}
