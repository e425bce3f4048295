//! What changes between two programs of one node.

use std::sync::Arc;

use bulkhead_types::{EndpointId, Revision, RuleRef, ToHost};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::host::HostProgram;
use crate::id::{ClassId, ProgramId, RowId, RuleId};
use crate::names::NameChange;
use crate::program::{EndpointProgram, NodeProgram};
use crate::row::Row;
use crate::table::Table;

/// INVARIANT(delta-disjoint): no key is both set and unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDelta {
    /// The revision that this delta applies to.
    pub base: Revision,
    pub revision: Revision,
    pub endpoints: Change<EndpointId, Arc<EndpointProgram>>,
    pub classes: Change<IpNet, ClassId>,
    pub entries: Change<(ProgramId, ClassId), RowId>,
    pub rows: Change<RowId, Arc<Row>>,
    pub rules: Change<RuleId, Arc<RuleRef>>,
    pub logged: Change<RuleId, Arc<[RuleId]>>,
    pub names: NameChange,
    pub hosts: Change<EndpointId, Arc<HostProgram>>,
    /// `None`: as before.
    pub to_host: Option<ToHost>,
}

/// Keys to set (new or replaced) and keys to unset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize, V: Serialize",
    deserialize = "K: Deserialize<'de>, V: Deserialize<'de>"
))]
pub struct Change<K: Ord, V> {
    pub set: Table<K, V>,
    pub unset: Vec<K>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    #[error("delta applies to revision {expected}, the program is at {found}: ask for a snapshot")]
    WrongBase { expected: Revision, found: Revision },
}

impl<K: Ord, V> Default for Change<K, V> {
    fn default() -> Self {
        Self { set: Table::default(), unset: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Change<K, V> {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }

    pub fn between(old: &Table<K, V>, new: &Table<K, V>) -> Self {
        let differences = old.differences(new);
        let (set, unset): (Vec<_>, Vec<_>) =
            differences.into_iter().partition(|(_, _, new)| new.is_some());
        let set = set.into_iter().filter_map(|(key, _, new)| Some((key.clone(), new?.clone())));
        Self { set: set.collect(), unset: unset.into_iter().map(|(key, ..)| key.clone()).collect() }
    }

    pub fn apply(&self, table: &mut Table<K, V>) {
        if table.is_empty() {
            // Not copied: the first delta of a node is its tables.
            table.clone_from(&self.set);
            return;
        }
        for key in &self.unset {
            table.remove(key);
        }
        for (key, value) in &self.set {
            table.insert(key.clone(), value.clone());
        }
    }
}

impl ProgramDelta {
    pub fn between(old: &NodeProgram, new: &NodeProgram) -> Self {
        Self {
            base: old.revision,
            revision: new.revision,
            endpoints: Change::between(&old.endpoints, &new.endpoints),
            classes: Change::between(&old.classes, &new.classes),
            entries: Change::between(&old.entries, &new.entries),
            rows: Change::between(&old.rows, &new.rows),
            rules: Change::between(&old.rules, &new.rules),
            logged: Change::between(&old.logged, &new.logged),
            names: NameChange::between(&old.names, &new.names),
            hosts: Change::between(&old.hosts, &new.hosts),
            to_host: (old.to_host != new.to_host).then_some(new.to_host),
        }
    }

    /// Whether nothing but the revision moves.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
            && self.classes.is_empty()
            && self.entries.is_empty()
            && self.rows.is_empty()
            && self.rules.is_empty()
            && self.logged.is_empty()
            && self.names.is_empty()
            && self.hosts.is_empty()
            && self.to_host.is_none()
    }

    /// Leaves `program` untouched on error.
    pub fn apply(&self, program: &mut NodeProgram) -> Result<(), DeltaError> {
        if program.revision != self.base {
            return Err(DeltaError::WrongBase { expected: self.base, found: program.revision });
        }
        self.endpoints.apply(&mut program.endpoints);
        self.classes.apply(&mut program.classes);
        self.entries.apply(&mut program.entries);
        self.rows.apply(&mut program.rows);
        self.rules.apply(&mut program.rules);
        self.logged.apply(&mut program.logged);
        self.names.apply(&mut program.names);
        self.hosts.apply(&mut program.hosts);
        program.to_host = self.to_host.unwrap_or(program.to_host);
        program.revision = self.revision;
        Ok(())
    }
}
