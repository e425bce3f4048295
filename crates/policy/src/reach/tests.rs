//! The algebra of traffic.

use super::*;
use bulkhead_types::{Decision, Protocol};
use bulkhead_wire::row::{Leaf, Outcome, Span, Spans};
use bulkhead_wire::{Row, RuleId};

fn leaf(decision: Decision) -> Leaf {
    Leaf { decision, rule: RuleId(1) }
}

/// TCP as told, nothing else.
fn tcp(spans: &[(u16, Decision)]) -> Traffic {
    let spans = spans
        .iter()
        .map(|(start, decision)| Span { start: *start, outcome: Outcome::Leaf(leaf(*decision)) });
    let mut row = Row::uniform(leaf(Decision::Deny));
    row.tcp = Spans::new(spans.collect()).unwrap();
    Traffic::allowed_by(&row)
}

fn words(traffic: &Traffic) -> String {
    traffic.in_short()
}

use Decision::{Allow, Deny};

#[test]
fn rows_become_sets_and_sets_words() {
    assert_eq!(words(&tcp(&[(0, Deny)])), "nothing");
    assert_eq!(words(&tcp(&[(0, Allow)])), "TCP");
    assert_eq!(
        words(&tcp(&[(0, Deny), (80, Allow), (81, Deny), (8000, Allow), (8011, Deny)])),
        "TCP 80,8000-8010"
    );
    assert_eq!(words(&Traffic::allowed_by(&Row::uniform(leaf(Allow)))), "everything");
}

#[test]
fn a_set_meets_joins_and_leaves_out_others() {
    let low = tcp(&[(0, Allow), (1024, Deny)]);
    let web = tcp(&[(0, Deny), (443, Allow), (2000, Deny)]);
    assert_eq!(words(&low.and(&web)), "TCP 443-1023");
    assert_eq!(words(&low.or(&web)), "TCP 1-1999");
    assert_eq!(words(&low.but_not(&web)), "TCP 1-442");
    assert_eq!(words(&web.but_not(&low)), "TCP 1024-1999");
    assert_eq!(low.or(&web).but_not(&web), low.but_not(&web));
    assert_eq!(low.and(&Traffic::everything()), low);
    assert_eq!(low.or(&Traffic::everything()), Traffic::everything());
    assert!(low.but_not(&low).is_empty());
}

#[test]
fn source_ports_divide_a_set() {
    let by_source = vec![(0, leaf(Deny)), (1024, leaf(Allow)), (2048, leaf(Deny))];
    let mut row = Row::uniform(leaf(Deny));
    row.udp = Spans::new(vec![
        Span { start: 0, outcome: Outcome::Leaf(leaf(Deny)) },
        Span { start: 53, outcome: Outcome::BySource(by_source) },
        Span { start: 54, outcome: Outcome::Leaf(leaf(Allow)) },
        Span { start: 55, outcome: Outcome::Leaf(leaf(Deny)) },
    ])
    .unwrap();
    let dns = Traffic::allowed_by(&row);
    assert_eq!(words(&dns), "UDP 54; UDP 53 from port 1024-2047");
    row.udp = Spans::new(vec![
        Span { start: 0, outcome: Outcome::Leaf(leaf(Deny)) },
        Span { start: 53, outcome: Outcome::Leaf(leaf(Allow)) },
        Span { start: 55, outcome: Outcome::Leaf(leaf(Deny)) },
    ])
    .unwrap();
    let whole = Traffic::allowed_by(&row);
    assert_eq!(words(&whole.but_not(&dns)), "UDP 53 from port 1-1023,2048-65535");
    assert_eq!(dns.or(&whole.but_not(&dns)), whole);
    assert_eq!(whole.and(&dns), dns);
}

#[test]
fn icmp_types_and_other_protocols_have_words() {
    let mut row = Row::uniform(leaf(Deny));
    let spans = |starts: &[(u16, Decision)]| {
        let span = |(start, decision): &(u16, Decision)| Span {
            start: *start,
            outcome: Outcome::Leaf(leaf(*decision)),
        };
        Spans::new(starts.iter().map(span).collect()).unwrap()
    };
    row.icmp =
        spans(&[(0, Deny), (0x0304, Allow), (0x0305, Deny), (0x0800, Allow), (0x0a00, Deny)]);
    row.other = spans(&[(0, Deny), (47, Allow), (48, Deny), (136, Allow), (137, Deny)]);
    let traffic = Traffic::allowed_by(&row);
    assert_eq!(words(&traffic), "ICMP 3/4,8-9; protocol 47; UDPLite");
    row.other = spans(&[(0, Allow), (47, Deny), (48, Allow)]);
    row.icmp = spans(&[(0, Allow)]);
    let traffic = Traffic::allowed_by(&row);
    assert_eq!(words(&traffic), "ICMP; other protocols 0,2-5,7-16,18-46,48-57,59-131,133-255");
    let gone = traffic.of_family(false);
    assert!(gone.space(crate::resolve::brush::Space::Icmp(Protocol::ICMP)).is_empty());
}
