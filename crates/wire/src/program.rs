//! One node's whole intent, as tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_types::{EndpointId, Labels, Mac, Revision, RuleRef, ToHost};
use ipnet::IpNet;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::host::{HostProgram, Stages};
use crate::id::{ClassId, ProgramId, RowId, RuleId};
use crate::judged::JudgedAddresses;
use crate::names::NameTables;
use crate::row::Row;
use crate::table::Table;

/// An endpoint of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointProgram {
    pub id: EndpointId,
    /// For flow records only; never an input to a decision.
    pub labels: Arc<Labels>,
    /// Every address of the endpoint with the programs that judge it. A packet from or to an
    /// address that is not listed here does not pass the endpoint's interface.
    pub addresses: JudgedAddresses,
    /// The addresses that would be judged by other programs if every staged policy were enforced.
    pub staged: JudgedAddresses,
    /// The host-side interface, where the API names it; otherwise the node finds it by address.
    pub interface: Option<String>,
    /// The only link address that it may send from, where the API names it.
    pub mac: Option<Mac>,
}

/// Everything a node needs to judge any packet of its own endpoints, and nothing else.
///
/// Values are shared: with the deltas that brought them and, where they come from one engine, with the
/// tables of other nodes.
///
/// INVARIANT(program-closed): every id that is used is defined: judges and host stages name programs, entries name
/// rows, leaves and lists of logged rules name rules, and every program has an entry for [`ClassId::OUTSIDE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgram {
    pub revision: Revision,
    pub endpoints: Table<EndpointId, Arc<EndpointProgram>>,
    /// Class by address: a full-length prefix is an exact address, shorter ones match by longest
    /// prefix. An address that no prefix covers is [`ClassId::OUTSIDE`].
    pub classes: Table<IpNet, ClassId>,
    /// `(program, class)` to row. A class that a program cannot tell from the outside has no entry
    /// of its own: the entry of [`ClassId::OUTSIDE`] answers.
    pub entries: Table<(ProgramId, ClassId), RowId>,
    pub rows: Table<RowId, Arc<Row>>,
    pub rules: Table<RuleId, Arc<RuleRef>>,
    /// A leaf may stand for the rule that decides and for Log rules that the packet has matched before:
    /// `rules` then names the former, and the latter, in order, are here, by their own ids.
    pub logged: Table<RuleId, Arc<[RuleId]>>,
    pub names: NameTables,
    pub hosts: Table<EndpointId, Arc<HostProgram>>,
    /// What traffic of a workload to this host itself meets after the workload's egress program.
    pub to_host: ToHost,
}

impl NodeProgram {
    /// The program without the staged reading; `None` where there is none.
    pub fn without_staged(&self) -> Option<Self> {
        let of = |addresses: &JudgedAddresses| -> Vec<ProgramId> {
            addresses.values().flat_map(|judges| [judges.ingress, judges.egress]).collect()
        };
        let of_host = |stages: &Stages| -> Vec<ProgramId> {
            stages.values().flat_map(|locals| locals.values()).copied().collect()
        };
        let mut hearsay: BTreeSet<ProgramId> =
            self.endpoints.values().flat_map(|endpoint| of(&endpoint.staged)).collect();
        hearsay.extend(self.hosts.values().flat_map(|host| of_host(&host.staged)));
        if hearsay.is_empty() {
            return None;
        }
        let heard = self.endpoints.values().flat_map(|endpoint| of(&endpoint.addresses));
        for program in heard.chain(self.hosts.values().flat_map(|host| of_host(&host.stages))) {
            hearsay.remove(&program);
        }
        let mut plain = self.clone();
        for endpoint in plain.endpoints.values_mut() {
            Arc::make_mut(endpoint).staged = JudgedAddresses::default();
        }
        for host in plain.hosts.values_mut() {
            Arc::make_mut(host).staged.clear();
        }
        plain.entries.retain(|(program, _), _| !hearsay.contains(program));
        plain.names.programs.retain(|program, _| !hearsay.contains(program));
        plain.names.entries.retain(|(program, ..), _| !hearsay.contains(program));
        Some(plain.swept())
    }

    /// Without rows and rules that nothing names.
    fn swept(mut self) -> Self {
        let used = self.entries.values().chain(self.names.entries.values());
        let rows: BTreeSet<RowId> = used.copied().collect();
        self.rows.retain(|row, _| rows.contains(row));
        let rules = self.rules_of(&rows);
        self.rules.retain(|rule, _| rules.contains(rule));
        if !self.logged.is_empty() {
            self.logged.retain(|rule, _| rules.contains(rule));
        }
        self
    }

    fn rules_of(&self, rows: &BTreeSet<RowId>) -> BTreeSet<RuleId> {
        let rows = rows.iter().filter_map(|row| self.rows.get(row));
        let leaves = rows.flat_map(|row| row.all()).flat_map(|spans| spans.leaves());
        let mut rules: BTreeSet<RuleId> = leaves.map(|leaf| leaf.rule).collect();
        if !self.logged.is_empty() {
            let logged = rules.iter().filter_map(|rule| self.logged.get(rule));
            let logged: Vec<RuleId> = logged.flat_map(|list| list.iter().copied()).collect();
            rules.extend(logged);
        }
        rules
    }

    /// What a leaf stands for: the rule that decides, and those that have logged before. `None` for a
    /// dangling id.
    pub fn rule_of(&self, rule: RuleId) -> Option<(RuleRef, Vec<RuleRef>)> {
        let name = |rule: &RuleId| self.rules.get(rule).map(|rule| RuleRef::clone(rule));
        let decider = name(&rule)?;
        let logged = self.logged.get(&rule).into_iter().flat_map(|list| list.iter());
        Some((decider, logged.map(name).collect::<Option<_>>()?))
    }

    /// Content without the revision, as 64 bits: equal programs have equal digests in every process.
    pub fn digest(&self) -> u64 {
        let unnumbered = crate::message::NodeProgram { revision: 0, ..self.to_message() };
        crate::id::content_hash([unnumbered.encode_to_vec().as_slice()])
    }
}
