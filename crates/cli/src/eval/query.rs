//! One line of flows.

use std::borrow::Cow;

use bulkhead_types::Protocol;
use serde::Deserialize;
use serde_json::Value;

/// `docs/reference/cli.md` describes every field for users.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query<'a> {
    pub id: Value,
    #[serde(borrow)]
    pub src: Cow<'a, str>,
    #[serde(borrow)]
    pub dst: Cow<'a, str>,
    /// A name or a number.
    pub protocol: Value,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub family: Option<u8>,
    #[serde(default)]
    pub src_port: Option<u16>,
    #[serde(default)]
    pub icmp_type: Option<u8>,
    #[serde(default)]
    pub icmp_code: Option<u8>,
}

impl Query<'_> {
    pub fn protocol(&self) -> Result<Protocol, String> {
        let parsed = match &self.protocol {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        };
        parsed.map_err(|error: bulkhead_types::ParseProtocolError| format!("`protocol`: {error}"))
    }
}
