use super::*;

#[test]
fn the_nodes_own_name_servers_count_but_those_that_no_workload_can_ask() {
    let text = "# nameserver 1.1.1.1\nsearch a.org\nnameserver 10.0.0.2\nnameserver 127.0.0.53\n\
                nameserver  fd00::2 # here\nnameserver fe80::1%eth0\noptions edns0\n";
    let expected = ["10.0.0.2", "fd00::2"].map(|address| address.parse().unwrap());
    assert_eq!(name_servers(text), BTreeSet::from(expected));
}

#[test]
fn what_is_given_takes_the_place_of_the_nodes_own() {
    let given: IpAddr = "10.96.0.10".parse().unwrap();
    let args = DnsArgs { trusted: vec![given], ttl_min: 5 };
    let options = args.check(Path::new("/state")).unwrap();
    assert_eq!(options.resolvers, BTreeSet::from([given]));
    assert_eq!((options.ttl_min_s, options.ttl_max_s), (5, TTL_MAX_S));
    let args = DnsArgs { trusted: vec![given], ttl_min: TTL_MAX_S + 1 };
    assert!(args.check(Path::new("/state")).is_err());
}
