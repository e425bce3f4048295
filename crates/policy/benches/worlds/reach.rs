//! World G: who may reach whom, by `policy::reach`.

use serde_json::{Map, Value, json};

/// 400 workloads under 400 policies from nothing, and world B after one change.
pub fn g() -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("G_400_ms".into(), json!(null));
    all.insert("G_100k_change_ms".into(), json!(null));
    all
}
