use super::*;
use crate::limits::dns::ADDRESSES_PER_LOOKER_MAX;

const TAG: Tag = Tag(1);

fn address(n: u32) -> IpAddr {
    let [_, b, c, d] = n.to_be_bytes();
    IpAddr::from([10, b, c, d])
}

fn mk_answer(n: u32, name: &str) -> Answer {
    Answer { addresses: vec![(address(n), BTreeSet::from([name.to_owned()]), 0)] }
}

fn mk_cache() -> Cache {
    let mut tables = NameTables::default();
    tables.patterns.insert("*.by.test".to_owned(), BTreeSet::from([TAG]));
    let mut cache = Cache::default();
    cache.resolve(&tables);
    cache
}

#[test]
fn what_no_rule_looks_at_makes_room_for_what_one_does() {
    let mut cache = mk_cache();
    let most = ADDRESSES_PER_LOOKER_MAX as u32;
    for n in 0..most {
        cache.learn(7, &mk_answer(n, "unheard.of"), |_| 9).unwrap();
    }
    assert_eq!(cache.learn(7, &mk_answer(most, "a.by.test"), |_| 9), Ok(vec![address(most)]));
    assert_eq!(cache.n_addresses(), 1);
    for n in 0..most - 1 {
        cache.learn(7, &mk_answer(n, "b.by.test"), |_| 9).unwrap();
    }
    // Full of what counts: more of it is refused, what does not count is merely not kept, and others
    // have room of their own.
    assert_eq!(cache.learn(7, &mk_answer(most + 1, "c.by.test"), |_| 9), Err(Full));
    assert_eq!(cache.learn(7, &mk_answer(most + 1, "unheard.of"), |_| 9), Ok(vec![]));
    assert_eq!(cache.learn(7, &mk_answer(3, "c.by.test"), |_| 9), Ok(vec![]));
    cache.learn(8, &mk_answer(3, "c.by.test"), |_| 9).unwrap();
}

#[test]
fn each_name_of_an_address_ends_by_itself_and_nothing_is_inherited() {
    let mut cache = mk_cache();
    cache.learn(7, &mk_answer(1, "a.by.test"), |_| 10).unwrap();
    cache.learn(7, &mk_answer(1, "x.org"), |_| 20).unwrap();
    cache.learn(7, &mk_answer(1, "a.by.test"), |_| 5).unwrap();
    assert_eq!(cache.expired(10), BTreeSet::new());
    let place = BTreeSet::from([(7, address(1))]);
    assert_eq!(cache.expired(11), place);
    assert_eq!(cache.forget(&place, 11).len(), 1);
    assert_eq!(cache.names(7, address(1)), Names::new(["x.org"]));
    assert_eq!(cache.tagged(7).count(), 0);
    let gone = cache.forget(&place, 21);
    assert_eq!(cache.n_addresses(), 0);
    cache.put_back(gone.into_iter().next().unwrap());
    assert_eq!(cache.names(7, address(1)), Names::new(["x.org"]));
}

#[test]
fn a_new_list_of_names_is_about_what_is_known_already() {
    let mut cache = mk_cache();
    cache.learn(7, &mk_answer(1, "late.org"), |_| 10).unwrap();
    assert_eq!(cache.tagged(7).count(), 0);
    let mut tables = NameTables::default();
    tables.patterns.insert("late.org".to_owned(), BTreeSet::from([Tag(2)]));
    cache.resolve(&tables);
    let tagged: Vec<_> = cache.tagged(7).collect();
    assert_eq!(tagged, [(address(1), &BTreeSet::from([Tag(2)]))]);
}
