//! Addresses and CIDRs as they stand in objects.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::field::FieldError;

pub(super) const CIDR_RULE: &str =
    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
pub(super) const ADDRESS_RULE: &str =
    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// A CIDR with its prefix length.
pub(super) fn cidr(value: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<IpNet> {
    let parsed = value.as_str().and_then(|text| text.parse::<IpNet>().ok());
    if parsed.is_none() {
        errors.push(FieldError::invalid(path, value, CIDR_RULE));
    }
    parsed
}

/// A CIDR, or a single address that stands for itself.
pub(super) fn net(value: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<IpNet> {
    let text = value.as_str().unwrap_or_default();
    let parsed =
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    if parsed.is_none() {
        let rule = "must be a CIDR or an address, such as 10.0.0.0/8, 10.9.8.7 or 2001:db8::/64";
        errors.push(FieldError::invalid(path, value, rule));
    }
    parsed
}

pub(super) fn address(value: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<IpAddr> {
    let parsed = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    if parsed.is_none() {
        errors.push(FieldError::invalid(path, value, ADDRESS_RULE));
    }
    parsed
}
