//! Host endpoints and the settings of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_types::{EndpointId, FailsafePort, HostInterface, HostStage, Protocol, ToHost};

use super::program::{prefix, prefix_message, table};
use super::row::{direction, direction_message};
use super::{
    MessageError, Problem, address, address_bytes, bounded, endpoint_id, endpoint_id_message,
    labels, labels_message, number, required, text,
};
use crate::host::{HostProgram, Locals, Stages};
use crate::id::ProgramId;
use crate::limits;
use crate::message as m;

pub(super) fn host_message(host: &HostProgram) -> m::HostProgram {
    let stage = |((stage, direction), locals): (&(HostStage, _), &Locals)| m::HostJudge {
        stage: stage_message(*stage),
        direction: direction_message(*direction),
        locals: locals
            .iter()
            .map(|(prefix, program)| m::LocalProgram {
                prefix: Some(prefix_message(prefix)),
                program: program.0,
            })
            .collect(),
    };
    let ports = |ports: &[FailsafePort]| ports.iter().map(port_message).collect();
    m::HostProgram {
        id: Some(endpoint_id_message(&host.id)),
        labels: labels_message(&host.labels),
        interface: match &host.interface {
            HostInterface::All => "*".to_owned(),
            HostInterface::Named(name) => name.clone(),
            HostInterface::ByAddress => String::new(),
        },
        addresses: host.addresses.iter().map(|address| address_bytes(*address)).collect(),
        stages: host.stages.iter().map(stage).collect(),
        staged: host.staged.iter().map(stage).collect(),
        failsafe_inbound: ports(&host.failsafe_inbound),
        failsafe_outbound: ports(&host.failsafe_outbound),
    }
}

pub(super) fn hosts(
    field: &str,
    messages: Vec<m::HostProgram>,
) -> Result<BTreeMap<EndpointId, Arc<HostProgram>>, MessageError> {
    table(field, messages, limits::HOSTS_MAX, |message| {
        let id = required("id", message.id)
            .and_then(|id| endpoint_id(id).map_err(|error| error.within("id")))?;
        bounded("addresses", &message.addresses, limits::ADDRESSES_PER_ENDPOINT_MAX)?;
        let addresses = message.addresses.iter().map(|bytes| address("addresses", bytes));
        let interface = match text("interface", message.interface)?.as_str() {
            "*" => HostInterface::All,
            "" => HostInterface::ByAddress,
            name => HostInterface::Named(name.to_owned()),
        };
        let host = HostProgram {
            id: id.clone(),
            labels: labels("labels", message.labels)?,
            interface,
            addresses: addresses.collect::<Result<_, _>>()?,
            stages: stages("stages", message.stages)?,
            staged: stages("staged", message.staged)?,
            failsafe_inbound: ports("failsafe_inbound", message.failsafe_inbound)?,
            failsafe_outbound: ports("failsafe_outbound", message.failsafe_outbound)?,
        };
        Ok((id, Arc::new(host)))
    })
}

fn stages(field: &str, messages: Vec<m::HostJudge>) -> Result<Stages, MessageError> {
    table(field, messages, 2 * HostStage::ALL.len(), |judge| {
        let locals = table("locals", judge.locals, limits::CLASSES_MAX, |local| {
            let net = required("prefix", local.prefix)
                .and_then(|net| prefix(net).map_err(|error| error.within("prefix")))?;
            Ok((net, ProgramId(local.program)))
        })?;
        Ok(((stage(judge.stage)?, direction(judge.direction)?), locals))
    })
}

fn port_message(port: &FailsafePort) -> m::FailsafePort {
    m::FailsafePort {
        protocol: port.protocol.0.into(),
        port: port.port.into(),
        net: port.net.as_ref().map(prefix_message),
    }
}

fn ports(field: &str, messages: Vec<m::FailsafePort>) -> Result<Vec<FailsafePort>, MessageError> {
    bounded(field, &messages, limits::FAILSAFE_PORTS_MAX)?;
    let read = |message: m::FailsafePort| {
        Ok(FailsafePort {
            protocol: Protocol(number("protocol", message.protocol, u8::MAX)?),
            port: number("port", message.port, u16::MAX)?,
            net: message.net.map(prefix).transpose().map_err(|error| error.within("net"))?,
        })
    };
    let ports = messages.into_iter().enumerate();
    ports
        .map(|(index, message)| {
            read(message).map_err(|error: MessageError| error.within_item(field, index))
        })
        .collect()
}

fn stage_message(stage: HostStage) -> i32 {
    match stage {
        HostStage::Untracked => m::HostStage::Untracked,
        HostStage::PreDnat => m::HostStage::PreDnat,
        HostStage::Normal => m::HostStage::Normal,
        HostStage::Forward => m::HostStage::Forward,
    }
    .into()
}

fn stage(value: i32) -> Result<HostStage, MessageError> {
    Ok(match m::HostStage::try_from(value) {
        Ok(m::HostStage::Untracked) => HostStage::Untracked,
        Ok(m::HostStage::PreDnat) => HostStage::PreDnat,
        Ok(m::HostStage::Normal) => HostStage::Normal,
        Ok(m::HostStage::Forward) => HostStage::Forward,
        _ => return Err(MessageError::new("stage", Problem::UnknownValue { value })),
    })
}

pub(super) fn to_host_message(to_host: ToHost) -> i32 {
    match to_host {
        ToHost::Drop => m::ToHost::Drop,
        ToHost::Accept => m::ToHost::Accept,
        ToHost::Return => m::ToHost::Return,
    }
    .into()
}

/// `None` where nothing is said.
pub(super) fn to_host(value: i32) -> Result<Option<ToHost>, MessageError> {
    Ok(match m::ToHost::try_from(value) {
        Ok(m::ToHost::Unspecified) => None,
        Ok(m::ToHost::Drop) => Some(ToHost::Drop),
        Ok(m::ToHost::Accept) => Some(ToHost::Accept),
        Ok(m::ToHost::Return) => Some(ToHost::Return),
        Err(_) => return Err(MessageError::new("to_host", Problem::UnknownValue { value })),
    })
}
