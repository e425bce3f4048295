//! What has moved, as elements of one bank's maps that go and come.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId};
use ipnet::IpNet;

use super::hosts::HostElements;
use super::intervals::difference;
use super::maps::{self, banked};
use super::moves::{Local, Moves};
use super::numbers::{Fresh, Ids};
use super::objects::{Change, Element, MapShape};

/// In the order of [`HostElements`].
const HOST_MAPS: [&MapShape; 5] =
    [&maps::HOST, &maps::HOST_NET4, &maps::HOST_NET6, &maps::SAFE4, &maps::SAFE6];

/// Elements that go and come, by map.
#[derive(Debug)]
pub struct Diff {
    pub maps: Vec<(&'static MapShape, Vec<Element>, Vec<Element>)>,
    /// No packet can see half of it.
    pub is_whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Ingress,
    Egress,
    Asks,
    Mac,
}

/// A bank's maps but those of hosts. `was` and `program`: before and after the moves.
pub fn diff(
    ids: &Ids,
    was: &NodeProgram,
    program: &NodeProgram,
    moves: &Moves,
    fresh: &Fresh,
) -> Diff {
    let mut diff = Diff { maps: Vec::new(), is_whole: true };
    diff.entries(ids, moves, fresh);
    diff.classes(ids, moves);
    diff.nets(ids, was, program, moves);
    diff.locals(ids, moves);
    diff
}

impl Diff {
    pub fn hosts(&mut self, old: &HostElements, new: &HostElements) {
        for ((shape, old), new) in HOST_MAPS.into_iter().zip(old).zip(new) {
            if old == new {
                continue;
            }
            let (old_set, new_set): (BTreeSet<&Element>, BTreeSet<&Element>) =
                (old.iter().collect(), new.iter().collect());
            let gone: Vec<Element> = old_set.difference(&new_set).copied().cloned().collect();
            let come: Vec<Element> = new_set.difference(&old_set).copied().cloned().collect();
            self.is_whole &= gone.is_empty() && come.is_empty();
            self.push(shape, gone, come);
        }
    }

    fn locals(&mut self, ids: &Ids, moves: &Moves) {
        self.is_whole &= moves.locals.iter().all(|(_, old, new)| old.is_none() || new.is_none());
        for is_ipv4 in [true, false] {
            let of_family = |of4, of6| if is_ipv4 { of4 } else { of6 };
            for (shape, what) in [
                (of_family(&maps::IN4, &maps::IN6), What::Ingress),
                (of_family(&maps::OUT4, &maps::OUT6), What::Egress),
                (of_family(&maps::ASKS4, &maps::ASKS6), What::Asks),
                (of_family(&maps::MAC4, &maps::MAC6), What::Mac),
            ] {
                let (mut gone, mut come) = (Vec::new(), Vec::new());
                for (place, old, new) in &moves.locals {
                    if place.1.is_ipv4() == is_ipv4 {
                        gone.extend(old.and_then(|local| local_element(ids, what, place, &local)));
                        come.extend(new.and_then(|local| local_element(ids, what, place, &local)));
                    }
                }
                self.push(shape, gone, come);
            }
        }
    }

    fn classes(&mut self, ids: &Ids, moves: &Moves) {
        for (shape, is_ipv4) in [(&maps::CLASS4, true), (&maps::CLASS6, false)] {
            let (mut gone, mut come) = (Vec::new(), Vec::new());
            for (net, old, new) in &moves.classes {
                if !is_exact(net) || net.addr().is_ipv4() != is_ipv4 {
                    continue;
                }
                self.is_whole &= old.is_none() || new.is_none();
                let element = |class: &ClassId| Element {
                    key: octets(net.addr()),
                    value: Some(ids.class(*class)),
                };
                gone.extend(old.as_ref().map(element));
                come.extend(new.as_ref().map(element));
            }
            self.push(shape, gone, come);
        }
    }

    fn nets(&mut self, ids: &Ids, was: &NodeProgram, program: &NodeProgram, moves: &Moves) {
        for (shape, is_ipv4) in [(&maps::NET4, true), (&maps::NET6, false)] {
            let is_ours = |net: &&IpNet| !is_exact(net) && net.addr().is_ipv4() == is_ipv4;
            let nets: Vec<IpNet> =
                moves.classes.iter().map(|(net, ..)| net).filter(is_ours).copied().collect();
            if nets.is_empty() {
                continue;
            }
            self.is_whole = false;
            let number = |class| ids.class(class);
            let (gone, come) = difference(&was.classes, &program.classes, &nets, &number);
            self.push(shape, gone, come);
        }
    }

    fn entries(&mut self, ids: &Ids, moves: &Moves, fresh: &Fresh) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for ((program, class), old, new) in &moves.entries {
            let is_new = fresh.classes.contains(class) || fresh.programs.contains(program);
            self.is_whole &= old.is_none() && is_new;
            let element = |row: &RowId| entry(ids, (*program, *class), *row);
            gone.extend(old.as_ref().map(element));
            come.extend(new.as_ref().map(element));
        }
        self.push(&maps::ENTRY, gone, come);
    }

    fn push(&mut self, shape: &'static MapShape, gone: Vec<Element>, come: Vec<Element>) {
        if !gone.is_empty() || !come.is_empty() {
            self.maps.push((shape, gone, come));
        }
    }

    pub fn write(&self, change: &mut Change<'_>, bank: u8) {
        for (shape, gone, come) in &self.maps {
            let name = banked(shape.name, bank);
            change.remove_elements(&name, gone);
            change.add_elements(&name, come);
        }
    }
}

fn entry(ids: &Ids, (program, class): (ProgramId, ClassId), row: RowId) -> Element {
    let key = [ids.class(class).to_ne_bytes(), ids.program(program).to_ne_bytes()].concat();
    Element { key, value: Some(ids.row(row)) }
}

fn local_element(ids: &Ids, what: What, place: &(u32, IpAddr), local: &Local) -> Option<Element> {
    let mut key = [&place.0.to_ne_bytes()[..], &octets(place.1)].concat();
    let value = match what {
        What::Ingress => ids.program(local.ingress),
        What::Egress => ids.program(local.egress),
        What::Asks => local.mac.map(|_| 1)?,
        What::Mac => {
            key.extend(local.mac?.octets());
            key.extend([0; 2]);
            1
        }
    };
    Some(Element { key, value: Some(value) })
}

pub fn is_exact(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
