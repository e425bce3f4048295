//! Programs and deltas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_types::{EndpointId, Mac, Revision, RuleRef, ToHost};
use ipnet::IpNet;

use super::host::{host_message, hosts, to_host, to_host_message};
use super::names;
use super::row::{row, row_message, rule, rule_message};
use super::{
    Codec, MessageError, Problem, address, address_bytes, bounded, endpoint_id,
    endpoint_id_message, labels, labels_message, number, required, text,
};
use crate::delta::{Change, ProgramDelta};
use crate::id::{ClassId, ProgramId, RowId, RuleId};
use crate::judged::{JudgedAddresses, Judges};
use crate::limits;
use crate::message as m;
use crate::program::{EndpointProgram, NodeProgram};
use crate::row::Row;

type EntryKey = (ProgramId, ClassId);

impl Codec for NodeProgram {
    type Message = m::NodeProgram;

    fn to_message(&self) -> m::NodeProgram {
        m::NodeProgram {
            revision: self.revision.0,
            endpoints: self.endpoints.values().map(|one| endpoint_message(one)).collect(),
            classes: self.classes.iter().map(class_message).collect(),
            entries: self.entries.iter().map(entry_message).collect(),
            rows: self.rows.iter().map(|(id, row)| row_message(id.0, row)).collect(),
            rules: self.rules.iter().map(named_rule_message).collect(),
            logged: self.logged.iter().map(logged_message).collect(),
            names: names::tables_message(&self.names),
            hosts: self.hosts.values().map(|one| host_message(one)).collect(),
            to_host: match self.to_host {
                ToHost::Drop => m::ToHost::Unspecified.into(),
                other => to_host_message(other),
            },
        }
    }

    fn from_message(message: m::NodeProgram) -> Result<Self, MessageError> {
        Ok(Self {
            revision: Revision(message.revision),
            endpoints: endpoints("endpoints", message.endpoints)?.into(),
            classes: classes("classes", message.classes)?.into(),
            entries: entries("entries", message.entries)?.into(),
            rows: rows("rows", message.rows)?.into(),
            rules: rules("rules", message.rules)?.into(),
            logged: logged("logged", message.logged)?.into(),
            names: names::tables(message.names).map_err(|error| error.within("names"))?,
            hosts: hosts("hosts", message.hosts)?.into(),
            to_host: to_host(message.to_host)?.unwrap_or_default(),
        })
    }
}

impl Codec for ProgramDelta {
    type Message = m::ProgramDelta;

    fn to_message(&self) -> m::ProgramDelta {
        let unset_entry =
            |(program, class): &EntryKey| m::Entry { program: program.0, class: class.0, row: 0 };
        m::ProgramDelta {
            base: self.base.0,
            revision: self.revision.0,
            set_endpoints: self.endpoints.set.values().map(|one| endpoint_message(one)).collect(),
            unset_endpoints: self.endpoints.unset.iter().map(endpoint_id_message).collect(),
            set_classes: self.classes.set.iter().map(class_message).collect(),
            unset_classes: self.classes.unset.iter().map(prefix_message).collect(),
            set_entries: self.entries.set.iter().map(entry_message).collect(),
            unset_entries: self.entries.unset.iter().map(unset_entry).collect(),
            set_rows: self.rows.set.iter().map(|(id, row)| row_message(id.0, row)).collect(),
            unset_rows: self.rows.unset.iter().map(|id| id.0).collect(),
            set_rules: self.rules.set.iter().map(named_rule_message).collect(),
            unset_rules: self.rules.unset.iter().map(|id| id.0).collect(),
            set_logged: self.logged.set.iter().map(logged_message).collect(),
            unset_logged: self.logged.unset.iter().map(|id| id.0).collect(),
            names: names::change_message(&self.names),
            set_hosts: self.hosts.set.values().map(|one| host_message(one)).collect(),
            unset_hosts: self.hosts.unset.iter().map(endpoint_id_message).collect(),
            to_host: self.to_host.map_or(m::ToHost::Unspecified.into(), to_host_message),
        }
    }

