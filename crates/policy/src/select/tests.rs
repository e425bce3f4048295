//! Selectors and addresses, step by step.

use std::collections::BTreeSet;

use bulkhead_types::{Labels, Selector};
use ipnet::IpNet;

use super::{Addresses, Delta, GroupId, MemberId, Origin, PersonaKey, Selectors};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A member that sees nothing but its own labels.
fn put(selectors: &mut Selectors, id: u32, own: &Labels) -> Delta {
    let own: Vec<_> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let key = PersonaKey { origin: Origin::Pod, namespace: "shop", account: "", own: &own };
    selectors.put(MemberId(id), &key, |_| {})
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect(text)
}

#[test]
fn a_selector_finds_members_that_came_before_and_after_it() {
    for text in [
        "a == 'x'",
        "a != 'x'",
        "has(a)",
        "!has(a)",
        "a in {'x','y'}",
        "a not in {'x'}",
        "a contains 'x'",
        "a starts with 'x'",
        "a ends with 'x'",
        "all()",
        "!all()",
        "a == 'x' && b == 'y'",
        "a == 'x' || !has(b)",
        "!(a == 'x' && has(b))",
    ] {
        let sets = [
            labels(&[]),
            labels(&[("a", "x")]),
            labels(&[("a", "y"), ("b", "y")]),
            labels(&[("a", "xy")]),
            labels(&[("b", "y")]),
            labels(&[("a", "x"), ("b", "y")]),
        ];
        let wanted = selector(text);
        let mut selectors = Selectors::default();
        let before = &sets[..3];
        for (id, set) in (0..).zip(before) {
            put(&mut selectors, id, set);
        }
        let id = selectors.acquire(&wanted);
        for (member, set) in (0..).zip(&sets).skip(3) {
            put(&mut selectors, member, set);
        }
        // Everybody takes the place of the next.
        for (member, set) in (0..).zip(sets.iter().cycle().skip(1)).take(6) {
            put(&mut selectors, member, set);
        }
        let expected: BTreeSet<MemberId> = (0..6)
            .filter(|member| wanted.matches(&sets[(*member as usize + 1) % 6]))
            .map(MemberId)
            .collect();
        assert_eq!(selectors.members(id).collect::<BTreeSet<_>>(), expected, "`{text}`");
    }
}

#[test]
fn only_selectors_that_may_match_are_tried() {
    let mut selectors = Selectors::default();
    for index in 0..1000 {
        selectors.acquire(&selector(&format!("app == 'app-{index}'")));
    }
    put(&mut selectors, 0, &labels(&[("app", "app-7"), ("env", "prod")]));
    assert_eq!(selectors.n_tests, 1);
    let delta = put(&mut selectors, 0, &labels(&[("app", "app-8"), ("env", "prod")]));
    assert_eq!(selectors.n_tests, 2, "the one it joins");
    assert_eq!((delta.joined.len(), delta.left.len()), (1, 1));
}

#[test]
fn members_that_look_alike_are_matched_once() {
    let mut selectors = Selectors::default();
    let id = selectors.acquire(&selector("app == 'web'"));
    put(&mut selectors, 0, &labels(&[("app", "web")]));
    let delta = put(&mut selectors, 1, &labels(&[("app", "web")]));
    assert_eq!(selectors.n_tests, 1);
    assert_eq!(delta.joined, [id]);
    assert_eq!(selectors.members(id).count(), 2);
    selectors.remove(MemberId(0));
    assert_eq!(selectors.members(id).collect::<Vec<_>>(), [MemberId(1)]);
    assert_eq!(selectors.remove(MemberId(1)).left, [id]);
    selectors.release(id);
    assert!(selectors.is_idle());
}

#[test]
fn selectors_that_come_before_anybody_do_not_crowd_in_one_place() {
    let mut selectors = Selectors::default();
    for index in 0..1000 {
        selectors.acquire(&selector(&format!("app == 'web' && space == 'space-{index}'")));
    }
    put(&mut selectors, 0, &labels(&[("app", "web"), ("space", "space-7")]));
    assert!(selectors.n_tests < 5, "{} selectors were tried", selectors.n_tests);
}

#[test]
fn a_selector_is_kept_as_long_as_somebody_uses_it() {
    let mut selectors = Selectors::default();
    put(&mut selectors, 0, &labels(&[("a", "x")]));
    let id = selectors.acquire(&selector("has(a)"));
    assert_eq!(selectors.acquire(&selector(" has( a )")), id);
    selectors.release(id);
    assert_eq!(selectors.members(id).count(), 1);
    selectors.release(id);
    assert_eq!(selectors.members(id).count(), 0);
    assert_eq!(selectors.matches(MemberId(0)).count(), 0);
}

fn net(text: &str) -> IpNet {
    text.parse().expect(text)
}

#[test]
fn an_address_inherits_the_groups_of_every_prefix_over_it() {
    let mut addresses = Addresses::default();
    addresses.add_carrier(net("10.0.0.1/32"), MemberId(0));
    addresses.add_net(net("10.0.0.0/8"), GroupId(1));
    addresses.add_net(net("10.0.0.0/24"), GroupId(2));
    addresses.add_net(net("0.0.0.0/0"), GroupId(3));
    addresses.add_net(net("::/0"), GroupId(4));
    let moves = addresses.settle(|_| [GroupId(9)].into(), |_| {});
    assert_eq!(moves.len(), 5);
    let class = |addresses: &Addresses, prefix: &str| -> Option<Vec<u32>> {
        Some(addresses.class(&net(prefix))?.iter().map(|group| group.0).collect())
    };
    assert_eq!(class(&addresses, "10.0.0.1/32"), Some(vec![1, 2, 3, 9]));
    assert_eq!(class(&addresses, "10.0.0.0/24"), Some(vec![1, 2, 3]));
    assert_eq!(class(&addresses, "::/0"), Some(vec![4]));
    addresses.remove_net(net("10.0.0.0/8"), GroupId(1));
    let moved: Vec<IpNet> =
        addresses.settle(|_| [GroupId(9)].into(), |_| {}).iter().map(|m| m.prefix).collect();
    assert_eq!(moved, [net("10.0.0.0/8"), net("10.0.0.0/24"), net("10.0.0.1/32")]);
    assert_eq!(class(&addresses, "10.0.0.1/32"), Some(vec![2, 3, 9]));
    assert_eq!(class(&addresses, "10.0.0.0/8"), None);
    assert!(addresses.settle(|_| [GroupId(9)].into(), |_| {}).is_empty(), "nothing was touched");
}
