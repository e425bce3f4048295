//! The programs on the interfaces.
//!
//! Every link is pinned, so that it outlives this process, and held open, so that it outlives the
//! removal of its pin.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

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

/// Who attaches at once: more than are likely to make interfaces at once, because the kernel's network lock
/// goes from one who waits to the next.
const ATTACHERS: usize = 16;

/// More links than this are checked in two turns.
const CHECKED_AT_ONCE_MAX: usize = 512;
/// Checking one takes the kernel's network lock. Where others hold it for long, because they make
/// interfaces, those must not wait for us in turn: the rest is checked later.
const CHECKED_FOR: Duration = Duration::from_millis(5);

/// Longer than any kernel's tick.
const TICK_MAX: Duration = Duration::from_millis(50);

/// A link that is to be.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    ifindex: u32,
    /// Of the interface.
    name: &'a str,
    side: &'static Side,
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
    /// Puts both programs on interfaces of workloads, or replaces the ones that an earlier process put
    /// there, without a gap. While the tables are not complete yet, the earlier ones go on judging.
    pub fn attach_all(&mut self, new: &[(u32, &str)]) -> Vec<(u32, Result<(), EnforceError>)> {
        let wanted = |(ifindex, name)| self.missing(ifindex, name, workload_sides());
        let wanted: Vec<Wanted<'_>> = new.iter().copied().flat_map(wanted).collect();
        let mut done: BTreeMap<u32, Result<(), EnforceError>> =
            new.iter().map(|(ifindex, _)| (*ifindex, Ok(()))).collect();
        for (ifindex, attached) in self.attach_wanted(&wanted) {
            if attached.is_err() {
                done.insert(ifindex, attached);
            }
        }
        done.into_iter().collect()
    }

    /// As [`Linux::attach_all`], on an interface of the node's own.
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
        let wanted = self.missing(ifindex, name, sides);
        self.attach_wanted(&wanted).into_iter().try_for_each(|(_, done)| done)
    }

    fn missing<'a>(
        &self,
        ifindex: u32,
        name: &'a str,
        sides: impl Iterator<Item = &'static Side>,
    ) -> Vec<Wanted<'a>> {
        let is_missing = |(side, ..): &&Side| !self.links.contains_key(&(ifindex, *side));
        sides.filter(is_missing).map(|side| Wanted { ifindex, name, side }).collect()
    }

    /// By several at once: each waits for the kernel's network lock, and so do those who make interfaces.
    fn attach_wanted(&mut self, wanted: &[Wanted<'_>]) -> Vec<(u32, Result<(), EnforceError>)> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let hurrying = self.hurry.begin();
        let attacher = Attacher { linux: self, folder: self.pin_dir.join("links") };
        let attach = |wanted: &[Wanted<'_>]| -> Vec<_> {
            wanted.iter().map(|one| (one.ifindex, one.side.0, attacher.attach(one))).collect()
        };
        let n_each = wanted.len().div_ceil(ATTACHERS);
        let (own, others) = wanted.split_at(n_each.min(wanted.len()));
        let attached = std::thread::scope(|scope| {
            let others: Vec<_> =
                others.chunks(n_each).map(|part| scope.spawn(move || attach(part))).collect();
            let mut attached = attach(own);
            for part in others {
                // Nothing must count as attached that is not.
                attached
                    .extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            attached
        });
        drop(hurrying);
        let keep = |(ifindex, side, link): (u32, &'static str, Result<OwnedFd, EnforceError>)| {
            (ifindex, link.map(|link| drop(self.links.insert((ifindex, side), link))))
        };
        attached.into_iter().map(keep).collect()
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

    /// Looks at links, where there are very many at one half after the other, and mends what can be mended
    /// here: a link that lost its program's place is forgotten, so that the next
    /// [`Linux::attach_all`] makes a new one.
    pub fn check_links(&mut self) -> Result<Vec<(u32, &'static str, LinkDrift)>, EnforceError> {
        let failed = |error: io::Error| kernel("check the links", &error);
        let own = self.program_ids()?;
        let unpinned = self.unpinned();
        let n_due = match self.links.len() {
            n if n > CHECKED_AT_ONCE_MAX => n.div_ceil(2),
            n => n,
        };
        let (first, last) = ((Bound::Unbounded, Bound::Unbounded), self.checked_to);
        let rest = last.map_or(first, |last| (Bound::Excluded(last), Bound::Unbounded));
        let due = self.links.range(rest).chain(self.links.range(first)).take(n_due);
        let began = Instant::now();
        let mut checked_to = None;
        let mut found = Vec::new();
        for ((ifindex, side), link) in due {
            if began.elapsed() > CHECKED_FOR {
                break;
            }
            checked_to = Some((*ifindex, *side));
            let number = SIDES.iter().position(|(name, ..)| name == side).unwrap_or(0);
            let info = bpf_link::info(link.as_fd()).map_err(failed)?;
            if info.ifindex == 0 {
                found.push((*ifindex, *side, LinkDrift::Detached));
                continue;
            }
            if Some(&info.program) != own.get(number) && !self.is_staged() {
                let Some((.., program)) = SIDES.get(number) else { continue };
                let program = self.program_fd(program).map_err(failed)?;
                bpf_link::replace(link.as_fd(), program).map_err(failed)?;
                found.push((*ifindex, *side, LinkDrift::Replaced));
            }
        }
        self.checked_to = checked_to;
        for (ifindex, side) in unpinned {
            let Some(link) = self.links.get(&(ifindex, side)) else { continue };
            if !found.contains(&(ifindex, side, LinkDrift::Detached)) {
                super::pins::make_folder(&self.pin_dir.join("links"))?;
                bpf_link::pin(link.as_fd(), &self.link_pin(ifindex, side)).map_err(failed)?;
                found.push((ifindex, side, LinkDrift::Unpinned));
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

    /// Links without a pin. The folder is listed only after something in it has changed.
    fn unpinned(&mut self) -> Vec<(u32, &'static str)> {
        let folder = self.pin_dir.join("links");
        let now = SystemTime::now();
        let changed = fs::metadata(&folder).and_then(|folder| folder.modified()).ok();
        if changed.is_some() && changed == self.pins_listed_of {
            return Vec::new();
        }
        let pinned = self.pinned_links();
        let unpinned: Vec<_> =
            self.links.keys().filter(|at| !pinned.contains(at)).copied().collect();
        // What comes within the same tick of the kernel's clock leaves the time as it is.
        let is_over = |at: &SystemTime| now.duration_since(*at).is_ok_and(|since| since > TICK_MAX);
        self.pins_listed_of = changed.filter(|at| unpinned.is_empty() && is_over(at));
        unpinned
    }

    /// What is pinned under the names of links.
    fn pinned_links(&self) -> HashSet<(u32, &'static str)> {
        let entries = fs::read_dir(self.pin_dir.join("links")).into_iter().flatten().flatten();
        let place = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let (ifindex, side) = name.to_str()?.split_once('-')?;
            let (side, ..) = SIDES.iter().find(|(known, ..)| *known == side)?;
            Some((ifindex.parse().ok()?, *side))
        };
        entries.filter_map(place).collect()
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

    /// Forgets links of interfaces that are no more, and their pins.
    pub fn forget_links(&mut self, is_alive: impl Fn(u32) -> bool) -> Result<(), EnforceError> {
        let is_gone = |(ifindex, _): &(u32, &'static str), _: &mut OwnedFd| !is_alive(*ifindex);
        let gone: Vec<_> = self.links.extract_if(.., is_gone).map(|(place, _)| place).collect();
        for (ifindex, side) in gone {
            remove_pin(&self.link_pin(ifindex, side))?;
        }
        Ok(())
    }

    /// Removes pins of interfaces that are no more, whoever made them.
    pub fn prune_pins(&self, is_alive: impl Fn(u32) -> bool) -> Result<(), EnforceError> {
        for entry in fs::read_dir(self.pin_dir.join("links")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ifindex = name.split_once('-').and_then(|(number, _)| number.parse().ok());
            if !ifindex.is_some_and(&is_alive) {
                remove_pin(&entry.path())?;
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

fn remove_pin(path: &Path) -> Result<(), EnforceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(kernel("remove a link's pin", &error))
        }
        _ => Ok(()),
    }
}

/// What several threads need to make links.
struct Attacher<'a> {
    linux: &'a Linux,
    folder: PathBuf,
}

impl Attacher<'_> {
    fn attach(&self, wanted: &Wanted<'_>) -> Result<OwnedFd, EnforceError> {
        let (_, _, program) = wanted.side;
        self.attach_side(wanted).map_err(|error| {
            kernel(&format!("attach `{program}` to the interface `{}`", wanted.name), &error)
        })
    }

    fn attach_side(&self, Wanted { ifindex, side, .. }: &Wanted<'_>) -> io::Result<OwnedFd> {
        let (side, hook, program) = side;
        let pin = self.folder.join(format!("{ifindex}-{side}"));
        if let Some(link) = self.adopt(*ifindex, &pin, program)? {
            return Ok(link);
        }
        let link = bpf_link::attach(self.linux.program_fd(program)?, *ifindex, *hook)?;
        bpf_link::pin(link.as_fd(), &pin)?;
        Ok(link)
    }

    /// The pinned link, if it still is on this interface. A dead one's pin is removed: the interface
    /// that it was on is gone, and its number was used again.
    fn adopt(&self, ifindex: u32, pin: &Path, program: &str) -> io::Result<Option<OwnedFd>> {
        if !pin.exists() {
            return Ok(None);
        }
        let link = bpf_link::open(pin)?;
        if bpf_link::info(link.as_fd())?.ifindex != ifindex {
            fs::remove_file(pin)?;
            return Ok(None);
        }
        if !self.linux.is_staged() {
            bpf_link::replace(link.as_fd(), self.linux.program_fd(program)?)?;
        }
        Ok(Some(link))
    }
}
