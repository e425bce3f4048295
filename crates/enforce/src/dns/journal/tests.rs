use super::*;

fn mk_answer(last: u8, name: &str) -> Answer {
    let names = BTreeSet::from([name.to_owned()]);
    Answer { addresses: vec![(IpAddr::from([192, 0, 2, last]), names, 0)] }
}

fn open(path: &Path) -> (Cache, Journal) {
    let mut cache = Cache::default();
    let journal = Journal::open(path, &mut cache).unwrap();
    (cache, journal)
}

#[test]
fn what_was_learned_is_known_to_the_next_process_but_for_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names");
    let (_, mut journal) = open(&path);
    journal.add(7, &mk_answer(1, "a.org"), |_| 100).unwrap();
    journal.add(7, &mk_answer(1, "b.org"), |_| 200).unwrap();
    journal.add(8, &mk_answer(2, "c.org"), |_| 300).unwrap();
    let torn = std::fs::read(&path).unwrap();
    std::fs::write(&path, &torn[..torn.len() - 2]).unwrap();

    let (cache, _) = open(&path);
    let all: Vec<_> = cache.all().collect();
    let address = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(all, [(7, address, "a.org", 100), (7, address, "b.org", 200)]);
}

#[test]
fn a_journal_of_another_boot_or_of_nonsense_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names");
    let (_, mut journal) = open(&path);
    journal.add(7, &mk_answer(1, "a.org"), |_| 100).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for other in [text.replace(&boot_id(), "another"), text.replace(MAGIC, "x"), "\0\n".into()] {
        std::fs::write(&path, other).unwrap();
        assert_eq!(open(&path).0.all().count(), 0);
    }
}

#[test]
fn a_journal_that_repeats_itself_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names");
    let (mut cache, mut journal) = open(&path);
    for n in 0..20_000 {
        cache.learn(7, &mk_answer(1, "a.org"), |_| n).unwrap();
        journal.add(7, &mk_answer(1, "a.org"), |_| n).unwrap();
        journal.tidy(&cache).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 300_000);
    assert_eq!(open(&path).0.all().map(|line| line.3).collect::<Vec<_>>(), [19_999]);
}
