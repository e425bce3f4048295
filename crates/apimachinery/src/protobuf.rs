//! Reading request bodies in Kubernetes' protobuf encoding.
//!
//! Typed Go clients send it without asking what the server accepts: `kubectl create namespace`, for
//! one. So the kinds that kubectl makes this way are understood, by tables of their fields; all
//! others are refused like any unknown encoding, and nothing is ever answered in protobuf.

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Value, json};

use crate::status::Status;

mod messages;
#[cfg(test)]
mod tests;

pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deepest nesting that is read; the tables do not go deeper either.
const DEPTH_MAX: usize = 16;

/// The fields of a message that are read; others are passed over.
pub(crate) struct Message(&'static [Field]);

pub(crate) struct Field {
    number: u32,
    /// As in JSON.
    name: &'static str,
    kind: Kind,
    many: bool,
    /// A pointer in Go: written only when set, so that its zero value counts.
    optional: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Integer,
    Boolean,
    /// `map<string, string>`, one entry at a time.
    TextMap,
    IntOrString,
    Time,
    Message(&'static Message),
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Wire(#[from] prost::DecodeError),
    #[error("a field is cut off")]
    Truncated,
    #[error("a text is not UTF-8")]
    Text,
    #[error("field {number} has an unexpected wire type")]
    WireType { number: u32 },
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

/// Reads one object as the JSON value that it stands for.
pub fn parse_object(bytes: &[u8]) -> Result<Value, Status> {
    let unreadable = |fault: Fault| {
        Status::bad_request(format!("the body is not protobuf of Kubernetes: {fault}"))
    };
    let Some(envelope) = bytes.strip_prefix(MAGIC) else {
        return Err(Status::bad_request("the body is not protobuf of Kubernetes: no `k8s` prefix"));
    };
    let (type_meta, raw) = open(envelope).map_err(unreadable)?;
    let type_meta = messages::TYPE_META.read(type_meta, 0).map_err(unreadable)?;
    let text = |key: &str| type_meta.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(message) = messages::by_kind(api_version, kind) else {
        return Err(Status::unsupported_media_type(&["application/json", "application/yaml"]));
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    object.extend(message.read(raw, 0).map_err(unreadable)?);
    Ok(Value::Object(object))
}

/// `runtime.Unknown`: the type and the bytes of the object.
fn open(mut envelope: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    while envelope.has_remaining() {
        match decode_key(&mut envelope)? {
            (1, WireType::LengthDelimited) => type_meta = delimited(&mut envelope)?,
            (2, WireType::LengthDelimited) => raw = delimited(&mut envelope)?,
            (number, wire) => {
                skip_field(wire, number, &mut envelope, DecodeContext::default())?;
            }
        }
    }
    Ok((type_meta, raw))
}

impl Message {
    pub(crate) const fn new(fields: &'static [Field]) -> Self {
        Self(fields)
    }

    fn read(&self, mut bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Depth);
        }
        let mut object = Map::new();
        while bytes.has_remaining() {
            let (number, wire) = decode_key(&mut bytes)?;
            let Some(field) = self.0.iter().find(|field| field.number == number) else {
                skip_field(wire, number, &mut bytes, DecodeContext::default())?;
                continue;
            };
            let value = match wire {
                WireType::Varint => field.varint(decode_varint(&mut bytes)?)?,
                WireType::LengthDelimited => field.delimited(delimited(&mut bytes)?, depth)?,
                _ => return Err(Fault::WireType { number }),
            };
            field.put(&mut object, value);
        }
        Ok(object)
    }
}

impl Field {
    pub(crate) const fn one(number: u32, name: &'static str, kind: Kind) -> Self {
        Self { number, name, kind, many: false, optional: false }
    }

    pub(crate) const fn optional(number: u32, name: &'static str, kind: Kind) -> Self {
        Self { number, name, kind, many: false, optional: true }
    }

    pub(crate) const fn many(number: u32, name: &'static str, kind: Kind) -> Self {
        Self { number, name, kind, many: true, optional: false }
    }

    fn varint(&self, raw: u64) -> Result<Value, Fault> {
        match self.kind {
            Kind::Boolean => Ok(json!(raw != 0)),
            // Negative numbers are written as their two's complement in 64 bits.
            Kind::Integer => Ok(json!(i64::from_le_bytes(raw.to_le_bytes()))),
            _ => Err(Fault::WireType { number: self.number }),
        }
    }

    fn delimited(&self, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        let read = |message: &Message| message.read(bytes, depth + 1);
        Ok(match self.kind {
            Kind::Text => json!(std::str::from_utf8(bytes).map_err(|_| Fault::Text)?),
            Kind::TextMap => Value::Object(read(&messages::MAP_ENTRY)?),
            Kind::Message(message) => Value::Object(read(message)?),
            Kind::IntOrString => int_or_string(&read(&messages::INT_OR_STRING)?),
            Kind::Time => time(&read(&messages::TIME)?),
            Kind::Boolean | Kind::Integer => {
                return Err(Fault::WireType { number: self.number });
            }
        })
    }

    /// Leaves out what Go writes although it is not set: empty texts, zeros, empty messages.
    fn put(&self, object: &mut Map<String, Value>, value: Value) {
        if let Kind::TextMap = self.kind {
            let entries = object.entry(self.name).or_insert_with(|| json!({}));
            let part = |key: &str| value.get(key).cloned().unwrap_or_else(|| json!(""));
            if let (Some(entries), Value::String(key)) = (entries.as_object_mut(), part("key")) {
                entries.insert(key, part("value"));
            }
        } else if self.many {
            let items = object.entry(self.name).or_insert_with(|| json!([]));
            if let Some(items) = items.as_array_mut() {
                items.push(value);
            }
        } else if self.optional || !is_zero(&value) {
            object.insert(self.name.to_owned(), value);
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Array(_) => false,
    }
}

fn int_or_string(fields: &Map<String, Value>) -> Value {
    let is_text = fields.get("type").and_then(Value::as_i64) == Some(1);
    let (name, unset) = if is_text { ("strVal", json!("")) } else { ("intVal", json!(0)) };
    fields.get(name).cloned().unwrap_or(unset)
}

/// RFC 3339; null when unset, which is how Go writes a time that is not there.
fn time(fields: &Map<String, Value>) -> Value {
    let seconds = fields.get("seconds").and_then(Value::as_i64).filter(|seconds| *seconds > 0);
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(|time| json!(crate::meta::time(time))).unwrap_or_default()
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let length = usize::try_from(decode_varint(bytes)?).map_err(|_| Fault::Truncated)?;
    let (head, tail) = bytes.split_at_checked(length).ok_or(Fault::Truncated)?;
    *bytes = tail;
    Ok(head)
}
