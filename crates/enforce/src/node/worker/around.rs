//! The worker follows interfaces, routes and what is at the other end of the interfaces.

use std::collections::BTreeMap;

use super::{Wanted, Worker};
use crate::netlink::far::Moved;
use crate::netlink::{Heard, Topology};
use crate::node::EnforceError;
use crate::node::backend::Backend;
use crate::node::given::{GivenInterface, NewInterface};

/// Everything is listed anew once in so many looks, whatever was told.
const LOOKS_PER_LIST: u32 = 25;

/// The one that judges now.
fn judging<'a>(
    backend: &'a mut Box<dyn Backend>,
    retiring: &'a mut Option<Box<dyn Backend>>,
) -> &'a mut dyn Backend {
    retiring.as_mut().unwrap_or(backend).as_mut()
}

impl Worker {
    /// Something was told of links, addresses or routes.
    pub(super) fn hear(&mut self) {
        let heard = self.monitor.drain();
        self.try_to_look(heard);
        self.adopt();
    }

    /// Something has moved in containers' namespaces.
    pub(super) fn look_far(&mut self, moved: Moved) {
        let mut heard = self.monitor.drain();
        let (near, is_moved) = self.far.hear(moved, &mut self.kept.topology.peers);
        heard.extend(near);
        self.have_peers_moved |= is_moved;
        self.try_to_look(heard);
        self.adopt();
    }

    pub(super) fn try_to_look(&mut self, heard: Heard) {
        if let Err(error) = self.look_around(heard) {
            // What was told is used up; what does not fit will not fit before something moves.
            self.is_behind |= matches!(error, EnforceError::Kernel { .. });
            tracing::warn!(%error, "interfaces could not be followed; trying again");
        }
    }

    /// Takes in what was told. What has appeared is closed before anything else that takes time.
    pub(super) fn look_around(&mut self, heard: Heard) -> Result<(), EnforceError> {
        if self.kept.wants_list(&heard) || self.retiring.is_some() {
            self.close_new(&heard);
        }
        self.is_behind |= self.kept.hear(heard, &self.known)?;
        let topology = &mut self.kept.topology;
        let given = std::mem::take(&mut topology.given);
        topology.give(&self.given);
        self.is_behind |= given != topology.given;
        let is_new = !topology.interfaces.keys().eq(&self.attached);
        // What the interfaces stand on counts too: bridges, and the node's own links.
        if is_new || self.is_behind {
            self.follow_and_look(is_new)?;
        } else {
            let Topology { far, peers, .. } = topology;
            self.have_peers_moved |= self.far.look(far, peers);
        }
        if !self.is_behind && !self.have_peers_moved {
            return Ok(());
        }
        let wanted = if self.is_behind { Wanted::Whole } else { Wanted::IfPlacesMove };
        let program = self.program.clone();
        let realized = program.map_or(Ok(()), |program| self.realize(&program, wanted));
        // What does not fit will not fit before something moves.
        self.is_behind = matches!(realized, Err(EnforceError::Kernel { .. }));
        self.have_peers_moved = false;
        realized?;
        self.report();
        Ok(())
    }

    /// Closes what is new, and reads what is at its other end meanwhile: both wait for the kernel's network
    /// lock.
    fn follow_and_look(&mut self, is_new: bool) -> Result<(), EnforceError> {
        let mut peers = std::mem::take(&mut self.kept.topology.peers);
        let (topology, far) = (&self.kept.topology, &mut self.far);
        let judging = judging(&mut self.backend, &mut self.retiring);
        let (attached, have_moved) = std::thread::scope(|scope| {
            let mut look = || far.look(&topology.far, &mut peers);
            if !is_new {
                let have_moved = look();
                return (judging.follow(topology), have_moved);
            }
            let looking = scope.spawn(look);
            let attached = judging.follow(topology);
            let have_moved =
                looking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (attached, have_moved)
        });
        self.kept.topology.peers = peers;
        self.have_peers_moved |= have_moved;
        let attached = attached?;
        self.is_behind |= attached != self.attached;
        self.attached = attached;
        self.known.clone_from(&self.attached);
        Ok(())
    }

    fn close_new(&mut self, heard: &Heard) {
        let is_new = |(ifindex, name): &(u32, &str)| {
            let mut prefixes = self.options.interface_prefixes.iter();
            !self.attached.contains(ifindex) && prefixes.any(|p| name.starts_with(p.as_str()))
        };
        let new: BTreeMap<u32, &str> = heard.links().filter(is_new).collect();
        if !new.is_empty() {
            self.backend.close_early(&new);
        }
    }

    pub(super) fn attach(&mut self, new: &NewInterface) -> Result<GivenInterface, EnforceError> {
        // The interface was made before this was asked, so what it is called has been told.
        let heard = self.monitor.drain();
        self.look_around(heard)?;
        let given = new.find(&self.kept.topology.links, &mut self.far)?;
        self.given.insert(given.ifindex, given.clone());
        self.known.insert(given.ifindex);
        self.look_around(Heard::default())?;
        // What else was told meanwhile is told once.
        self.adopt();
        if !self.attached.contains(&given.ifindex) {
            self.given.remove(&given.ifindex);
            return Err(EnforceError::Kernel {
                action: format!("enforce the interface `{}`", given.name),
                message: "nothing could be attached to it".to_owned(),
            });
        }
        Ok(given)
    }

    /// Mends what somebody else changed, and binds what has waited long enough.
    pub(super) fn look_after(&mut self) {
        let topology = &self.kept.topology;
        match judging(&mut self.backend, &mut self.retiring).mend(topology) {
            Ok(drift) => {
                self.reports.send_if_modified(|report| {
                    std::mem::replace(&mut report.drift, drift.clone()) != drift
                });
            }
            Err(error) => tracing::warn!(%error, "drift could not be mended; trying again"),
        }
        self.n_looks = self.n_looks.wrapping_add(1);
        if self.n_looks.is_multiple_of(LOOKS_PER_LIST) {
            // What was never told is seen.
            self.try_to_look(Heard::nothing_sure());
        } else if self.is_behind || !self.kept.topology.interfaces.keys().eq(&self.attached) {
            let heard = self.monitor.drain();
            self.try_to_look(heard);
        }
        self.adopt();
        if self.moves.wait()
            && let Some(program) = self.program.clone()
        {
            if let Err(error) = self.realize(&program, Wanted::IfPlacesMove) {
                self.is_behind = true;
                tracing::warn!(%error, "an address that moved is not bound yet");
            }
            self.report();
        }
    }
}
