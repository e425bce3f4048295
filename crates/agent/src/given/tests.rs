use super::*;

fn mk_slot(container: &str) -> Slot {
    Slot { container: container.to_owned(), interface: "eth0".to_owned() }
}

fn mk_interface(ifindex: u32, address: &str) -> GivenInterface {
    GivenInterface {
        ifindex,
        name: format!("veth{ifindex}"),
        id: Some(EndpointId::pod("shop", format!("pod{ifindex}"))),
        addresses: [address.parse().unwrap()].into(),
        mac: "02:00:00:00:00:01".parse().ok(),
    }
}

#[test]
fn a_book_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::open(folder.path());
    book.put(mk_slot("a"), mk_interface(7, "10.0.0.7"));
    book.put(mk_slot("b"), mk_interface(8, "10.0.0.8"));
    assert!(book.remove(&mk_slot("a")) && !book.remove(&mk_slot("a")));
    let again = Book::open(folder.path());
    assert_eq!(again.get(&mk_slot("b")), Some(&mk_interface(8, "10.0.0.8")));
    assert_eq!(again.interfaces().count(), 1);
    assert_eq!(again.given().len(), 1);
}

#[test]
fn a_book_of_another_boot_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::open(folder.path());
    book.boot = "another".to_owned();
    book.put(mk_slot("a"), mk_interface(7, "10.0.0.7"));
    assert_eq!(Book::open(folder.path()).interfaces().count(), 0);
}

#[test]
fn an_interface_is_of_one_container() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::open(folder.path());
    book.put(mk_slot("a"), mk_interface(7, "10.0.0.7"));
    book.put(mk_slot("b"), mk_interface(7, "10.0.0.9"));
    assert_eq!(book.get(&mk_slot("a")), None);
    assert!(!book.retain(&[mk_slot("b")].into()) && book.retain(&BTreeSet::new()));
    assert_eq!(book.interfaces().count(), 0);
}

#[test]
fn a_book_that_cannot_be_read_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "{ not a book").unwrap();
    assert_eq!(Book::open(folder.path()).interfaces().count(), 0);
}
