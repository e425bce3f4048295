//! Holds back what trusted resolvers answer, until the agent has learned from it and sends it on; the twin
//! of `bpf/src/dns.h`.
//!
//! The rules stand in a table of their own that belongs to the agent's socket: it goes with the agent, so
//! nothing is held that nobody would send on. An agent that is there and does not come to its work is found
//! out by its beat: packets that it sends to itself, which a rule turns into an entry that fades. No
//! transaction is needed for that, because those disturb everybody who reads tables.
//!
//! Questions are copied where they come in, before translation; answers are held where they go out, after
//! it: so both show what the workload sees. An answer is copied into the log and dropped by one rule, which
//! has a limit: what is beyond it passes.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use bulkhead_enforce_abi::{
    FlowKey, HEARD_ANSWER, HEARD_OPENED, HEARD_QUESTION, Heard, LISTENED_MAX_NS,
};
use bulkhead_types::Protocol;
use nix::sys::socket::{setsockopt, sockopt};

use super::chains::MARK_ANSWER;
use super::expr::{Ct, End, Header, Meta, Rule, Way, r};
use super::judge::{Family, TCP, of_family, of_protocol};
use super::log::{self, Logged};
use super::objects::{Change, Element, INET, Kind, MapShape};
use super::packet;
use super::socket::{Socket, failed};
use crate::dns::pieces;
use crate::events::boot_now_ns;
use crate::kernel::linux::raw::Raw;
use crate::node::EnforceError;
use crate::realized::mapped;

/// Of the kernel's log: the group that questions and answers are told to.
const GROUP: u16 = 0x4269;
/// Whole packets.
const BYTES_MAX: u32 = 0xffff;
/// What is told while the agent is at something else.
const ROOM_BYTES: usize = 64 << 20;
const TOLD_PER_SECOND: u64 = 10_000;
const TOLD_BURST: u32 = 5_000;
/// Every path carries that much of IPv6, and nearly every one of IPv4; some carry less of that.
const PIECES: [usize; 2] = [1_280, 576];

const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// Before connection tracking.
const EARLY: i32 = -310;
/// After translation.
const LATE: i32 = 250;

const MARK_BEAT: u32 = 0x4268_0003;
const UDP: u8 = 17;
const DNS: [u8; 2] = [0, 53];
const TCP_OPENED: u8 = 0x12;
const TCP_SYN: u8 = 0x02;

const fn map(name: &'static str, key: &'static [Kind]) -> MapShape {
    MapShape { name, key, has_intervals: false }
}

/// Who is listened to.
const RESOLVERS4: MapShape = map("resolvers4", &[Kind::Ip4]);
const RESOLVERS6: MapShape = map("resolvers6", &[Kind::Ip6]);
/// Interfaces and addresses of whom names make a difference to.
const HEARERS4: MapShape = map("hearers4", &[Kind::Interface, Kind::Ip4]);
const HEARERS6: MapShape = map("hearers6", &[Kind::Interface, Kind::Ip6]);
const BEAT: MapShape = map("beat", &[Kind::Mark]);

/// What is told, by the prefix of the rule.
const QUESTION: &str = "names-question";
const OPENED: &str = "names-opened";
const ANSWER: &str = "names-answer";

/// Interface and address.
pub type Hearers = BTreeSet<(u32, IpAddr)>;

/// A packet of a resolver, or to one.
pub type Told = (Heard, Vec<u8>);

pub struct Hear {
    name: String,
    /// The table is this one's.
    owner: Socket,
    answers: Socket,
    is_bound: bool,
    resolvers: BTreeSet<IpAddr>,
    /// What the table has; `None`: there is none.
    made: Option<Hearers>,
    wanted: Hearers,
    /// Why nothing is heard that should be.
    error: Option<String>,
    beats: UdpSocket,
    raw: Raw,
}

impl Hear {
    pub fn open(table: &str, resolvers: &BTreeSet<IpAddr>) -> Result<Self, EnforceError> {
        let answers = Socket::open()?;
        answers.make_room(ROOM_BYTES)?;
        let opened = (|| {
            let beats = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            setsockopt(&beats, sockopt::Mark, &MARK_BEAT)?;
            let raw = Raw::open()?;
            raw.mark(MARK_ANSWER)?;
            Ok((beats, raw))
        })();
        let (beats, raw) =
            opened.map_err(|error: io::Error| failed("open the sockets for answers", error))?;
        Ok(Self {
            name: format!("{table}-names"),
            owner: Socket::open()?,
            answers,
            is_bound: false,
            resolvers: resolvers.clone(),
            made: None,
            wanted: Hearers::new(),
            error: None,
            beats,
            raw,
        })
    }

