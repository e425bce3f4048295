//! One world that can be asked about connections; `eval` and `test` ask it alike.
//!
//! The compiled program answers for workloads and hosts, as the kernel would. The slow reading
//! answers where names were looked up, and in the staged reading.

use bulkhead_api::Object;
use bulkhead_policy::World;
use bulkhead_policy::decide::Asked;
use bulkhead_policy::explain::RuleNames;
use bulkhead_types::{Decision, Direction, Verdict};

use crate::args::Reading;
use crate::who::{Ask, AskError, Connection, Directory};
use crate::world::{self, Program};

pub struct Judge<'a> {
    pub world: World,
    pub directory: Directory<'a>,
    pub rule_names: RuleNames,
    /// `None`: the slow reading answers for all.
    program: Option<Program>,
    has_hosts: bool,
}

/// What both sides say about one connection.
#[derive(Clone, Debug)]
pub struct Judged {
    pub connection: Connection,
    pub verdict: Decision,
    /// `None`: nobody of these manifests has a word on that side.
    pub egress: Option<Verdict>,
    pub ingress: Option<Verdict>,
}

impl<'a> Judge<'a> {
    pub fn of(objects: &'a [Object], reading: &Reading) -> Self {
        // Before the rest, so that the engine is gone by then: both at once would take twice the room.
        let program = (!reading.staged).then(|| Program::of(objects, world::moment(&reading.when)));
        let world = world::read(objects, reading);
        let directory = Directory::of(&world, objects);
        let has_hosts = world.knows_hosts();
        Self { world, directory, rule_names: RuleNames::of(objects), program, has_hosts }
    }

    /// At least one.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Vec<Judged>, AskError> {
        let connections = self.directory.connections(ask)?;
        Ok(connections.into_iter().map(|connection| self.judge(connection)).collect())
    }

    pub fn judge(&self, connection: Connection) -> Judged {
        let [egress, ingress] = match &self.program {
            _ if connection.is_to_itself() => [None, None],
            Some(program) if !self.has_hosts && connection.names.is_empty() => {
                let word = |end: &Option<_>, direction| {
                    let program = program.of_workloads();
                    Some(program.decide(end.as_ref()?, direction, &connection.packet))
                };
                [
                    word(&connection.src.endpoint, Direction::Egress),
                    word(&connection.dst.endpoint, Direction::Ingress),
                ]
            }
            program => self.walk(&connection, program.as_ref()),
        };
        let denies = |verdict: &Verdict| verdict.decision == Decision::Deny;
        let is_denied = [&egress, &ingress].into_iter().flatten().any(denies);
        let verdict = if is_denied { Decision::Deny } else { Decision::Allow };
        Judged { connection, verdict, egress, ingress }
    }

    fn walk(&self, connection: &Connection, program: Option<&Program>) -> [Option<Verdict>; 2] {
        let Connection { src, dst, names, packet } = connection;
        let ends = [src.endpoint.as_ref(), dst.endpoint.as_ref()];
        let way = self.world.walk(ends, packet, |asked| match (asked, program) {
            (Asked::Workload(id, direction), Some(program)) if names.is_empty() => {
                program.of_workloads().decide(id, *direction, packet)
            }
            (Asked::Workload(id, direction), _) => {
                self.world.decide_named(id, *direction, packet, names)
            }
            (Asked::Host(id, stage, direction), Some(program)) => {
                program.of_host(id).decide_host(id, *stage, *direction, packet)
            }
            (Asked::Host(id, stage, direction), None) => {
                self.world.decide_host(id, *stage, *direction, packet)
            }
            (Asked::Node(_), _) => Verdict::unknown(),
        });
        [Direction::Egress, Direction::Ingress].map(|end| way.said(end))
    }
}
