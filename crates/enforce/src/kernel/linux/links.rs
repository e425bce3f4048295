//! The programs on the interfaces.
//!
//! Every link is pinned, so that it outlives this process, and held open, so that it outlives the
//! removal of its pin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::bpf_link::{self, Hook};
use super::{FROM_DRIVER, FROM_WIRE, FROM_WORKLOAD, Linux, TO_WIRE, TO_WORKLOAD, kernel};
use crate::node::EnforceError;

type Side = (&'static str, Hook, &'static str);

/// From the host side's view, what a workload sends comes in. The others are those of the node's own
/// interfaces.
const SIDES: [Side; 5] = [
    ("in", Hook::Ingress, FROM_WORKLOAD),
    ("out", Hook::Egress, TO_WORKLOAD),
    ("wire_in", Hook::Ingress, FROM_WIRE),
    ("wire_out", Hook::Egress, TO_WIRE),
    ("driver", Hook::Driver, FROM_DRIVER),
];

fn workload_sides() -> impl Iterator<Item = &'static Side> {
    SIDES.iter().take(2)
}

fn wire_sides() -> impl Iterator<Item = &'static Side> {
    SIDES.iter().skip(2).take(2)
}

fn driver_side() -> impl Iterator<Item = &'static Side> {
    SIDES.iter().skip(4)
}

/// Links by interface and side.
pub type Links = BTreeMap<(u32, &'static str), OwnedFd>;

/// What somebody else did to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkDrift {
    Detached,
    Replaced,
    Unpinned,
}

impl Linux {
    /// Puts both programs on the interface, or replaces the ones that an earlier process put there,
    /// without a gap. While the tables are not complete yet, the earlier ones go on judging.
    pub fn attach(&mut self, ifindex: u32, name: &str) -> Result<(), EnforceError> {
        self.attach_sides(ifindex, name, workload_sides())
    }

    /// As [`Linux::attach`], on an interface of the node's own.
    pub fn attach_wire(&mut self, ifindex: u32, name: &str) -> Result<(), EnforceError> {
        self.attach_sides(ifindex, name, wire_sides())
    }

    /// Puts the program of deny sets on an interface of the node's own.
    pub fn attach_driver(&mut self, ifindex: u32, name: &str) -> Result<(), EnforceError> {
        self.attach_sides(ifindex, name, driver_side())
    }

    /// Takes it away from everywhere but these.
    pub fn keep_drivers(&mut self, kept: &BTreeSet<u32>) {
        for (side, ..) in driver_side() {
            let is_idle = |(ifindex, of): &(u32, &str)| of == side && !kept.contains(ifindex);
            let idle: Vec<u32> = self.links.keys().filter(|k| is_idle(k)).map(|k| k.0).collect();
            for ifindex in idle {
                self.links.remove(&(ifindex, *side));
                // Whatever is left of it judges by an empty set.
                let _ = fs::remove_file(self.link_pin(ifindex, side));
            }
        }
    }

    fn attach_sides(
        &mut self,
        ifindex: u32,
        name: &str,
        sides: impl Iterator<Item = &'static Side>,
    ) -> Result<(), EnforceError> {
        for (side, hook, program) in sides {
            if !self.links.contains_key(&(ifindex, *side)) {
                self.attach_side(ifindex, (side, *hook, program)).map_err(|error| {
                    kernel(&format!("attach `{program}` to the interface `{name}`"), &error)
                })?;
            }
        }
        Ok(())
    }

