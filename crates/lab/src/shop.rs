//! A small shop: who calls whom, who must not, and the tables that make it run.
//!
//! The manifests are in `examples/shop`; this is the applications' side of it.

pub mod services;
pub mod snoop;
pub mod traffic;

pub use services::{Services, Tally};
pub use traffic::Traffic;

/// A call that one service makes to answer another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub to: &'static str,
    pub port: u16,
    pub path: &'static str,
}

const fn call(to: &'static str, port: u16, path: &'static str) -> Call {
    Call { to, port, path }
}

const METRICS_PORT: u16 = 9100;
/// Who scrapes, and what does.
pub const SCRAPER: &str = "ops/metrics";
pub const WORKER: &str = "shop-core/worker";
pub const SNOOP: &str = "ops/snoop";
/// Stands for customers and the bank, which live outside.
pub const CUSTOMERS: [&str; 2] = ["198.51.100.10", "2001:db8:100::10"];
pub const BANK: [&str; 2] = ["203.0.113.80", "2001:db8:113::80"];
const BANK_NAME: &str = "bank";
const CUSTOMERS_NAME: &str = "customers";

/// What customers ask the gateway for.
pub const PAGES: &[Call] = &[
    call("shop-front/gateway", 8080, "/"),
    call("shop-front/gateway", 8080, "/products"),
    call("shop-front/gateway", 8080, "/cart"),
    call("shop-front/gateway", 8080, "/checkout"),
];

/// What the worker does over and over.
pub const JOBS: &[Call] =
    &[call("shop-data/queue", 5672, "/take"), call("shop-data/db", 5432, "/insert")];

/// Whose metrics are read.
pub const SCRAPED: &[&str] = &[
    "shop-front/gateway",
    "shop-front/web",
    "shop-core/catalog",
    "shop-core/cart",
    "shop-core/checkout",
    "shop-core/payments",
    "shop-core/inventory",
    "shop-core/worker",
    "shop-data/db",
    "shop-data/cache",
    "shop-data/queue",
    "ops/snoop",
];

/// The calls behind a path of a service; `None` where it does not serve that path.
pub fn calls(service: &str, path: &str) -> Option<&'static [Call]> {
    Some(match (service, path) {
        ("shop-front/gateway", "/") => const { &[call("shop-front/web", 8081, "/page")] },
        ("shop-front/gateway", "/products") => {
            const { &[call("shop-core/catalog", 8080, "/list")] }
        }
        ("shop-front/gateway", "/cart") => const { &[call("shop-core/cart", 8080, "/cart")] },
        ("shop-front/gateway", "/checkout") => {
            const { &[call("shop-core/checkout", 8080, "/order")] }
        }
        ("shop-core/catalog", "/list") => {
            const { &[call("shop-data/cache", 6379, "/get"), call("shop-data/db", 5432, "/select")] }
        }
        ("shop-core/cart", "/cart") => const { &[call("shop-data/cache", 6379, "/get")] },
        ("shop-core/checkout", "/order") => {
            const {
                &[
                    call("shop-core/inventory", 8080, "/reserve"),
                    call("shop-core/payments", 8443, "/charge"),
                    call("shop-data/queue", 5672, "/publish"),
                ]
            }
        }
        ("shop-core/inventory", "/reserve") => const { &[call("shop-data/db", 5432, "/update")] },
        ("shop-core/payments", "/charge") => const { &[call(BANK_NAME, 443, "/pay")] },
        ("shop-front/web", "/page")
        | ("shop-data/cache", "/get")
        | ("shop-data/db", "/select" | "/update" | "/insert")
        | ("shop-data/queue", "/publish" | "/take")
        | (BANK_NAME, "/pay")
        | (_, "/metrics") => &[],
        _ => return None,
    })
}
