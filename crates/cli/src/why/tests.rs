use bulkhead_types::Protocol;

use super::target::{Target, parse};

fn mk(host: &str, protocol: Protocol, port: Option<u16>, icmp_type: Option<u8>) -> Target {
    Target { host: host.to_owned(), protocol, port, icmp_type }
}

#[test]
fn targets_are_read() {
    let cases = [
        ("shop/db:5432", mk("shop/db", Protocol::TCP, Some(5432), None)),
        ("db:53/udp", mk("db", Protocol::UDP, Some(53), None)),
        ("[2001:db8::1]:443", mk("2001:db8::1", Protocol::TCP, Some(443), None)),
        ("10.0.0.1:80/SCTP", mk("10.0.0.1", Protocol::SCTP, Some(80), None)),
        ("shop/db/icmp", mk("shop/db", Protocol::ICMP, None, None)),
        ("[fd65::1]/ICMPv6", mk("fd65::1", Protocol::ICMPV6, None, None)),
        ("shop/db:0/ICMP", mk("shop/db", Protocol::ICMP, None, Some(0))),
        ("svc:shop/web:80", mk("svc:shop/web", Protocol::TCP, Some(80), None)),
        ("svc:shop/dns:53/UDP", mk("svc:shop/dns", Protocol::UDP, Some(53), None)),
        ("svc:shop/web:http", mk("svc:shop/web:http", Protocol::TCP, None, None)),
        ("shop/db/47", mk("shop/db", Protocol(47), None, None)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn bad_targets_name_the_trouble() {
    let cases = [
        ("shop/db", "TCP needs a port, as in `shop/db:80`"),
        ("svc:shop/db", "TCP needs a port"),
        ("shop/db:http", "`http` is not a port"),
        ("shop/db:99999", "`99999` is not a port"),
        ("shop/db:80/xyz", "unknown protocol `xyz`"),
        ("fd65::1:80", "write an IPv6 address in brackets"),
        ("[fd65::1:80", "needs its `]`"),
        (":80", "name a destination"),
        ("shop/db:256/icmp", "an ICMP type is 0 to 255"),
        ("shop/db:0", "needs a port"),
    ];
    for (text, expected) in cases {
        let error = format!("{:#}", parse(text).unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
    }
}
