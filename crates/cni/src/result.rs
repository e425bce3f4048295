//! The result of the plugins before: what of it the agent needs to know. It is passed on as it came.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{CniError, code};

#[derive(Clone, Debug, Default, Deserialize)]
struct RawResult {
    #[serde(default)]
    interfaces: Vec<RawInterface>,
    #[serde(default)]
    ips: Vec<RawIp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RawInterface {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RawIp {
    #[serde(default)]
    address: String,
    interface: Option<usize>,
}

/// What the plugins before have made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// On the host's side: a pair's near end, and perhaps a bridge.
    pub host_interfaces: Vec<String>,
    /// Inside the container.
    pub addresses: BTreeSet<IpAddr>,
}

impl Made {
    /// `inside`: the container's interface that this call is about.
    pub fn read(result: &Value, inside: &str) -> Result<Self, CniError> {
        let invalid = |message: String| CniError::new(code::INVALID_CONFIG, message);
        let raw = RawResult::deserialize(result).map_err(|error| {
            invalid("`prevResult` cannot be read".to_owned()).details(error.to_string())
        })?;
        let is_inside = |index: Option<usize>| {
            let interface = index.and_then(|index| raw.interfaces.get(index));
            interface.is_none_or(|known| !known.sandbox.is_empty() && known.name == inside)
        };
        let mut addresses = BTreeSet::new();
        for ip in raw.ips.iter().filter(|ip| is_inside(ip.interface)) {
            let text = ip.address.split('/').next().unwrap_or_default();
            let address = text
                .parse()
                .map_err(|_| invalid(format!("`{}` in `prevResult` is no address", ip.address)))?;
            addresses.insert(address);
        }
        if addresses.is_empty() {
            let message = format!("`prevResult` has no address for `{inside}`: nothing to enforce");
            return Err(invalid(message));
        }
        let on_host = raw.interfaces.iter().filter(|known| known.sandbox.is_empty());
        let host_interfaces = on_host.map(|known| known.name.clone()).collect();
        Ok(Self { host_interfaces, addresses })
    }
}
