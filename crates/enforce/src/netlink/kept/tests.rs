use super::*;

const POD: &str = "10.0.0.1";

fn mk_kept() -> Kept {
    Kept { is_listed: true, ..Kept::new(vec!["bhl".to_owned()]) }
}

fn mk_link(ifindex: u32, name: &str) -> Seen {
    let far = Some(FarEnd { netns: 1, ifindex: ifindex + 100 });
    Seen { ifindex, name: name.to_owned(), is_up: true, far, ..Seen::default() }
}

fn route(ifindex: u32, priority: u32) -> Listed {
    Listed::HostRoute { address: POD.parse().unwrap(), ifindex, priority }
}

fn hear(kept: &mut Kept, listed: &[Listed]) -> bool {
    let heard = Heard { listed: listed.to_vec(), is_short: false };
    kept.hear(heard, &BTreeSet::new()).unwrap()
}

fn routed(kept: &Kept) -> Option<u32> {
    kept.topology.routes.get(&POD.parse::<IpAddr>().unwrap()).copied()
}

#[test]
fn what_comes_is_there_without_a_list() {
    let mut kept = mk_kept();
    assert!(hear(&mut kept, &[Listed::Link(mk_link(7, "bhl0")), Listed::Link(mk_link(8, "eth0"))]));
    assert!(hear(&mut kept, &[route(7, 0)]));
    assert_eq!(kept.topology.interfaces, [(7, "bhl0".to_owned())].into());
    assert_eq!(kept.topology.far, [(7, FarEnd { netns: 1, ifindex: 107 })].into());
    assert_eq!(kept.topology.links.len(), 2);
    assert_eq!(routed(&kept), Some(7));
}

#[test]
fn what_is_told_twice_moves_nothing() {
    let mut kept = mk_kept();
    let told = [Listed::Link(mk_link(7, "bhl0")), route(7, 0)];
    assert!(hear(&mut kept, &told));
    assert!(!hear(&mut kept, &told));
}

#[test]
fn the_lowest_priority_and_then_the_youngest_interface_has_the_route() {
    let mut kept = mk_kept();
    let links = [mk_link(7, "bhl0"), mk_link(8, "bhl1"), mk_link(9, "eth0")];
    hear(&mut kept, &links.map(Listed::Link));
    hear(&mut kept, &[route(7, 5)]);
    assert_eq!(routed(&kept), Some(7));
    hear(&mut kept, &[route(8, 5)]);
    assert_eq!(routed(&kept), Some(8), "not the youngest");
    hear(&mut kept, &[route(7, 1)]);
    assert_eq!(routed(&kept), Some(7), "not the lowest priority");
    hear(&mut kept, &[route(9, 0)]);
    assert_eq!(routed(&kept), Some(7), "an interface of no workload counts");
}

#[test]
fn a_link_that_is_set_down_is_not_only_a_change_of_the_link() {
    let mut kept = mk_kept();
    let up = mk_link(7, "bhl0");
    let down = Seen { is_up: false, ..up.clone() };
    assert!(!kept.is_down(&Listed::Link(down.clone())), "it was never up");
    hear(&mut kept, &[Listed::Link(up.clone())]);
    assert!(!kept.is_down(&Listed::Link(up)));
    assert!(kept.is_down(&Listed::Link(down)), "its routes went, which nobody tells");
}

#[test]
fn an_interface_is_known_by_its_number_whatever_its_name() {
    let mut kept = mk_kept();
    hear(&mut kept, &[Listed::Link(mk_link(7, "cni0")), route(7, 0)]);
    assert_eq!(routed(&kept), None);
    assert!(kept.hear(Heard::default(), &[7].into()).unwrap());
    assert_eq!(routed(&kept), Some(7));
}

#[test]
fn addresses_stay_with_a_link_that_changes() {
    let mut kept = mk_kept();
    let address: IpAddr = POD.parse().unwrap();
    hear(&mut kept, &[Listed::Link(mk_link(7, "eth0"))]);
    assert!(hear(&mut kept, &[Listed::Address { address, ifindex: 7 }]));
    assert!(hear(&mut kept, &[Listed::Link(mk_link(7, "eth1"))]));
    assert_eq!(kept.topology.links[&7].addresses, [address].into());
}

/// As it would be if everything had been told at once.
fn anew(told: &[Listed], known: &BTreeSet<u32>) -> Topology {
    let mut kept = mk_kept();
    kept.hear(Heard { listed: told.to_vec(), is_short: false }, known).unwrap();
    kept.topology
}

#[test]
fn what_was_told_bit_by_bit_is_what_is_told_at_once() {
    // Few names, numbers and addresses, so that they meet; from a generator that repeats itself.
    let mut state = 7_u32;
    let mut draw = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % n
    };
    for _ in 0..200 {
        let (mut kept, mut told, mut known) = (mk_kept(), Vec::new(), BTreeSet::new());
        for _ in 0..30 {
            let ifindex = draw(6);
            let item = match draw(3) {
                0 => Listed::Link(mk_link(ifindex, ["bhl0", "bhl1", "eth0"][draw(3) as usize])),
                1 => Listed::Address { address: [10, 0, 1, draw(3) as u8].into(), ifindex },
                _ => {
                    let address = [10, 0, 0, draw(4) as u8].into();
                    Listed::HostRoute { address, ifindex, priority: draw(3) }
                }
            };
            if draw(5) == 0 && !known.remove(&ifindex) {
                known.insert(ifindex);
            }
            // An address of a link that is not told of yet is forgotten, at once or later.
            let is_link = |told: &Listed| matches!(told, Listed::Link(_));
            let is_there = told.iter().any(|one| is_link(one) && one.ifindex() == ifindex);
            if matches!(item, Listed::Address { .. }) && !is_there {
                continue;
            }
            let before = kept.topology.clone();
            let heard = Heard { listed: vec![item.clone()], is_short: false };
            let has_moved = kept.hear(heard, &known).unwrap();
            told.push(item);
            assert_eq!(kept.topology, anew(&told, &known), "after {told:?} with {known:?}");
            assert_eq!(has_moved, before != kept.topology, "after {told:?} with {known:?}");
        }
    }
}
