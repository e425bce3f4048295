//! What is allowed and yet probably not meant; sent as `Warning` headers.

use bulkhead_api::object::Kind;
use serde_json::Value;

use super::read;
use crate::kinds::Resource;

/// One sentence for each doubt.
pub fn warnings(resource: &Resource, object: &Value) -> Vec<String> {
    let types = match resource.id {
        Kind::KubernetesNetworkPolicy => "policyTypes",
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => "types",
        _ => return Vec::new(),
    };
    let Some(spec) = object.get("spec") else { return Vec::new() };
    let listed = read::items(spec, types);
    let mut found = Vec::new();
    for (rules, word) in [("ingress", "Ingress"), ("egress", "Egress")] {
        if !read::items(spec, rules).is_empty() && !listed.iter().any(|t| t == word) {
            found.push(format!(
                "spec.{rules}: these rules have no effect because spec.{types} does not list {word}"
            ));
        }
    }
    found
}
