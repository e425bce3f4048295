//! The maps of the table, and the numbers that have a meaning of their own in them.

use super::objects::{Kind, MapShape};

/// Every port is allowed. Other shapes are looked up by port.
pub const SHAPE_ALL: u32 = 1;
/// A port is allowed from every source port.
pub const PORT_ALLOWED: u32 = 1;
/// In the place of the protocol: every protocol without rules of its own.
pub const OTHER_PROTOCOLS: u32 = 0x100;
/// The class of whoever is in no group.
pub const OUTSIDE: u32 = 0;
/// The row of an address whose names the program has no row for: nothing is allowed.
pub const ROW_NONE: u32 = 0;
/// In the third byte of a port: 256 ports from here on.
pub const BLOCK: u8 = 1;

use Kind::{Interface, Ip4, Ip6, LinkAddress, Mark};

const fn map(name: &'static str, key: &'static [Kind]) -> MapShape {
    MapShape { name, key, has_intervals: false }
}

const fn net(name: &'static str, key: &'static [Kind]) -> MapShape {
    MapShape { name, key, has_intervals: true }
}

pub const IN4: MapShape = map("in4", &[Interface, Ip4]);
pub const IN6: MapShape = map("in6", &[Interface, Ip6]);
pub const OUT4: MapShape = map("out4", &[Interface, Ip4]);
pub const OUT6: MapShape = map("out6", &[Interface, Ip6]);
/// Who may send only by a link address of its own, and by which.
pub const ASKS4: MapShape = map("asks4", &[Interface, Ip4]);
pub const ASKS6: MapShape = map("asks6", &[Interface, Ip6]);
pub const MAC4: MapShape = map("mac4", &[Interface, Ip4, LinkAddress]);
pub const MAC6: MapShape = map("mac6", &[Interface, Ip6, LinkAddress]);
pub const CLASS4: MapShape = map("class4", &[Ip4]);
pub const CLASS6: MapShape = map("class6", &[Ip6]);
pub const NET4: MapShape = net("net4", &[Ip4]);
pub const NET6: MapShape = net("net6", &[Ip6]);
/// By interface, near and far address: the row of what was looked up under a name.
pub const NAMED4: MapShape = map("named4", &[Interface, Ip4, Ip4]);
pub const NAMED6: MapShape = map("named6", &[Interface, Ip6, Ip6]);
/// Class and program to row.
pub const ENTRY: MapShape = map("entry", &[Mark, Mark]);
/// Row and protocol to shape.
pub const PART: MapShape = map("part", &[Mark, Mark]);
/// Shape and port, or block of ports, to [`PORT_ALLOWED`] or the shape of the source ports.
pub const PORT: MapShape = map("port", &[Mark, Mark]);
/// What the node is at: see `banks.rs`.
pub const STATE: MapShape = map("state", &[Mark]);

/// Workloads' interfaces, whatever they are called now.
pub const KNOWN: MapShape = map("known", &[Interface]);

/// What a host endpoint is asked for, and the interface, to its table of programs.
pub const HOST: MapShape = map("host", &[Mark, Interface]);
/// Table and near address to program, and fail-safe ports: number, protocol, port and far address.
/// Intervals over the whole key, which begins with the number in network order.
pub const HOST_NET4: MapShape = net("hostnet4", &[Mark, Ip4]);
pub const HOST_NET6: MapShape = net("hostnet6", &[Mark, Ip6]);
pub const SAFE4: MapShape = net("safe4", &[Mark, Mark, Mark, Ip4]);
pub const SAFE6: MapShape = net("safe6", &[Mark, Mark, Mark, Ip6]);

/// Once in each bank.
pub const BANKED: [&MapShape; 20] = [
    &IN4, &IN6, &OUT4, &OUT6, &ASKS4, &ASKS6, &MAC4, &MAC6, &CLASS4, &CLASS6, &NET4, &NET6,
    &NAMED4, &NAMED6, &ENTRY, &HOST, &HOST_NET4, &HOST_NET6, &SAFE4, &SAFE6,
];
/// Rows and shapes mean the same in both banks.
pub const SHARED: [&MapShape; 4] = [&PART, &PORT, &STATE, &KNOWN];

pub fn banked(name: &str, bank: u8) -> String {
    format!("{name}-{bank}")
}