    fn from_message(message: m::ProgramDelta) -> Result<Self, MessageError> {
        let unset_rows = message.unset_rows.into_iter().map(|id| Ok(RowId(id)));
        let unset_rules = message.unset_rules.into_iter().map(|id| Ok(RuleId(id)));
        let unset_logged = message.unset_logged.into_iter().map(|id| Ok(RuleId(id)));
        let unset_entries =
            message.unset_entries.into_iter().map(|e| Ok((ProgramId(e.program), ClassId(e.class))));
        Ok(Self {
            base: Revision(message.base),
            revision: Revision(message.revision),
            endpoints: change(
                endpoints("set_endpoints", message.set_endpoints)?,
                message.unset_endpoints.into_iter().map(endpoint_id),
                ("unset_endpoints", limits::ENDPOINTS_MAX),
            )?,
            classes: change(
                classes("set_classes", message.set_classes)?,
                message.unset_classes.into_iter().map(prefix),
                ("unset_classes", limits::CLASSES_MAX),
            )?,
            entries: change(
                entries("set_entries", message.set_entries)?,
                unset_entries,
                ("unset_entries", limits::ENTRIES_MAX),
            )?,
            rows: change(
                rows("set_rows", message.set_rows)?,
                unset_rows,
                ("unset_rows", limits::ROWS_MAX),
            )?,
            rules: change(
                rules("set_rules", message.set_rules)?,
                unset_rules,
                ("unset_rules", limits::RULES_MAX),
            )?,
            logged: change(
                logged("set_logged", message.set_logged)?,
                unset_logged,
                ("unset_logged", limits::RULES_MAX),
            )?,
            names: names::name_change(message.names).map_err(|error| error.within("names"))?,
            hosts: change(
                hosts("set_hosts", message.set_hosts)?,
                message.unset_hosts.into_iter().map(endpoint_id),
                ("unset_hosts", limits::HOSTS_MAX),
            )?,
            to_host: to_host(message.to_host)?,
        })
    }
}

/// Holds INVARIANT(delta-disjoint).
pub(super) fn change<K: Ord + Clone, V>(
    set: BTreeMap<K, V>,
    unset: impl ExactSizeIterator<Item = Result<K, MessageError>>,
    (field, max): (&str, usize),
) -> Result<Change<K, V>, MessageError> {
    if unset.len() > max {
        return Err(MessageError::new(field, Problem::TooMany { count: unset.len(), max }));
    }
    let mut keys = Vec::with_capacity(unset.len());
    let mut seen = BTreeSet::new();
    for (index, key) in unset.enumerate() {
        let key = key.map_err(|error| error.within_item(field, index))?;
        let item = format!("{field}[{index}]");
        if set.contains_key(&key) {
            return Err(MessageError::new(&item, Problem::SetAndUnset));
        }
        if !seen.insert(key.clone()) {
            return Err(MessageError::new(&item, Problem::Duplicate));
        }
        keys.push(key);
    }
    Ok(Change { set: set.into(), unset: keys })
}

/// Reads a table: each key once, each fault with its index.
pub(super) fn table<M, K: Ord, V>(
    field: &str,
    messages: Vec<M>,
    max: usize,
    read: impl Fn(M) -> Result<(K, V), MessageError>,
) -> Result<BTreeMap<K, V>, MessageError> {
    bounded(field, &messages, max)?;
    let mut table = BTreeMap::new();
    for (index, message) in messages.into_iter().enumerate() {
        let (key, value) = read(message).map_err(|error| error.within_item(field, index))?;
        if table.insert(key, value).is_some() {
            return Err(MessageError::new(&format!("{field}[{index}]"), Problem::Duplicate));
        }
    }
    Ok(table)
}

fn endpoint_message(endpoint: &EndpointProgram) -> m::EndpointProgram {
    m::EndpointProgram {
        id: Some(endpoint_id_message(&endpoint.id)),
        labels: labels_message(&endpoint.labels),
        addresses: judged_messages(&endpoint.addresses),
        staged: judged_messages(&endpoint.staged),
        interface: endpoint.interface.clone(),
        mac: endpoint.mac.map(|mac| mac.octets().to_vec()).unwrap_or_default(),
    }
}

fn judged_messages(addresses: &JudgedAddresses) -> Vec<m::JudgedAddress> {
    let judged = addresses.iter().map(|(address, judges)| m::JudgedAddress {
        address: address_bytes(*address),
        ingress: judges.ingress.0,
        egress: judges.egress.0,
    });
    judged.collect()
}

fn judged(field: &str, messages: Vec<m::JudgedAddress>) -> Result<JudgedAddresses, MessageError> {
    let judged = table(field, messages, limits::ADDRESSES_PER_ENDPOINT_MAX, |judged| {
        let judges =
            Judges { ingress: ProgramId(judged.ingress), egress: ProgramId(judged.egress) };
        Ok((address("address", &judged.address)?, judges))
    })?;
    Ok(judged.into())
}

