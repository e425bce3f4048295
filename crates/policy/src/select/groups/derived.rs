//! Groups whose addresses follow from facts other than labels of members: what stands behind a
//! service, what belongs to nodes, what was looked up.

use std::sync::Arc;

use bulkhead_types::{Protocol, Selector};
use bulkhead_wire::id::content_hash;

use super::{Content, GroupId, GroupKind, Groups};
use crate::rule::{DomainPattern, ServiceRef};

impl Groups {
    /// With ports the group has no members of its own, but atoms, as a port name has.
    pub fn acquire_service(&mut self, service: &ServiceRef, with_ports: bool) -> (GroupId, bool) {
        let word: &[u8] = if with_ports { b"service-ports" } else { b"service" };
        let content =
            content_hash([word, service.namespace.as_bytes(), b"/", service.name.as_bytes()]);
        self.acquire(
            GroupKind::Service { service: service.clone(), with_ports },
            Content::Known(content),
        )
    }

    pub fn acquire_nodes(&mut self, selector: &Selector) -> (GroupId, bool) {
        let content = content_hash([b"nodes".as_slice(), selector.canonical().as_bytes()]);
        self.acquire(GroupKind::Nodes(selector.clone()), Content::Known(content))
    }

    pub fn acquire_domains(&mut self, domains: &Arc<[DomainPattern]>) -> (GroupId, bool) {
        let text: Vec<&str> = domains.iter().map(|pattern| pattern.0.as_str()).collect();
        let content = content_hash([b"domains".as_slice(), text.join(",").as_bytes()]);
        self.acquire(GroupKind::Domains(Arc::clone(domains)), Content::Known(content))
    }

    /// The atom of a group for one port; made if need be.
    pub fn atom(&mut self, name: GroupId, protocol: Protocol, port: u16) -> GroupId {
        let key = (protocol, port);
        if let Some(&atom) = self.atoms.get(&name).and_then(|atoms| atoms.get(&key)) {
            return atom;
        }
        let [high, low] = port.to_be_bytes();
        let content = content_hash([
            b"atom".as_slice(),
            &self.content(name).to_be_bytes(),
            &[protocol.0, high, low],
        ]);
        let (atom, _) =
            self.acquire(GroupKind::Atom { name, protocol, port }, Content::Known(content));
        self.atoms.entry(name).or_default().insert(key, atom);
        atom
    }
}