    pub fn answers(&self) -> BorrowedFd<'_> {
        self.answers.as_fd()
    }

    /// In a sentence, for the status.
    pub fn warning(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(format!("resolvers cannot be heard, so no new address is known by name: {error}"))
    }

    /// Listens for these from now on. What fails is tried again with the next beat: another agent may be
    /// about to end.
    pub fn listen_for(&mut self, hearers: Hearers) {
        self.wanted = hearers;
        self.beat();
    }

    pub fn beat(&mut self) {
        if self.made.as_ref() != Some(&self.wanted)
            && (self.made.is_some() || !self.wanted.is_empty())
        {
            let error = self.make().err().map(|error| error.to_string());
            if let Some(error) = error.as_ref().filter(|_| self.error != error) {
                tracing::warn!(%error, "resolvers' answers pass unlearned; trying again");
            }
            self.error = error;
        }
        if self.made.is_some() {
            // Dropped by our own rule, which the sender is told.
            let _ = self.beats.send_to(&[], (Ipv4Addr::LOCALHOST, 9));
        }
    }

    fn make(&mut self) -> Result<(), EnforceError> {
        if !self.is_bound {
            log::listen_to(&mut self.answers, GROUP, BYTES_MAX)?;
            self.is_bound = true;
        }
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        let (wanted, resolvers) = (&self.wanted, &self.resolvers);
        match &self.made {
            _ if wanted.is_empty() => change.delete_table(),
            Some(made) => {
                for (map, is_ipv4) in [(HEARERS4, true), (HEARERS6, false)] {
                    let gone = made.difference(wanted).filter(|(_, a)| a.is_ipv4() == is_ipv4);
                    let come = wanted.difference(made).filter(|(_, a)| a.is_ipv4() == is_ipv4);
                    change.remove_elements(map.name, &gone.map(hearer).collect::<Vec<_>>());
                    change.add_elements(map.name, &come.map(hearer).collect::<Vec<_>>());
                }
            }
            None => {
                change.make_passing_table();
                make_rules(&mut change);
                for (maps, is_ipv4) in
                    [((HEARERS4, RESOLVERS4), true), ((HEARERS6, RESOLVERS6), false)]
                {
                    let come = wanted.iter().filter(|(_, a)| a.is_ipv4() == is_ipv4).map(hearer);
                    change.add_elements(maps.0.name, &come.collect::<Vec<_>>());
                    let known = resolvers.iter().filter(|a| a.is_ipv4() == is_ipv4);
                    let known = known.map(|a| Element { key: octets(a), value: Some(1) });
                    change.add_elements(maps.1.name, &known.collect::<Vec<_>>());
                }
            }
        }
        if let Err(error) = self.owner.commit("listen to resolvers", &change.batch) {
            self.forget_table();
            return Err(error);
        }
        self.made = (!wanted.is_empty()).then(|| wanted.clone());
        Ok(())
    }

    /// The next one begins anew, whatever is there.
    fn forget_table(&mut self) {
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        change.delete_table();
        let _ = self.owner.commit("forget the table of answers", &change.batch);
        self.made = None;
    }

    /// What one read brings; `None`: nothing. `false`: some of what was told is lost.
    pub fn take(&mut self) -> Option<(Vec<Told>, bool)> {
        let mut heard = Vec::new();
        let is_complete = self.answers.take_one(|message| {
            heard.extend(log::logged(&message).as_ref().and_then(read));
        })?;
        Some((heard, is_complete))
    }

    /// To the workload, by the node's routes.
    pub fn send_on(&self, head: &Heard, packet: &[u8]) -> io::Result<()> {
        let to = packet::headers(packet).ok_or(io::ErrorKind::InvalidData)?.dst;
        let mut sent = self.raw.send(to, packet);
        for bytes_max in PIECES {
            let is_long = |error: &io::Error| error.raw_os_error() == Some(nix::libc::EMSGSIZE);
            if !sent.as_ref().is_err_and(is_long) {
                break;
            }
            let pieces = pieces(head, packet, bytes_max);
            sent = pieces.iter().try_for_each(|piece| self.raw.send(to, piece));
        }
        sent
    }
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn hearer((ifindex, address): &(u32, IpAddr)) -> Element {
    let key = [&ifindex.to_ne_bytes()[..], &octets(address)].concat();
    Element { key, value: Some(1) }
}