fn endpoints(
    field: &str,
    messages: Vec<m::EndpointProgram>,
) -> Result<BTreeMap<EndpointId, Arc<EndpointProgram>>, MessageError> {
    table(field, messages, limits::ENDPOINTS_MAX, |message| {
        let id = required("id", message.id)
            .and_then(|id| endpoint_id(id).map_err(|error| error.within("id")))?;
        let endpoint = EndpointProgram {
            id: id.clone(),
            labels: Arc::new(labels("labels", message.labels)?),
            addresses: judged("addresses", message.addresses)?,
            staged: judged("staged", message.staged)?,
            interface: message.interface.map(|name| text("interface", name)).transpose()?,
            mac: mac("mac", &message.mac)?,
        };
        Ok((id, Arc::new(endpoint)))
    })
}

fn mac(field: &str, bytes: &[u8]) -> Result<Option<Mac>, MessageError> {
    let wrong = || MessageError::new(field, Problem::Mac);
    let Ok(octets) = <[u8; 6]>::try_from(bytes) else {
        return if bytes.is_empty() { Ok(None) } else { Err(wrong()) };
    };
    Mac::try_from(octets).map(Some).map_err(|_| wrong())
}

pub(super) fn prefix_message(prefix: &IpNet) -> m::Prefix {
    m::Prefix { address: address_bytes(prefix.addr()), length: prefix.prefix_len().into() }
}

pub(super) fn prefix(message: m::Prefix) -> Result<IpNet, MessageError> {
    let address = address("address", &message.address)?;
    let longest = IpNet::from(address).prefix_len();
    let too_long = || {
        let problem = Problem::TooLarge { value: message.length.into(), max: longest.into() };
        MessageError::new("length", problem)
    };
    let length = number("length", message.length, u8::MAX)?;
    let net = IpNet::new(address, length).map_err(|_| too_long())?;
    if net.trunc() != net {
        return Err(MessageError::new("address", Problem::NotAPrefix));
    }
    Ok(net)
}

fn class_message((prefix, class): (&IpNet, &ClassId)) -> m::ClassMember {
    m::ClassMember { prefix: Some(prefix_message(prefix)), class: class.0 }
}

fn classes(
    field: &str,
    messages: Vec<m::ClassMember>,
) -> Result<BTreeMap<IpNet, ClassId>, MessageError> {
    table(field, messages, limits::CLASSES_MAX, |message| {
        let net = required("prefix", message.prefix)
            .and_then(|net| prefix(net).map_err(|error| error.within("prefix")))?;
        Ok((net, ClassId(message.class)))
    })
}

fn entry_message(((program, class), row): (&EntryKey, &RowId)) -> m::Entry {
    m::Entry { program: program.0, class: class.0, row: row.0 }
}

fn entries(
    field: &str,
    messages: Vec<m::Entry>,
) -> Result<BTreeMap<EntryKey, RowId>, MessageError> {
    table(field, messages, limits::ENTRIES_MAX, |message| {
        Ok(((ProgramId(message.program), ClassId(message.class)), RowId(message.row)))
    })
}

fn rows(field: &str, messages: Vec<m::Row>) -> Result<BTreeMap<RowId, Arc<Row>>, MessageError> {
    table(field, messages, limits::ROWS_MAX, |message| {
        Ok((RowId(message.id), Arc::new(row(message)?)))
    })
}

fn named_rule_message((id, rule): (&RuleId, &Arc<RuleRef>)) -> m::Rule {
    m::Rule { id: id.0, rule: Some(rule_message(rule)) }
}

fn rules(
    field: &str,
    messages: Vec<m::Rule>,
) -> Result<BTreeMap<RuleId, Arc<RuleRef>>, MessageError> {
    table(field, messages, limits::RULES_MAX, |message| {
        let source = required("rule", message.rule)
            .and_then(|source| rule(source).map_err(|error| error.within("rule")))?;
        Ok((RuleId(message.id), Arc::new(source)))
    })
}

fn logged_message((id, logged): (&RuleId, &Arc<[RuleId]>)) -> m::Logged {
    m::Logged { id: id.0, rules: logged.iter().map(|rule| rule.0).collect() }
}

fn logged(
    field: &str,
    messages: Vec<m::Logged>,
) -> Result<BTreeMap<RuleId, Arc<[RuleId]>>, MessageError> {
    table(field, messages, limits::RULES_MAX, |message| {
        bounded("rules", &message.rules, limits::LOGGED_PER_RULE_MAX)?;
        Ok((RuleId(message.id), message.rules.into_iter().map(RuleId).collect()))
    })
}
