//! DNS names that rules allow: exact, or everything below a name (`*.example.com`).

use serde_json::Value;

use super::{names, read};
use crate::field::FieldError;

const DOMAINS_MAX: usize = 256;

pub(super) fn list(holder: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let count = read::items(holder, key).len();
    if count > DOMAINS_MAX {
        errors.push(FieldError::too_many(crate::field::child(path, key), count, DOMAINS_MAX));
        return;
    }
    for (path, value) in read::indexed(holder, key, path) {
        let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        let name = text.strip_prefix("*.").unwrap_or(text);
        if !names::dns_subdomain(name).is_empty() {
            let rule = "must be a DNS name, such as api.example.com, or all names below one, such \
                as *.example.com";
            errors.push(FieldError::invalid(path, value, rule));
        }
    }
}
