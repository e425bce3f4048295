//! The join and the words of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{EndpointId, Revision};

use super::{
    Codec, MessageError, Problem, address, address_bytes, bounded, endpoint_id,
    endpoint_id_message, labels, labels_message, required, text, text_up_to,
};
use crate::delta::ProgramDelta;
use crate::limits;
use crate::message as m;
use crate::program::NodeProgram;
use crate::session::{
    Ack, FromNode, Hello, JoinRequest, JoinResponse, Nack, NodeStatus, Surroundings, ToNode,
    Welcome,
};

impl Codec for JoinRequest {
    type Message = m::JoinRequest;

    fn to_message(&self) -> m::JoinRequest {
        m::JoinRequest {
            version: self.version,
            node: self.node.clone(),
            token: self.token.clone(),
            certificate_request: self.certificate_request.clone(),
        }
    }

    fn from_message(message: m::JoinRequest) -> Result<Self, MessageError> {
        Ok(Self {
            version: message.version,
            node: text("node", message.node)?,
            token: text("token", message.token)?,
            certificate_request: certificate("certificate_request", message.certificate_request)?,
        })
    }
}

impl Codec for JoinResponse {
    type Message = m::JoinResponse;

    fn to_message(&self) -> m::JoinResponse {
        m::JoinResponse { certificate: self.certificate.clone(), authority: self.authority.clone() }
    }

    fn from_message(message: m::JoinResponse) -> Result<Self, MessageError> {
        Ok(Self {
            certificate: certificate("certificate", message.certificate)?,
            authority: certificate("authority", message.authority)?,
        })
    }
}

impl Codec for FromNode {
    type Message = m::FromNode;

    fn to_message(&self) -> m::FromNode {
        let word = match self {
            FromNode::Hello(hello) => m::NodeWord::Hello(m::Hello {
                version: hello.version,
                node: hello.node.clone(),
                agent_version: hello.agent_version.clone(),
                holds: hello.holds.0,
                digest: hello.digest,
                enforces: hello.enforces.0,
                life: hello.life,
            }),
            FromNode::Ack(ack) => {
                m::NodeWord::Ack(m::Ack { revision: ack.revision.0, at_ns: ack.at_ns })
            }
            FromNode::Nack(nack) => m::NodeWord::Nack(m::Nack {
                revision: nack.revision.0,
                reason: shortened(&nack.reason),
            }),
            FromNode::Status(status) => m::NodeWord::Status(status_message(status)),
            FromNode::WantSnapshot { reason } => m::NodeWord::WantSnapshot(shortened(reason)),
            FromNode::Surroundings(found) => m::NodeWord::Surroundings(surroundings_message(found)),
        };
        m::FromNode { word: Some(word) }
    }

    fn from_message(message: m::FromNode) -> Result<Self, MessageError> {
        Ok(match required("word", message.word)? {
            m::NodeWord::Hello(hello) => {
                FromNode::Hello(read_hello(hello).map_err(|error| error.within("hello"))?)
            }
            m::NodeWord::Ack(ack) => {
                FromNode::Ack(Ack { revision: Revision(ack.revision), at_ns: ack.at_ns })
            }
            m::NodeWord::Nack(nack) => FromNode::Nack(Nack {
                revision: Revision(nack.revision),
                reason: text_up_to("nack.reason", nack.reason, limits::REASON_BYTES_MAX)?,
            }),
            m::NodeWord::Status(status) => {
                FromNode::Status(read_status(status).map_err(|error| error.within("status"))?)
            }
            m::NodeWord::WantSnapshot(reason) => FromNode::WantSnapshot {
                reason: text_up_to("want_snapshot", reason, limits::REASON_BYTES_MAX)?,
            },
            m::NodeWord::Surroundings(found) => {
                let found = surroundings(found).map_err(|error| error.within("surroundings"))?;
                FromNode::Surroundings(found)
            }
        })
    }
}

impl Codec for ToNode {
    type Message = m::ToNode;

    fn to_message(&self) -> m::ToNode {
        let word = match self {
            ToNode::Welcome(welcome) => m::ServerWord::Welcome(m::Welcome { life: welcome.life }),
            ToNode::Program(program) => m::ServerWord::Program(program.to_message()),
            ToNode::Delta(delta) => m::ServerWord::Delta(delta.to_message()),
        };
        m::ToNode { word: Some(word) }
    }

