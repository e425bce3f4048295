//! Whose DNS answers count on this node, and for how long.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use bulkhead_enforce::dns::DnsOptions;
use bulkhead_enforce::limits::dns::{RESOLVERS_MAX, TTL_MAX_S, TTL_MIN_S};
use clap::Args;

use super::ConfigError;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const FILE: &str = "names";

#[derive(Clone, Debug, Args)]
pub struct DnsArgs {
    /// Resolver whose answers count for rules by DNS name, by the address that workloads ask: in
    /// Kubernetes the cluster IP of the DNS Service. May be repeated; the name servers of
    /// /etc/resolv.conf when not given
    #[arg(long = "dns-trusted", value_name = "ADDRESS")]
    pub trusted: Vec<IpAddr>,
    /// What was looked up is known for so many seconds at least, whatever the answer says
    #[arg(long = "dns-ttl-min", value_name = "SECONDS", default_value_t = TTL_MIN_S)]
    pub ttl_min: u32,
}

impl DnsArgs {
    pub fn check(self, state_dir: &Path) -> Result<DnsOptions, ConfigError> {
        if self.ttl_min > TTL_MAX_S {
            return Err(ConfigError::DnsTtl { value: self.ttl_min, most: TTL_MAX_S });
        }
        let resolvers: BTreeSet<IpAddr> = match self.trusted.is_empty() {
            true => name_servers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()),
            false => self.trusted.into_iter().collect(),
        };
        if resolvers.len() > RESOLVERS_MAX {
            return Err(ConfigError::DnsTrusted { n: resolvers.len(), most: RESOLVERS_MAX });
        }
        Ok(DnsOptions {
            resolvers,
            ttl_min_s: self.ttl_min,
            ttl_max_s: TTL_MAX_S,
            journal: Some(state_dir.join(FILE)),
        })
    }
}

/// A resolver on the loopback interface is the node's own: no workload asks there.
fn name_servers(resolv_conf: &str) -> BTreeSet<IpAddr> {
    let lines = resolv_conf.lines().map(str::split_whitespace);
    let addresses = lines.filter_map(|mut words| match words.next() {
        Some("nameserver") => words.next()?.parse::<IpAddr>().ok(),
        _ => None,
    });
    addresses.filter(|address| !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests;