fn read(logged: &Logged<'_>) -> Option<Told> {
    let (kind, ifindex) = match logged.prefix {
        QUESTION => (HEARD_QUESTION, logged.came_by?),
        OPENED => (HEARD_OPENED, logged.leaves_by?),
        ANSWER => (HEARD_ANSWER, logged.leaves_by?),
        _ => return None,
    };
    let headers = packet::headers(logged.packet)?;
    let ports = logged.packet.get(headers.l4..)?.first_chunk::<4>()?;
    let [src_port, dst_port] = ports.as_chunks::<2>().0 else { return None };
    let ports = (u16::from_be_bytes(*src_port), u16::from_be_bytes(*dst_port));
    let (local, remote) = match kind {
        HEARD_QUESTION => ((headers.src, ports.0), (headers.dst, ports.1)),
        _ => ((headers.dst, ports.1), (headers.src, ports.0)),
    };
    let l4_header = match headers.protocol {
        Protocol::TCP => usize::from(logged.packet.get(headers.l4 + 12)? >> 4) * 4,
        _ => 8,
    };
    let head = Heard {
        key: FlowKey {
            endpoint: ifindex,
            local: mapped(local.0),
            remote: mapped(remote.0),
            local_port: local.1,
            remote_port: remote.1,
            protocol: headers.protocol.0,
            ..FlowKey::default()
        },
        ifindex,
        seen_ns: boot_now_ns(),
        length: u32::try_from(logged.packet.len()).ok()?,
        l4: u16::try_from(headers.l4).ok()?,
        payload: u16::try_from(headers.l4 + l4_header).ok()?,
        kind,
        is_ipv4: u8::from(headers.src.is_ipv4()),
        ..Heard::default()
    };
    Some((head, logged.packet.to_vec()))
}

fn make_rules(change: &mut Change<'_>) {
    for shape in [RESOLVERS4, RESOLVERS6, HEARERS4, HEARERS6] {
        change.make_map(shape.name, &shape);
    }
    change.make_fading_map(&BEAT);
    change.make_base_chain("questions", PREROUTING, EARLY, None);
    change.make_base_chain("own", OUTPUT, EARLY, None);
    change.make_base_chain("answers", POSTROUTING, LATE, None);
    change.make_chain("held");
    let marked = |mark: u32| Rule::new().meta(Meta::Mark, r(0)).equals(r(0), &mark.to_ne_bytes());
    let beat = marked(MARK_BEAT).put(BEAT.name, r(0), r(0), LISTENED_MAX_NS / 1_000_000);
    change.add_rule("own", beat.end(End::Drop));
    // It is on its way already, and stands for itself.
    change.add_rule("own", marked(MARK_ANSWER).notrack());
    change.add_rule("answers", marked(MARK_ANSWER).end(End::Accept));
    let alive = Rule::new().load(&MARK_BEAT.to_ne_bytes(), r(0)).look_up(BEAT.name, r(0), r(1));
    change.add_rule("answers", alive.end(End::Goto("held")));
    for family in Family::BOTH {
        let told = |rule: Rule, prefix| {
            rule.limit(TOLD_PER_SECOND, TOLD_BURST).log(GROUP, prefix, BYTES_MAX)
        };
        change.add_rule("questions", told(of_resolver(family, UDP, true), QUESTION));
        let answered = |protocol: u8| {
            let rule = of_resolver(family, protocol, false).ct(Ct::Direction, None, r(0));
            rule.equals(r(0), &[Way::Reply as u8])
        };
        let flags = |mask: u8| {
            let rule = answered(TCP).payload(Header::Transport, 13, 1, r(0));
            rule.bits(r(0), r(0), &[mask], &[0])
        };
        change.add_rule("held", told(answered(UDP), ANSWER).end(End::Drop));
        change.add_rule("held", told(flags(TCP_OPENED).equals(r(0), &[TCP_OPENED]), OPENED));
        let other = flags(TCP_SYN).equals(r(0), &[0]);
        change.add_rule("held", told(other, ANSWER).end(End::Drop));
    }
}

/// Packets between a hearer and port 53 of a resolver.
fn of_resolver(family: Family, protocol: u8, is_question: bool) -> Rule {
    let (hearers, resolvers) = match family {
        Family::V4 => (HEARERS4, RESOLVERS4),
        Family::V6 => (HEARERS6, RESOLVERS6),
    };
    let (port, device) = if is_question { (2, Meta::Iif) } else { (0, Meta::Oif) };
    let rule = of_protocol(of_family(family), protocol);
    let rule = rule.payload(Header::Transport, port, 2, r(0)).equals(r(0), &DNS);
    let near = |rule: Rule, is_source: bool, to: u32| match is_source {
        true => family.source(rule, to),
        false => family.destination(rule, to),
    };
    let rule = near(rule.meta(device, r(0)), is_question, r(1)).look_up(hearers.name, r(0), r(8));
    near(rule, !is_question, r(0)).look_up(resolvers.name, r(0), r(8))
}
