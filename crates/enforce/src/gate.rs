//! The gate of a host at boot: until its agent enforces a program, only fail-safe traffic passes.
//!
//! It is a table of nftables of its own, because it has to stand before any program is there, and is
//! put up and taken away in one transaction each. It judges whoever is spoken to from outside and whoever
//! speaks from here; the loopback, neighbour discovery and answers to what passes go on.

use std::fs::File;
use std::path::{Path, PathBuf};

use bulkhead_types::{Direction, FailsafePort};
use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};

use crate::nft::chains::{HOOK_FORWARD, HOOK_INPUT, HOOK_OUTPUT};
use crate::nft::expr::{Compare, Ct, End, Header, Meta, Rule, r};
use crate::nft::objects::{Change, INET};
use crate::nft::socket::Socket;
use crate::nft::table::Table;
use crate::node::EnforceError;

/// As `nft list tables` shows it.
pub const TABLE: &str = "bulkhead-boot-gate";
/// Behind connection tracking, before what administrators usually have.
const PRIORITY: i32 = -150;

const ICMPV6: u8 = 58;
/// Router and neighbour messages.
const NEIGHBOUR_TYPES: [u8; 2] = [133, 137];
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const INTERFACE_NAME_BYTES: usize = 16;
const FAMILY4: u8 = 2;
const FAMILY6: u8 = 10;

/// What passes a closed gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failsafe {
    pub inbound: Vec<FailsafePort>,
    pub outbound: Vec<FailsafePort>,
}

/// Puts the gate up, or another one in its place.
pub fn close(netns: Option<&Path>, failsafe: &Failsafe) -> Result<(), EnforceError> {
    let mut change = Change::new(TABLE, INET);
    // Deleting what is not there fails, so it is made first; all of this is one transaction.
    change.make_table();
    change.delete_table();
    change.make_table();
    for (chain, hook) in [("input", HOOK_INPUT), ("output", HOOK_OUTPUT), ("forward", HOOK_FORWARD)]
    {
        change.make_base_chain(chain, hook, PRIORITY, None);
    }
    let sides = [
        ("input", Meta::IifName, Direction::Ingress, &failsafe.inbound),
        ("output", Meta::OifName, Direction::Egress, &failsafe.outbound),
    ];
    for (chain, interface, direction, ports) in sides {
        for rule in always(interface) {
            change.add_rule(chain, rule.end(End::Accept));
        }
        for port in ports {
            change.add_rule(chain, of_port(port, direction).end(End::Accept));
        }
    }
    for chain in ["input", "output", "forward"] {
        change.add_rule(chain, Rule::new().end(End::Drop));
    }
    within(netns, move || Socket::open()?.commit("close the boot gate", &change.batch))
}

/// Takes the gate away. Whether there was one.
pub fn open(netns: Option<&Path>) -> Result<bool, EnforceError> {
    within(netns, open_here)
}

/// As [`open`], in the network namespace of the calling thread.
pub(crate) fn open_here() -> Result<bool, EnforceError> {
    if !Table::exists(TABLE)? {
        return Ok(false);
    }
    let mut change = Change::new(TABLE, INET);
    change.delete_table();
    Socket::open()?.commit("open the boot gate", &change.batch)?;
    Ok(true)
}

/// What passes whatever the ports.
fn always(interface: Meta) -> [Rule; 3] {
    let mut loopback = [0; INTERFACE_NAME_BYTES];
    for (place, byte) in loopback.iter_mut().zip(b"lo") {
        *place = *byte;
    }
    let known = ESTABLISHED_OR_RELATED.to_ne_bytes();
    let [first, last] = NEIGHBOUR_TYPES;
    [
        Rule::new().meta(interface, r(0)).equals(r(0), &loopback),
        Rule::new().ct(Ct::State, None, r(0)).bits(r(0), r(0), &known, &[0; 4]).compare(
            r(0),
            Compare::Unequal,
            &[0; 4],
        ),
        Rule::new()
            .meta(Meta::L4Protocol, r(0))
            .equals(r(0), &[ICMPV6])
            .payload(Header::Transport, 0, 1, r(1))
            .range(r(1), &[first], &[last]),
    ]
}

fn of_port(port: &FailsafePort, direction: Direction) -> Rule {
    let mut rule = Rule::new();
    if let Some(net) = &port.net {
        rule = of_net(rule, net, direction);
    }
    rule = rule.meta(Meta::L4Protocol, r(4)).equals(r(4), &[port.protocol.0]);
    if port.protocol.has_ports() {
        rule = rule.payload(Header::Transport, 2, 2, r(5)).equals(r(5), &port.port.to_be_bytes());
    }
    rule
}

/// Whose far end is in the net.
fn of_net(rule: Rule, net: &IpNet, direction: Direction) -> Rule {
    let is_source = direction == Direction::Ingress;
    match net {
        IpNet::V4(net) => rule
            .meta(Meta::Family, r(6))
            .equals(r(6), &[FAMILY4])
            .payload(Header::Network, if is_source { 12 } else { 16 }, 4, r(0))
            .bits(r(0), r(0), &net.netmask().octets(), &[0; 4])
            .equals(r(0), &net.network().octets()),
        IpNet::V6(net) => rule
            .meta(Meta::Family, r(6))
            .equals(r(6), &[FAMILY6])
            .payload(Header::Network, if is_source { 8 } else { 24 }, 16, r(0))
            .bits(r(0), r(0), &net.netmask().octets(), &[0; 16])
            .equals(r(0), &net.network().octets()),
    }
}

/// On a thread of its own, because a namespace is a property of a thread.
fn within<T: Send + 'static>(
    netns: Option<&Path>,
    work: impl FnOnce() -> Result<T, EnforceError> + Send + 'static,
) -> Result<T, EnforceError> {
    let netns: Option<PathBuf> = netns.map(Path::to_owned);
    let entered = std::thread::spawn(move || {
        if let Some(netns) = netns {
            let failed = |error: &dyn std::fmt::Display| EnforceError::Kernel {
                action: format!("enter the network namespace `{}`", netns.display()),
                message: error.to_string(),
            };
            let file = File::open(&netns).map_err(|error| failed(&error))?;
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| failed(&error))?;
        }
        work()
    });
    entered.join().map_err(|_| EnforceError::Gone)?
}