    fn from_message(message: m::ToNode) -> Result<Self, MessageError> {
        Ok(match required("word", message.word)? {
            m::ServerWord::Welcome(welcome) => ToNode::Welcome(Welcome { life: welcome.life }),
            m::ServerWord::Program(program) => {
                let program =
                    NodeProgram::from_message(program).map_err(|error| error.within("program"))?;
                ToNode::Program(Arc::new(program))
            }
            m::ServerWord::Delta(delta) => {
                let delta =
                    ProgramDelta::from_message(delta).map_err(|error| error.within("delta"))?;
                ToNode::Delta(Arc::new(delta))
            }
        })
    }
}

fn certificate(field: &str, pem: String) -> Result<String, MessageError> {
    text_up_to(field, pem, limits::CERTIFICATE_BYTES_MAX)
}

fn read_hello(hello: m::Hello) -> Result<Hello, MessageError> {
    Ok(Hello {
        version: hello.version,
        node: text("node", hello.node)?,
        agent_version: text("agent_version", hello.agent_version)?,
        holds: Revision(hello.holds),
        digest: hello.digest,
        enforces: Revision(hello.enforces),
        life: hello.life,
    })
}

fn status_message(status: &NodeStatus) -> m::NodeStatus {
    m::NodeStatus {
        enforced: status.enforced.0,
        enforced_at_ns: status.enforced_at_ns,
        n_attached: status.n_attached,
        n_waiting: status.n_waiting,
        waiting: status
            .waiting
            .iter()
            .take(limits::WAITING_NAMED_MAX)
            .map(endpoint_id_message)
            .collect(),
        flows_lost: status.flows_lost,
        log_events_suppressed: status.log_events_suppressed,
        drift: status.drift.iter().take(limits::DRIFT_MAX).map(|text| shortened(text)).collect(),
    }
}

fn read_status(status: m::NodeStatus) -> Result<NodeStatus, MessageError> {
    bounded("waiting", &status.waiting, limits::WAITING_NAMED_MAX)?;
    bounded("drift", &status.drift, limits::DRIFT_MAX)?;
    let waiting = status
        .waiting
        .into_iter()
        .enumerate()
        .map(|(index, id)| endpoint_id(id).map_err(|error| error.within_item("waiting", index)))
        .collect::<Result<_, _>>()?;
    let drift = status
        .drift
        .into_iter()
        .map(|text| text_up_to("drift", text, limits::REASON_BYTES_MAX))
        .collect::<Result<_, _>>()?;
    Ok(NodeStatus {
        enforced: Revision(status.enforced),
        enforced_at_ns: status.enforced_at_ns,
        n_attached: status.n_attached,
        n_waiting: status.n_waiting,
        waiting,
        flows_lost: status.flows_lost,
        log_events_suppressed: status.log_events_suppressed,
        drift,
    })
}

fn surroundings_message(found: &Surroundings) -> m::Surroundings {
    let given = found.given.iter().take(limits::ENDPOINTS_MAX);
    m::Surroundings {
        labels: labels_message(&found.labels),
        given: given
            .map(|(id, addresses)| m::GivenAddresses {
                id: Some(endpoint_id_message(id)),
                addresses: addresses.iter().map(|address| address_bytes(*address)).collect(),
            })
            .collect(),
    }
}

fn surroundings(message: m::Surroundings) -> Result<Surroundings, MessageError> {
    bounded("given", &message.given, limits::ENDPOINTS_MAX)?;
    let mut given = BTreeMap::new();
    for (index, one) in message.given.into_iter().enumerate() {
        let (id, addresses) = given_addresses(one).map_err(|e| e.within_item("given", index))?;
        if given.insert(id, addresses).is_some() {
            return Err(MessageError::new(&format!("given[{index}]"), Problem::Duplicate));
        }
    }
    Ok(Surroundings { labels: labels("labels", message.labels)?, given })
}

fn given_addresses(
    message: m::GivenAddresses,
) -> Result<(EndpointId, BTreeSet<IpAddr>), MessageError> {
    let id = required("id", message.id)
        .and_then(|id| endpoint_id(id).map_err(|error| error.within("id")))?;
    bounded("addresses", &message.addresses, limits::ADDRESSES_PER_ENDPOINT_MAX)?;
    let addresses = message.addresses.iter().map(|bytes| address("addresses", bytes));
    Ok((id, addresses.collect::<Result<_, _>>()?))
}

/// Cut to what the other side accepts, at a character boundary.
fn shortened(reason: &str) -> String {
    reason
        .chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= limits::REASON_BYTES_MAX).then_some(c)
        })
        .collect()
}