    fn attach_side(
        &mut self,
        ifindex: u32,
        (side, hook, program): (&'static str, Hook, &str),
    ) -> io::Result<()> {
        let pin = self.link_pin(ifindex, side);
        let link = match self.adopt(ifindex, &pin, program)? {
            Some(link) => link,
            None => {
                let link = bpf_link::attach(self.program_fd(program)?, ifindex, hook)?;
                bpf_link::pin(link.as_fd(), &pin)?;
                link
            }
        };
        self.links.insert((ifindex, side), link);
        Ok(())
    }

    /// The pinned link, if it still is on this interface. A dead one's pin is removed: the interface
    /// that it was on is gone, and its number was used again.
    fn adopt(&self, ifindex: u32, pin: &PathBuf, program: &str) -> io::Result<Option<OwnedFd>> {
        if !pin.exists() {
            return Ok(None);
        }
        let link = bpf_link::open(pin)?;
        if bpf_link::info(link.as_fd())?.ifindex != ifindex {
            fs::remove_file(pin)?;
            return Ok(None);
        }
        if !self.is_staged() {
            bpf_link::replace(link.as_fd(), self.program_fd(program)?)?;
        }
        Ok(Some(link))
    }

    /// Puts our programs into every link that an earlier process left.
    pub(super) fn replace_all(&mut self) -> Result<(), EnforceError> {
        for ((ifindex, side), link) in &self.links {
            let Some((.., program)) = SIDES.iter().find(|(name, ..)| name == side) else {
                continue;
            };
            let action = || format!("replace the program in the link {ifindex}-{side}");
            let program = self.program_fd(program).map_err(|error| kernel(&action(), &error))?;
            match bpf_link::replace(link.as_fd(), program) {
                // Its interface is gone.
                Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
                done => done.map_err(|error| kernel(&action(), &error))?,
            }
        }
        Ok(())
    }

    /// Looks at every link, and mends what can be mended here: a link that lost its program's place
    /// is forgotten, so that the next [`Linux::attach`] makes a new one.
    pub fn check_links(&mut self) -> Result<Vec<(u32, &'static str, LinkDrift)>, EnforceError> {
        let failed = |error: io::Error| kernel("check the links", &error);
        let own = self.program_ids()?;
        let pinned: BTreeSet<String> = fs::read_dir(self.pin_dir.join("links"))
            .map(|entries| {
                let names = entries.flatten().map(|entry| entry.file_name());
                names.map(|name| name.to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default();
        let mut found = Vec::new();
        for (number, (side, _, program)) in SIDES.iter().enumerate() {
            let program_id = own.get(number).copied().unwrap_or(0);
            for ((ifindex, _), link) in self.links.iter().filter(|((_, of), _)| of == side) {
                let info = bpf_link::info(link.as_fd()).map_err(failed)?;
                if info.ifindex == 0 {
                    found.push((*ifindex, *side, LinkDrift::Detached));
                    continue;
                }
                if info.program != program_id && !self.is_staged() {
                    let program = self.program_fd(program).map_err(failed)?;
                    bpf_link::replace(link.as_fd(), program).map_err(failed)?;
                    found.push((*ifindex, *side, LinkDrift::Replaced));
                }
                if !pinned.contains(&format!("{ifindex}-{side}")) {
                    super::pins::make_folder(&self.pin_dir.join("links"))?;
                    bpf_link::pin(link.as_fd(), &self.link_pin(*ifindex, side)).map_err(failed)?;
                    found.push((*ifindex, *side, LinkDrift::Unpinned));
                }
            }
        }
        for (ifindex, side, what) in &found {
            if *what == LinkDrift::Detached {
                self.links.remove(&(*ifindex, *side));
                // It may have been removed as well.
                let _ = fs::remove_file(self.link_pin(*ifindex, side));
            }
        }
        Ok(found)
    }

    /// Interfaces that have both links.
    pub fn is_attached(&self, ifindex: u32) -> bool {
        workload_sides().all(|(side, ..)| self.links.contains_key(&(ifindex, *side)))
    }

    /// Interfaces that an earlier process put under enforcement, whatever they are called now.
    pub fn pinned_interfaces(&self) -> BTreeSet<u32> {
        let entries = fs::read_dir(self.pin_dir.join("links")).into_iter().flatten().flatten();
        let is_workload = |name: &str| workload_sides().any(|(side, ..)| *side == name);
        let alive = entries.filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.split_once('-').filter(|(_, side)| is_workload(side))?;
            let link = bpf_link::open(&entry.path()).ok()?;
            bpf_link::info(link.as_fd()).ok().map(|info| info.ifindex)
        });
        alive.filter(|ifindex| *ifindex != 0).collect()
    }

    /// Forgets links of interfaces that are not among `alive`.
    pub fn prune_links(&mut self, alive: &BTreeSet<u32>) -> Result<(), EnforceError> {
        self.links.retain(|(ifindex, _), _| alive.contains(ifindex));
        let folder = self.pin_dir.join("links");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ifindex = name.split_once('-').and_then(|(number, _)| number.parse().ok());
            if ifindex.is_none_or(|ifindex: u32| !alive.contains(&ifindex)) {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(kernel("remove a link's pin", &error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn link_pin(&self, ifindex: u32, side: &str) -> PathBuf {
        self.pin_dir.join("links").join(format!("{ifindex}-{side}"))
    }

    /// In the order of the sides.
    fn program_ids(&self) -> Result<Vec<u32>, EnforceError> {
        let id = |name| {
            if name == FROM_DRIVER {
                return super::driver_of(&self.ebpf)?
                    .info()
                    .map(|info| info.id())
                    .map_err(|error| kernel("ask for a program", &error));
            }
            let program = super::program_of(&self.ebpf, name)?;
            program
                .info()
                .map(|info| info.id())
                .map_err(|error| kernel("ask for a program", &error))
        };
        SIDES.iter().map(|(.., name)| id(name)).collect()
    }

    fn program_fd(&self, name: &str) -> io::Result<std::os::fd::BorrowedFd<'_>> {
        if name == FROM_DRIVER {
            let driver = super::driver_of(&self.ebpf).map_err(io::Error::other)?;
            return Ok(driver.fd().map_err(io::Error::other)?.as_fd());
        }
        let program = super::program_of(&self.ebpf, name).map_err(io::Error::other)?;
        Ok(program.fd().map_err(io::Error::other)?.as_fd())
    }
}
