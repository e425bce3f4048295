//! Bytes to words and back: the only door between [`crate::message`] and the types of this crate.
//!
//! INVARIANT(codec-total): any bytes give a value that keeps its type's invariants, or an error that
//! names the field; nothing panics, nothing is silently dropped, counts and texts are bounded.

mod flow;
mod host;
mod names;
mod program;
mod row;
mod session;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use bulkhead_types::{EndpointId, EndpointKind, Labels};
use prost::Message;

use crate::limits;
use crate::message as m;

/// A type that travels.
pub trait Codec: Sized {
    type Message: Message + Default + 'static;

    fn to_message(&self) -> Self::Message;

    fn from_message(message: Self::Message) -> Result<Self, MessageError>;

    fn encode(&self) -> Vec<u8> {
        self.to_message().encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong { bytes: bytes.len() });
        }
        Ok(Self::from_message(Self::Message::decode(bytes)?)?)
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message has {bytes} bytes, more than {}", limits::MESSAGE_BYTES_MAX)]
    TooLong { bytes: usize },
    #[error("not a message of this protocol: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// What is wrong, and where, as a path such as `endpoints[3].addresses[0].address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    pub field: String,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("is not set")]
    Missing,
    #[error("is {value}, more than {max}")]
    TooLarge { value: u64, max: u64 },
    #[error("holds {count}, more than {max}")]
    TooMany { count: usize, max: usize },
    #[error("names no known value ({value})")]
    UnknownValue { value: i32 },
    #[error("has {bytes} bytes: an address has 4 or 16")]
    NotAnAddress { bytes: usize },
    #[error("is no link address of one interface")]
    Mac,
    #[error("has bits beyond its length")]
    NotAPrefix,
    #[error("says again what an earlier one says")]
    Duplicate,
    #[error("is both set and unset")]
    SetAndUnset,
    #[error("do not start at 0, are not in order, or repeat one another")]
    NotTotal,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.problem)
    }
}

impl std::error::Error for MessageError {}

impl MessageError {
    fn new(field: &str, problem: Problem) -> Self {
        Self { field: field.to_owned(), problem }
    }

    /// Seen from the message that has this one as its field.
    fn within(mut self, field: &str) -> Self {
        self.field = format!("{field}.{}", self.field);
        self
    }

    fn within_item(self, field: &str, index: usize) -> Self {
        self.within(&format!("{field}[{index}]"))
    }
}

// === scalars that many messages share ===

fn required<T>(field: &str, value: Option<T>) -> Result<T, MessageError> {
    value.ok_or_else(|| MessageError::new(field, Problem::Missing))
}

fn text(field: &str, value: String) -> Result<String, MessageError> {
    text_up_to(field, value, limits::TEXT_BYTES_MAX)
}

fn text_up_to(field: &str, value: String, max: usize) -> Result<String, MessageError> {
    if value.len() > max {
        let problem = Problem::TooLarge { value: value.len() as u64, max: max as u64 };
        return Err(MessageError::new(field, problem));
    }
    Ok(value)
}

fn bounded<T>(field: &str, items: &[T], max: usize) -> Result<(), MessageError> {
    if items.len() > max {
        return Err(MessageError::new(field, Problem::TooMany { count: items.len(), max }));
    }
    Ok(())
}

fn number<T: TryFrom<u32> + Into<u64>>(field: &str, value: u32, max: T) -> Result<T, MessageError> {
    T::try_from(value).map_err(|_| {
        MessageError::new(field, Problem::TooLarge { value: value.into(), max: max.into() })
    })
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(field: &str, bytes: &[u8]) -> Result<IpAddr, MessageError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes)
        .map(IpAddr::from)
        .map_err(|_| MessageError::new(field, Problem::NotAnAddress { bytes: bytes.len() }))
}

fn endpoint_id_message(id: &EndpointId) -> m::EndpointId {
    let kind = match id.kind {
        EndpointKind::Pod => m::EndpointKind::Pod,
        EndpointKind::Workload => m::EndpointKind::Workload,
        EndpointKind::Host => m::EndpointKind::Host,
    };
    m::EndpointId { kind: kind.into(), namespace: id.namespace.clone(), name: id.name.clone() }
}

fn endpoint_id(id: m::EndpointId) -> Result<EndpointId, MessageError> {
    let kind = match m::EndpointKind::try_from(id.kind) {
        Ok(m::EndpointKind::Pod) => EndpointKind::Pod,
        Ok(m::EndpointKind::Workload) => EndpointKind::Workload,
        Ok(m::EndpointKind::Host) => EndpointKind::Host,
        _ => return Err(MessageError::new("kind", Problem::UnknownValue { value: id.kind })),
    };
    Ok(EndpointId {
        kind,
        namespace: text("namespace", id.namespace)?,
        name: text("name", id.name)?,
    })
}

fn labels_message(labels: &Labels) -> Vec<m::Label> {
    labels.iter().map(|(key, value)| m::Label { key: key.clone(), value: value.clone() }).collect()
}

fn labels(field: &str, messages: Vec<m::Label>) -> Result<Labels, MessageError> {
    bounded(field, &messages, limits::LABELS_MAX)?;
    let mut labels = Labels::new();
    for (index, label) in messages.into_iter().enumerate() {
        let at = |e: MessageError| e.within_item(field, index);
        let key = text("key", label.key).map_err(at)?;
        let value = text("value", label.value).map_err(at)?;
        if labels.insert(key, value).is_some() {
            return Err(at(MessageError::new("key", Problem::Duplicate)));
        }
    }
    Ok(labels)
}
