//! Traffic in words: protocols, and lists of ports, ICMP types and protocol numbers.

use std::fmt::Write;

use bulkhead_types::Protocol;

use super::traffic::{Piece, Sources, Traffic, keys_of};
use crate::resolve::brush::Space;
use crate::resolve::paint::Interval;

/// Some of the traffic of one protocol. What is `None` does not matter or is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, a name or number of another, or `other`: all
    /// protocols but these five, or those of `numbers`.
    pub protocol: String,
    /// Destination ports such as `80,8000-8010`; always there where the protocol has ports.
    pub ports: Option<String>,
    /// Source ports, where only some will do.
    pub source_ports: Option<String>,
    /// ICMP types such as `8` or `0-7`, or types with codes such as `3/4`; `None`: all.
    pub types: Option<String>,
    /// Protocol numbers, where `other` does not mean all.
    pub numbers: Option<String>,
}

/// More protocols by number than this are one entry.
const NUMBERS_MAX: usize = 16;

impl Traffic {
    /// In the order TCP, UDP, SCTP, ICMP, ICMPv6, others.
    pub fn in_words(&self) -> Vec<Allowed> {
        let mut words = Vec::new();
        for space in Space::ALL {
            let pieces = self.space(space);
            match space {
                _ if pieces.is_empty() => {}
                Space::Ports(protocol) => ports(protocol, pieces, &mut words),
                Space::Icmp(protocol) => {
                    let types = (intervals(pieces) != keys_of(space)).then(|| types(pieces));
                    words.push(Allowed { types, ..Allowed::of(&protocol.to_string()) });
                }
                Space::Other => others(pieces, &mut words),
            }
        }
        words
    }

    /// On one line: `TCP 80,443; UDP 53`, or `everything`.
    pub fn in_short(&self) -> String {
        let everything = Self::everything();
        if self.is_empty() {
            return "nothing".to_owned();
        }
        let whole = [true, false].map(|is_v4| everything.of_family(is_v4));
        if *self == everything || whole.contains(self) {
            return "everything".to_owned();
        }
        let words: Vec<String> = self.in_words().iter().map(Allowed::in_short).collect();
        words.join("; ")
    }
}

impl Allowed {
    fn of(protocol: &str) -> Self {
        Self { protocol: protocol.to_owned(), ..Self::default() }
    }

    fn in_short(&self) -> String {
        let mut text = self.protocol.clone();
        if text == "other" {
            text = "other protocols".to_owned();
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text = format!("protocol {text}");
        }
        let details = [&self.ports, &self.types, &self.numbers];
        for detail in details.into_iter().flatten().filter(|ports| *ports != "1-65535") {
            let _ = write!(text, " {detail}");
        }
        if let Some(ports) = &self.source_ports {
            let _ = write!(text, " from port {ports}");
        }
        text
    }
}

/// One entry for each set of source ports.
fn ports(protocol: Protocol, pieces: &[Piece], words: &mut Vec<Allowed>) {
    let mut by_sources: Vec<(&Sources, Vec<Interval>)> = Vec::new();
    for piece in pieces {
        let interval = (piece.first, piece.last);
        match by_sources.iter_mut().find(|(sources, _)| **sources == piece.sources) {
            Some((_, ports)) => ports.push(interval),
            None => by_sources.push((&piece.sources, vec![interval])),
        }
    }
    by_sources.sort_by_key(|(sources, _)| *sources);
    for (sources, ports) in by_sources {
        let source_ports = match sources {
            Sources::Any => None,
            Sources::Only(ports) => Some(listed(ports.iter().copied())),
        };
        let ports = Some(listed(ports.into_iter()));
        words.push(Allowed { ports, source_ports, ..Allowed::of(&protocol.to_string()) });
    }
}

fn others(pieces: &[Piece], words: &mut Vec<Allowed>) {
    let numbers = intervals(pieces);
    if numbers == keys_of(Space::Other) {
        words.push(Allowed::of("other"));
        return;
    }
    let each: Vec<u16> = numbers.iter().flat_map(|(first, last)| *first..=*last).collect();
    if each.len() > NUMBERS_MAX {
        let numbers = Some(listed(numbers.into_iter()));
        words.push(Allowed { numbers, ..Allowed::of("other") });
        return;
    }
    let protocols = each.into_iter().filter_map(|number| u8::try_from(number).ok()).map(Protocol);
    words.extend(protocols.map(|protocol| Allowed::of(&protocol.to_string())));
}

fn intervals(pieces: &[Piece]) -> Vec<Interval> {
    pieces.iter().map(|piece| (piece.first, piece.last)).collect()
}

fn listed(intervals: impl Iterator<Item = Interval>) -> String {
    let mut text = String::new();
    for interval in intervals {
        if !text.is_empty() {
            text.push(',');
        }
        write_interval(&mut text, interval);
    }
    text
}

fn write_interval(text: &mut String, (first, last): Interval) {
    let _ = match first == last {
        true => write!(text, "{first}"),
        false => write!(text, "{first}-{last}"),
    };
}

/// Whole types together, codes of a part of a type by themselves.
fn types(pieces: &[Piece]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut whole: Option<(u8, u8)> = None;
    let flush = |whole: &mut Option<(u8, u8)>, parts: &mut Vec<String>| {
        if let Some((first, last)) = whole.take() {
            let mut text = String::new();
            write_interval(&mut text, (first.into(), last.into()));
            parts.push(text);
        }
    };
    for piece in pieces {
        let [first_type, first_code] = piece.first.to_be_bytes();
        let [last_type, last_code] = piece.last.to_be_bytes();
        for kind in first_type..=last_type {
            let low = if kind == first_type { first_code } else { 0 };
            let high = if kind == last_type { last_code } else { u8::MAX };
            if (low, high) == (0, u8::MAX) {
                whole = match whole {
                    Some((first, last)) if last.checked_add(1) == Some(kind) => Some((first, kind)),
                    _ => {
                        flush(&mut whole, &mut parts);
                        Some((kind, kind))
                    }
                };
                continue;
            }
            flush(&mut whole, &mut parts);
            let mut text = format!("{kind}/");
            write_interval(&mut text, (low.into(), high.into()));
            parts.push(text);
        }
    }
    flush(&mut whole, &mut parts);
    parts.join(",")
}
