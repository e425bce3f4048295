//! `services`: the addresses, and in a destination the ports, behind a Service.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_api::calico::EntityRule;

use super::Notes;
use super::place::{End, Place};
use crate::rule::ServiceRef;

/// A service says all about its side: nothing that names addresses in another way may stand beside
/// it, nor may ports beside a destination.
pub fn read(
    entity: &EntityRule,
    place: Place,
    namespace: Option<&str>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<ServiceRef>> {
    let written = entity.services.as_ref()?;
    let at = format!("{field}.services");
    if !place.is_remote() {
        notes.error(&at, "only in the source of ingress rules and the destination of egress rules");
        return None;
    }
    let is_text = |text: &Option<String>| text.as_deref().is_some_and(|t| !t.trim().is_empty());
    let is_list = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let beside = [
        ("selector", is_text(&entity.selector)),
        ("notSelector", is_text(&entity.not_selector)),
        ("namespaceSelector", is_text(&entity.namespace_selector)),
        ("nets", is_list(&entity.nets)),
        ("notNets", is_list(&entity.not_nets)),
        ("serviceAccounts", entity.service_accounts.is_some()),
        ("domains", is_list(&entity.domains)),
    ];
    let is_destination = place.end == End::Destination;
    let ports = [
        ("ports", is_destination && entity.ports.as_ref().is_some_and(|list| !list.is_empty())),
        (
            "notPorts",
            is_destination && entity.not_ports.as_ref().is_some_and(|list| !list.is_empty()),
        ),
    ];
    for (name, _) in beside.into_iter().chain(ports).filter(|(_, is_set)| *is_set) {
        notes.error(&at, format!("a service and `{name}` exclude one another: use two rules"));
    }
    let name = written.name.clone().unwrap_or_default();
    if name.is_empty() {
        notes.error(format!("{at}.name"), "a service needs a name");
    }
    let own = written.namespace.as_deref().filter(|text| !text.is_empty()).or(namespace);
    if own.is_none() {
        let message = "a policy without a namespace must say that of the service";
        notes.error(format!("{at}.namespace"), message);
    }
    Some(Arc::new(ServiceRef { namespace: own.unwrap_or_default().to_owned(), name }))
}
