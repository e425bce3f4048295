//! The programs on the interfaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, TcAttachType};

use super::{FROM_WORKLOAD, Linux, TO_WORKLOAD, kernel};
use crate::node::EnforceError;

/// From the host side's view, what a workload sends comes in.
const SIDES: [(&str, TcAttachType, &str); 2] =
    [("in", TcAttachType::Ingress, FROM_WORKLOAD), ("out", TcAttachType::Egress, TO_WORKLOAD)];

impl Linux {
    /// Puts both programs on the interface, or replaces the ones that an earlier process put there,
    /// without a gap.
    pub fn attach(&mut self, ifindex: u32, name: &str) -> Result<(), EnforceError> {
        for (side, attach_type, program_name) in SIDES {
            let pin = self.link_pin(ifindex, side);
            if pin.exists() {
                match self.replace(&pin, program_name) {
                    Ok(()) => continue,
                    // The interface that the link was on is gone; its number was used again.
                    Err(error) => {
                        tracing::info!(%error, interface = name, "a pinned link is dead");
                        fs::remove_file(&pin)
                            .map_err(|error| kernel("remove a dead link's pin", &error))?;
                    }
                }
            }
            self.attach_new(name, attach_type, program_name, &pin)?;
        }
        Ok(())
    }

    fn replace(&mut self, pin: &PathBuf, program_name: &str) -> Result<(), EnforceError> {
        let action = "replace the program in a pinned link";
        let pinned = PinnedLink::from_pin(pin).map_err(|error| kernel(action, &error))?;
        let link = SchedClassifierLink::try_from(FdLink::from(pinned))
            .map_err(|error| kernel(action, &error))?;
        let program = self.program(program_name)?;
        let id = program.attach_to_link(link).map_err(|error| kernel(action, &error))?;
        // The pin holds the link; what aya keeps would detach nothing, but need not be kept.
        let link = program.take_link(id).map_err(|error| kernel(action, &error))?;
        drop(FdLink::try_from(link).map_err(|error| kernel(action, &error))?);
        Ok(())
    }

    fn attach_new(
        &mut self,
        name: &str,
        attach_type: TcAttachType,
        program_name: &str,
        pin: &PathBuf,
    ) -> Result<(), EnforceError> {
        let action = format!("attach `{program_name}` to the interface `{name}`");
        let program = self.program(program_name)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(name, attach_type, options)
            .map_err(|error| kernel(&action, &error))?;
        let link = program.take_link(id).map_err(|error| kernel(&action, &error))?;
        let link = FdLink::try_from(link).map_err(|error| kernel(&action, &error))?;
        link.pin(pin).map_err(|error| kernel(&action, &error))?;
        Ok(())
    }

    /// Forgets links of interfaces that are not among `alive`.
    pub fn prune_links(&mut self, alive: &BTreeSet<u32>) -> Result<(), EnforceError> {
        let folder = self.pin_dir.join("links");
        let entries = fs::read_dir(&folder).map_err(|error| kernel("list the links", &error))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ifindex = name.split_once('-').and_then(|(number, _)| number.parse().ok());
            if ifindex.is_none_or(|ifindex: u32| !alive.contains(&ifindex)) {
                fs::remove_file(entry.path())
                    .map_err(|error| kernel("remove a link's pin", &error))?;
            }
        }
        Ok(())
    }

    fn link_pin(&self, ifindex: u32, side: &str) -> PathBuf {
        self.pin_dir.join("links").join(format!("{ifindex}-{side}"))
    }
}
