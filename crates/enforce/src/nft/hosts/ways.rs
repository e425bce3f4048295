//! Every way in which a packet is judged for a host endpoint: the stage, the side of the node, and who
//! has opened the flow.

use bulkhead_types::{Direction, HostStage};

use crate::nft::expr::{End, Meta};
use crate::nft::judge::{NearEnd, WayIn};

/// Of the number that the map of hosts is asked for: the program that allows only what a rule allows.
pub const SAID: u32 = 0x10;
/// In a key of fail-safe ports, behind the port: the port is the sender's.
pub const ANSWER: u8 = 1;
/// Where a packet goes that an early rule allows, and where one goes that no early rule speaks of.
pub const EARLY: &str = "host-early";
pub const SILENCE: &str = "host-silence";

pub const fn code(stage: HostStage, direction: Direction) -> u32 {
    let stage = match stage {
        HostStage::Untracked => 0,
        HostStage::PreDnat => 1,
        HostStage::Normal => 2,
        HostStage::Forward => 3,
    };
    stage * 2 + if matches!(direction, Direction::Egress) { 1 } else { 0 }
}

pub fn stage_of(code: u32) -> Option<HostStage> {
    HostStage::ALL.get((code & !SAID) as usize / 2).copied()
}

const fn way(
    name: &'static str,
    is_in: bool,
    stage: HostStage,
    is_opener: bool,
    is_tracked: bool,
) -> WayIn {
    let direction = if is_opener { Direction::Egress } else { Direction::Ingress };
    WayIn {
        name,
        device: if is_in { Meta::Iif } else { Meta::Oif },
        near: if is_in { NearEnd::Destination } else { NearEnd::Source },
        is_opener,
        is_tracked,
        host: Some(code(stage, direction)),
        allow: End::Return,
        deny: None,
    }
}

/// The twin of an early way: what a rule allows goes on marked, everything else as it came.
const fn said(name: &'static str, of: WayIn) -> WayIn {
    let host = match of.host {
        Some(code) => Some(code | SAID),
        None => None,
    };
    WayIn { name, host, allow: End::Goto(EARLY), deny: Some(SILENCE), ..of }
}

pub const UNTRACKED_IN: WayIn = way("host-untracked-in", true, HostStage::Untracked, false, false);
pub const UNTRACKED_OUT: WayIn =
    way("host-untracked-out", false, HostStage::Untracked, true, false);
pub const PRE_DNAT_IN: WayIn = way("host-prednat-in", true, HostStage::PreDnat, false, false);
pub const SAID_IN: WayIn = said("host-said-untracked-in", UNTRACKED_IN);
pub const SAID_OUT: WayIn = said("host-said-untracked-out", UNTRACKED_OUT);
pub const SAID_DNAT: WayIn = said("host-said-prednat-in", PRE_DNAT_IN);
const EARLY_WAYS: [WayIn; 6] =
    [UNTRACKED_IN, UNTRACKED_OUT, PRE_DNAT_IN, SAID_IN, SAID_OUT, SAID_DNAT];

/// A later stage at one side of the node.
pub struct Late {
    pub name: &'static str,
    pub base: &'static str,
    pub device: Meta,
    pub stage: HostStage,
    pub turns: [WayIn; 3],
}

const fn late(
    name: &'static str,
    base: &'static str,
    is_in: bool,
    stage: HostStage,
    [itself, opener, replier]: [&'static str; 3],
) -> Late {
    Late {
        name,
        base,
        device: if is_in { Meta::Iif } else { Meta::Oif },
        stage,
        turns: [
            way(itself, is_in, stage, !is_in, false),
            way(opener, is_in, stage, true, true),
            way(replier, is_in, stage, false, true),
        ],
    }
}

pub const LATES: [Late; 4] = [
    late(
        "host-normal-in",
        "input",
        true,
        HostStage::Normal,
        ["host-normal-in-itself", "host-normal-in-opener", "host-normal-in-replier"],
    ),
    late(
        "host-normal-out",
        "output",
        false,
        HostStage::Normal,
        ["host-normal-out-itself", "host-normal-out-opener", "host-normal-out-replier"],
    ),
    late(
        "host-forward-in",
        "forward",
        true,
        HostStage::Forward,
        ["host-forward-in-itself", "host-forward-in-opener", "host-forward-in-replier"],
    ),
    late(
        "host-forward-out",
        "forward",
        false,
        HostStage::Forward,
        ["host-forward-out-itself", "host-forward-out-opener", "host-forward-out-replier"],
    ),
];

pub fn ways() -> Vec<WayIn> {
    LATES.iter().flat_map(|late| late.turns).chain(EARLY_WAYS).collect()
}
