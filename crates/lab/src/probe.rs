//! The lines that ask for a connection and what came of it.
//!
//! The form is that of `bulkhead eval --flows`, so one file serves both.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_types::Protocol;
use serde::{Deserialize, Serialize};

/// One connection to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    pub id: serde_json::Value,
    /// `namespace/name`, or an address; one that no endpoint has lives in the outside namespace.
    pub src: String,
    pub dst: String,
    /// A protocol's name or number.
    pub protocol: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What to send from; any port when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// 4 (when unset and no address tells) or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
}

/// What a probe met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub connected: bool,
    /// From the first packet to the answer.
    pub took: Duration,
}

/// How patiently to ask.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many fresh attempts must all fail before it is "not connected".
    pub attempts: u32,
    /// How many probes are under way at once.
    pub parallel: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(300), attempts: 2, parallel: 128 }
    }
}

impl Probe {
    pub fn new(src: &str, dst: &str, protocol: Protocol, port: u16) -> Self {
        Self {
            id: serde_json::Value::from(format!("{src} {dst} {protocol}/{port}")),
            src: src.to_owned(),
            dst: dst.to_owned(),
            protocol: serde_json::Value::from(protocol.to_string()),
            port: (port != 0).then_some(port),
            src_port: None,
            family: None,
            icmp_type: None,
            icmp_code: None,
        }
    }

    pub fn tcp(src: &str, dst: &str, port: u16) -> Self {
        Self::new(src, dst, Protocol::TCP, port)
    }

    pub fn udp(src: &str, dst: &str, port: u16) -> Self {
        Self::new(src, dst, Protocol::UDP, port)
    }

    pub fn v6(mut self) -> Self {
        self.family = Some(6);
        self
    }

    /// Reads JSON lines; blank lines are passed over.
    pub fn read_lines(text: &str) -> Result<Vec<Self>> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(i, line)| {
                serde_json::from_str(line).with_context(|| format!("probes, line {}", i + 1))
            })
            .collect()
    }

    pub fn protocol(&self) -> Result<Protocol> {
        let text = match &self.protocol {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.parse().with_context(|| format!("probe {}", self.id))
    }

    /// The family that the addresses, the protocol or the line ask for.
    pub fn is_v6(&self) -> Result<bool> {
        let named = [&self.src, &self.dst]
            .into_iter()
            .find_map(|text| text.parse::<IpAddr>().ok())
            .map(|address| address.is_ipv6());
        Ok(match (named, self.family) {
            (Some(v6), _) => v6,
            (None, Some(family)) => family == 6,
            (None, None) => self.protocol()? == Protocol::ICMPV6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named() {
        let error = Probe::read_lines("\n{\"id\":\"1\"}\n").unwrap_err();
        assert_eq!(error.to_string(), "probes, line 2");
    }

    #[test]
    fn family_follows_the_address() {
        let mut probe = Probe::tcp("a/b", "2001:db8::1", 80);
        assert!(probe.is_v6().unwrap());
        probe.dst = "a/c".to_owned();
        assert!(!probe.is_v6().unwrap());
        assert!(probe.v6().is_v6().unwrap());
    }
}
