use super::*;

enum Data<'a> {
    Cname(&'a str),
    A([u8; 4]),
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| {
        std::iter::once(label.len() as u8).chain(label.bytes()).collect::<Vec<u8>>()
    });
    labels.chain([0]).collect()
}

fn mk_answer(asked: &str, records: &[(&str, u32, Data<'_>)]) -> Vec<u8> {
    let mut bytes = vec![0, 9, 0x80, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
    bytes.extend(name(asked));
    bytes.extend([0, 1, 0, 1]);
    for (owner, ttl, data) in records {
        let (kind, data) = match data {
            Data::Cname(target) => (5, name(target)),
            Data::A(octets) => (1, octets.to_vec()),
        };
        bytes.extend(name(owner));
        bytes.extend([0, kind, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

fn learned(asked: &str, records: &[(&str, u32, Data<'_>)]) -> Vec<(String, Vec<String>, u32)> {
    let (_, answer) = answer(&mk_answer(asked, records)).unwrap();
    let addresses = answer.addresses.into_iter();
    addresses.map(|(a, names, ttl)| (a.to_string(), names.into_iter().collect(), ttl)).collect()
}

fn known(address: &str, names: &[&str], ttl: u32) -> (String, Vec<String>, u32) {
    (address.to_owned(), names.iter().map(|name| (*name).to_owned()).collect(), ttl)
}

#[test]
fn an_address_belongs_to_every_name_of_its_chain_whatever_the_order_and_case() {
    let records = [
        ("EDGE.cdn.net", 50, Data::A([192, 0, 2, 1])),
        ("www.Example.org", 300, Data::Cname("mid.example.org")),
        ("mid.example.org", 20, Data::Cname("edge.CDN.net")),
    ];
    let names = ["edge.cdn.net", "mid.example.org", "www.example.org"];
    assert_eq!(learned("WWW.example.ORG", &records), [known("192.0.2.1", &names, 20)]);
}

#[test]
fn records_that_the_question_does_not_lead_to_teach_nothing() {
    let records = [
        ("bank.com", 50, Data::A([192, 0, 2, 66])),
        ("other.org", 50, Data::Cname("www.example.org")),
        ("www.example.org", 50, Data::A([192, 0, 2, 1])),
    ];
    let only = known("192.0.2.1", &["www.example.org"], 50);
    assert_eq!(learned("www.example.org", &records), [only]);
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let records = [
        ("a.org", 9, Data::Cname("b.org")),
        ("b.org", 9, Data::Cname("a.org")),
        ("b.org", 9, Data::A([192, 0, 2, 1])),
    ];
    assert_eq!(learned("a.org", &records), [known("192.0.2.1", &["a.org", "b.org"], 9)]);
}

#[test]
fn what_is_cut_short_or_broken_teaches_nothing_and_harms_nobody() {
    let whole = mk_answer("a.org", &[("a.org", 9, Data::A([192, 0, 2, 1]))]);
    assert!(answer(&whole).is_ok());
    for length in 0..whole.len() {
        assert_eq!(answer(&whole[..length]), Err(Unread), "{length} bytes");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bent = whole.clone();
            bent[at] ^= 1 << bit;
            let _ = answer(&bent);
            let _ = question(&bent);
        }
    }
}

#[test]
fn a_query_is_no_answer_and_an_answer_no_query() {
    let mut bytes = mk_answer("a.org", &[]);
    assert_eq!(question(&bytes), Err(Unread));
    bytes[2] &= 0x7f;
    assert_eq!(answer(&bytes), Err(Unread));
    let asked = Question { id: 9, name: "a.org".to_owned(), kind: 1 };
    assert_eq!(question(&bytes), Ok(asked));
}
