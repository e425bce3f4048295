//! One node's whole intent, as tables.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_types::{EndpointId, Labels, Revision, RuleRef};
use ipnet::IpNet;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::id::{ClassId, ProgramId, RowId, RuleId};
use crate::row::Row;

/// The two programs that judge one address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judges {
    pub ingress: ProgramId,
    pub egress: ProgramId,
}

/// An endpoint of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointProgram {
    pub id: EndpointId,
    /// For flow records only; never an input to a decision.
    pub labels: Labels,
    /// Every address of the endpoint with the programs that judge it. A packet from or to an
    /// address that is not listed here does not pass the endpoint's interface.
    pub addresses: BTreeMap<IpAddr, Judges>,
    /// The host-side interface, where the API names it; otherwise the node finds it by address.
    pub interface: Option<String>,
}

/// Everything a node needs to judge any packet of its own endpoints, and nothing else.
///
/// INVARIANT(program-closed): every id that is used is defined: judges name programs, entries name
/// rows, leaves name rules, and every program has an entry for [`ClassId::OUTSIDE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgram {
    pub revision: Revision,
    pub endpoints: BTreeMap<EndpointId, EndpointProgram>,
    /// Class by address: a full-length prefix is an exact address, shorter ones match by longest
    /// prefix. An address that no prefix covers is [`ClassId::OUTSIDE`].
    pub classes: BTreeMap<IpNet, ClassId>,
    /// `(program, class)` to row. A class that a program cannot tell from the outside has no entry
    /// of its own: the entry of [`ClassId::OUTSIDE`] answers.
    pub entries: BTreeMap<(ProgramId, ClassId), RowId>,
    pub rows: BTreeMap<RowId, Row>,
    pub rules: BTreeMap<RuleId, RuleRef>,
}

impl NodeProgram {
    /// Content without the revision, as 64 bits: equal programs have equal digests in every process.
    pub fn digest(&self) -> u64 {
        let unnumbered = crate::message::NodeProgram { revision: 0, ..self.to_message() };
        crate::id::content_hash([unnumbered.encode_to_vec().as_slice()])
    }
}
