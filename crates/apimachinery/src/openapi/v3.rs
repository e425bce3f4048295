//! `/openapi/v3`: an index, and one document for each group-version.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{Dialect, definition, operation};
use crate::kinds::{self, Resource};

/// By path below `/openapi/v3/`: `api/v1`, `apis/networking.k8s.io/v1`.
static DOCUMENTS: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let pairs = kinds::group_versions().into_iter();
    pairs.map(|(group, version)| (path(group, version), make(group, version))).collect()
});

/// The document at `path` below `/openapi/v3/`, as JSON.
pub fn document(path: &str) -> Option<&'static [u8]> {
    DOCUMENTS.get(path.trim_matches('/')).map(Vec::as_slice)
}

/// The index. Each entry carries a hash of its document, so that clients may cache it for ever.
pub fn index() -> Value {
    let mut paths = Map::new();
    for (path, document) in DOCUMENTS.iter() {
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        let url = format!("/openapi/v3/{path}?hash={:016X}", hasher.finish());
        paths.insert(path.clone(), json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn make(group: &str, version: &str) -> Vec<u8> {
    let resources: Vec<&Resource> = kinds::of_group(group, version).collect();
    let paths = resources.iter().flat_map(|resource| operation::paths(resource, Dialect::V3));
    let paths: BTreeMap<String, Value> = paths.collect();
    let document = json!({
        "openapi": "3.0.0",
        "info": { "title": "Bulkhead", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": definition::all(&resources, Dialect::V3) },
    });
    document.to_string().into_bytes()
}
