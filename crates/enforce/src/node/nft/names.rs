//! The back end learns names: held answers out of the kernel's log, what they say into the table's maps.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Instant;

use bulkhead_enforce_abi::Heard;
use bulkhead_wire::NodeProgram;

use super::{LEVELS_AFTER, Nft};
use crate::events::boot_now_ns;
use crate::nft::conntrack::Tracked;
use crate::nft::hear::Hearers;
use crate::nft::named::{named, row_of};
use crate::nft::table::Wanted;
use crate::node::EnforceError;
use crate::node::names::{Hearing, Learner};
use crate::realized::unmapped;

/// Reads before others get their turn.
const TURN_MAX: usize = 512;

impl Nft {
    /// Takes what resolvers have answered. Says whether there may be more.
    pub(super) fn listen_to_resolvers(&mut self) -> bool {
        for _ in 0..TURN_MAX {
            let Some((heard, is_complete)) = self.hear.take() else { return false };
            // Answers among them are lost.
            self.learner.report.n_unsent += u64::from(!is_complete);
            for (head, packet) in heard {
                self.take_heard(&head, &packet);
            }
        }
        true
    }

    /// Whose answers are held: names make a difference to what judges them.
    pub(super) fn hearers(&self, program: &NodeProgram) -> Hearers {
        let sees = self.locals.iter();
        let sees = sees.filter(|(_, local)| program.names.programs.contains_key(&local.egress));
        sees.map(|(place, _)| *place).collect()
    }

    /// Makes the table anew, as it is meant to be.
    pub(super) fn restore(&mut self) -> Result<(), EnforceError> {
        let Some((program, bindings)) = self.program.clone() else {
            return self.table.restore(None);
        };
        let places = self.places(&program, &bindings);
        let named = named(&program, &places.locals, &self.lookers_at, &self.learner.cache);
        let program = self.said.with(&program);
        self.table.restore(Some(Wanted { program: &program, places, named }))
    }

    /// Forgets what has run out and no flow uses.
    pub(super) fn forget_unused(&mut self, flows: &[Tracked]) -> Result<(), EnforceError> {
        let now_ns = boot_now_ns();
        let run_out = self.learner.run_out(now_ns);
        let mut in_use = BTreeSet::new();
        if !run_out.is_empty() {
            for flow in flows.iter().filter(|flow| !flow.is_closed) {
                let looker = self.near.get(&flow.packet.src);
                in_use.extend(looker.map(|looker| (*looker, flow.packet.dst)));
            }
        }
        self.forget_names(run_out, &in_use, now_ns)
    }
}

impl Hearing for Nft {
    fn learner(&mut self) -> &mut Learner {
        &mut self.learner
    }

    fn looker_of(&self, head: &Heard) -> Option<u64> {
        self.lookers_at.get(&(head.ifindex, unmapped(head.key.local))).copied()
    }

    fn hold(&mut self, places: Vec<(u64, IpAddr)>) -> Result<(), EnforceError> {
        let mut moves = Vec::new();
        let Learner { program, bindings, lookers, cache, .. } = &self.learner;
        for (looker, far) in places {
            let Some((id, ifindex)) = lookers.get(&looker) else { continue };
            let tags = cache.tags(looker, far).cloned().unwrap_or_default();
            for near in bindings.get(id).into_iter().flat_map(|bound| bound.keys()) {
                let here = self.locals.get(&(*ifindex, *near));
                if let Some(local) = here.filter(|_| near.is_ipv4() == far.is_ipv4()) {
                    moves.push(((*ifindex, *near, far), row_of(program, (*local, far), &tags)));
                }
            }
        }
        if moves.is_empty() {
            return Ok(());
        }
        let mut learned = self.table.learn(&moves);
        if self.table.is_foreign() {
            learned = self.restore();
        }
        self.levels_at.get_or_insert(Instant::now() + LEVELS_AFTER);
        learned
    }

    fn send_on(&mut self, head: &Heard, frame: &[u8]) -> io::Result<()> {
        self.hear.send_on(head, frame)
    }
}
