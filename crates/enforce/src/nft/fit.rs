//! Whether a program fits, with every id defined; before anything is planned.

use bulkhead_wire::{ClassId, NodeProgram};
use ipnet::IpNet;

use super::diff::is_exact;
use super::moves::{Locals, Moved};
use crate::limits::MapSizes;
use crate::node::EnforceError;

/// Members of classes, of IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    exact: [u64; 2],
    nets: [u64; 2],
}

impl Counts {
    pub fn after(mut self, moved: &Moved<IpNet, ClassId>) -> Self {
        for (net, old, new) in moved {
            let counts = if is_exact(net) { &mut self.exact } else { &mut self.nets };
            if let Some(n) = counts.get_mut(usize::from(net.addr().is_ipv6())) {
                *n = (*n + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
            }
        }
        self
    }
}

pub fn check(
    program: &NodeProgram,
    locals: &Locals,
    counts: Counts,
    sizes: &MapSizes,
) -> Result<(), EnforceError> {
    for local in locals.values() {
        for id in [local.ingress, local.egress] {
            if !program.entries.contains_key(&(id, ClassId::OUTSIDE)) {
                return Err(dangling(program, format!("program {id}")));
            }
        }
    }
    let Counts { exact: [exact4, exact6], nets: [nets4, nets6] } = counts;
    for (map, needed, available) in [
        ("classes4", exact4, sizes.classes),
        ("classes6", exact6, sizes.classes),
        ("prefixes4", nets4, sizes.prefixes),
        ("prefixes6", nets6, sizes.prefixes),
        ("entries", program.entries.len() as u64, sizes.entries),
        ("rows", program.rows.len() as u64, sizes.rows),
        ("endpoints", locals.len() as u64, sizes.endpoints),
    ] {
        let available = u64::from(available);
        if needed > available {
            let revision = program.revision;
            return Err(EnforceError::Capacity { map, needed, available, revision });
        }
    }
    Ok(())
}

/// Whether there is room for so many addresses that are known by name.
pub fn check_named(
    program: &NodeProgram,
    n_named: usize,
    sizes: &MapSizes,
) -> Result<(), EnforceError> {
    let (needed, available) = (n_named as u64, u64::from(sizes.names));
    if needed <= available {
        return Ok(());
    }
    let revision = program.revision;
    Err(EnforceError::Capacity { map: "names", needed, available, revision })
}

pub fn dangling(program: &NodeProgram, what: String) -> EnforceError {
    EnforceError::Dangling { what, revision: program.revision }
}
