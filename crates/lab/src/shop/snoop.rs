//! What must not happen, tried over and over: mostly by `ops/snoop`, sometimes by others.

use bulkhead_types::Protocol;

use super::{BANK, SNOOP};
use crate::probe::Probe;

/// Every attempt that the policies of `examples/shop` forbid.
pub fn attempts() -> Vec<Probe> {
    let mut attempts = Vec::new();
    for (dst, protocol, port) in [
        ("shop-data/db", Protocol::TCP, 5432),
        ("shop-data/queue", Protocol::TCP, 5672),
        ("shop-data/cache", Protocol::UDP, 53),
        ("shop-core/payments", Protocol::TCP, 8443),
        ("shop-core/inventory", Protocol::ICMP, 0),
        ("shop-core/catalog", Protocol::TCP, 9100),
        ("shop-core/worker", Protocol::SCTP, 3868),
        ("shop-front/gateway", Protocol::TCP, 22),
        ("shop-front/web", Protocol::TCP, 8081),
    ] {
        let probe = Probe::new(SNOOP, dst, protocol, port);
        attempts.extend([probe.clone(), probe.v6()]);
    }
    for (src, dst, port) in [
        // data leaving the house
        (SNOOP, "198.51.100.66", 443),
        (SNOOP, "2001:db8:bad::66", 443),
        // only payments speaks to the bank
        (SNOOP, BANK[0], 443),
        ("shop-core/payments", "198.51.100.66", 443),
        // a customer at the back door
        ("198.51.100.10", "shop-data/db", 5432),
        ("2001:db8:100::10", "shop-core/checkout", 8080),
        // shortcuts
        ("shop-front/web", "shop-core/payments", 8443),
        ("shop-front/gateway", "shop-data/db", 5432),
        ("shop-core/cart", "shop-data/db", 5432),
        ("shop-data/db", "shop-core/catalog", 8080),
    ] {
        attempts.push(Probe::tcp(src, dst, port));
    }
    attempts
}
