//! Flow records.

use std::sync::Arc;

use bulkhead_types::names::NAME_LENGTH_MAX;
use bulkhead_types::{Names, Packet, Protocol, Revision, RuleRef, Verdict};

use super::row::{decision, decision_message, direction, direction_message, rule, rule_message};
use super::{
    Codec, MessageError, Problem, address, address_bytes, bounded, endpoint_id,
    endpoint_id_message, labels, labels_message, number, required, text, text_up_to,
};
use crate::flow::{FlowEvent, FlowRecord, Peer};
use crate::limits;
use crate::message as m;
use crate::session::{FlowBatch, FlowReceipt};

impl Codec for FlowRecord {
    type Message = m::FlowRecord;

    fn to_message(&self) -> m::FlowRecord {
        m::FlowRecord {
            node: self.node.to_string(),
            event: event_message(self.event),
            reporter: Some(endpoint_id_message(&self.reporter)),
            direction: direction_message(self.direction),
            packet: Some(packet_message(&self.packet)),
            src: self.src.as_ref().map(|peer| peer_message(peer)),
            dst: self.dst.as_ref().map(|peer| peer_message(peer)),
            decision: decision_message(self.verdict.decision),
            rule: Some(rule_message(&self.verdict.rule)),
            revision: self.revision.0,
            packets_forward: self.packets_forward,
            bytes_forward: self.bytes_forward,
            packets_reverse: self.packets_reverse,
            bytes_reverse: self.bytes_reverse,
            started_ns: self.started_ns,
            seen_ns: self.seen_ns,
            names: self.names.iter().map(str::to_owned).collect(),
            logged: self.verdict.logged.iter().map(rule_message).collect(),
        }
    }

    fn from_message(message: m::FlowRecord) -> Result<Self, MessageError> {
        let reporter = required("reporter", message.reporter)
            .and_then(|id| endpoint_id(id).map_err(|error| error.within("reporter")))?;
        let packet = required("packet", message.packet)
            .and_then(|one| packet(one).map_err(|error| error.within("packet")))?;
        let rule = required("rule", message.rule)
            .and_then(|one| rule(one).map_err(|error| error.within("rule")))?;
        Ok(Self {
            node: text("node", message.node)?.into(),
            event: event(message.event)?,
            reporter: Arc::new(reporter),
            direction: direction(message.direction)?,
            packet,
            src: peer("src", message.src)?,
            dst: peer("dst", message.dst)?,
            names: names(message.names)?,
            verdict: Arc::new(Verdict {
                decision: decision(message.decision)?,
                rule,
                logged: logged(message.logged)?,
            }),
            revision: Revision(message.revision),
            packets_forward: message.packets_forward,
            bytes_forward: message.bytes_forward,
            packets_reverse: message.packets_reverse,
            bytes_reverse: message.bytes_reverse,
            started_ns: message.started_ns,
            seen_ns: message.seen_ns,
        })
    }
}

impl Codec for FlowBatch {
    type Message = m::FlowBatch;

    fn to_message(&self) -> m::FlowBatch {
        m::FlowBatch {
            boot: self.boot,
            sequence: self.sequence,
            records: self.records.iter().map(Codec::to_message).collect(),
        }
    }

    fn from_message(message: m::FlowBatch) -> Result<Self, MessageError> {
        bounded("records", &message.records, limits::FLOWS_PER_BATCH_MAX)?;
        let records = message
            .records
            .into_iter()
            .enumerate()
            .map(|(index, record)| {
                FlowRecord::from_message(record)
                    .map_err(|error| error.within_item("records", index))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { boot: message.boot, sequence: message.sequence, records })
    }
}

impl Codec for FlowReceipt {
    type Message = m::FlowReceipt;

    fn to_message(&self) -> m::FlowReceipt {
        m::FlowReceipt { sequence: self.sequence }
    }

    fn from_message(message: m::FlowReceipt) -> Result<Self, MessageError> {
        Ok(Self { sequence: message.sequence })
    }
}

fn event_message(event: FlowEvent) -> i32 {
    match event {
        FlowEvent::New => m::FlowEvent::New,
        FlowEvent::Denied => m::FlowEvent::Denied,
        FlowEvent::LateDenied => m::FlowEvent::LateDenied,
        FlowEvent::Ended => m::FlowEvent::Ended,
        FlowEvent::Update => m::FlowEvent::Update,
    }
    .into()
}

fn event(value: i32) -> Result<FlowEvent, MessageError> {
    Ok(match m::FlowEvent::try_from(value) {
        Ok(m::FlowEvent::New) => FlowEvent::New,
        Ok(m::FlowEvent::Denied) => FlowEvent::Denied,
        Ok(m::FlowEvent::LateDenied) => FlowEvent::LateDenied,
        Ok(m::FlowEvent::Ended) => FlowEvent::Ended,
        Ok(m::FlowEvent::Update) => FlowEvent::Update,
        _ => return Err(MessageError::new("event", Problem::UnknownValue { value })),
    })
}

fn logged(messages: Vec<m::RuleRef>) -> Result<Vec<RuleRef>, MessageError> {
    bounded("logged", &messages, limits::LOGGED_PER_RULE_MAX)?;
    let read =
        |(index, one)| rule(one).map_err(|error: MessageError| error.within_item("logged", index));
    messages.into_iter().enumerate().map(read).collect()
}

fn names(names: Vec<String>) -> Result<Names, MessageError> {
    bounded("names", &names, limits::NAMES_PER_FLOW_MAX)?;
    let names = names.into_iter().map(|name| text_up_to("names", name, NAME_LENGTH_MAX));
    names.collect::<Result<Vec<_>, _>>().map(Names::new)
}

fn peer_message(peer: &Peer) -> m::Peer {
    m::Peer { id: Some(endpoint_id_message(&peer.id)), labels: labels_message(&peer.labels) }
}

fn peer(field: &str, message: Option<m::Peer>) -> Result<Option<Arc<Peer>>, MessageError> {
    let Some(message) = message else { return Ok(None) };
    let read = |message: m::Peer| {
        let id = required("id", message.id)
            .and_then(|id| endpoint_id(id).map_err(|error| error.within("id")))?;
        let id = Arc::new(id);
        Ok(Arc::new(Peer { id, labels: Arc::new(labels("labels", message.labels)?) }))
    };
    read(message).map(Some).map_err(|error: MessageError| error.within(field))
}

fn packet_message(packet: &Packet) -> m::Packet {
    m::Packet {
        src: address_bytes(packet.src),
        dst: address_bytes(packet.dst),
        protocol: packet.protocol.0.into(),
        src_port: packet.src_port.into(),
        dst_port: packet.dst_port.into(),
        icmp_type: packet.icmp_type.into(),
        icmp_code: packet.icmp_code.into(),
    }
}

fn packet(message: m::Packet) -> Result<Packet, MessageError> {
    Ok(Packet {
        src: address("src", &message.src)?,
        dst: address("dst", &message.dst)?,
        protocol: Protocol(number("protocol", message.protocol, u8::MAX)?),
        src_port: number("src_port", message.src_port, u16::MAX)?,
        dst_port: number("dst_port", message.dst_port, u16::MAX)?,
        icmp_type: number("icmp_type", message.icmp_type, u8::MAX)?,
        icmp_code: number("icmp_code", message.icmp_code, u8::MAX)?,
    })
}
