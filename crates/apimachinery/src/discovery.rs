//! What is served, as clients ask for it: the legacy lists at `/api`, `/apis` and below, and the
//! aggregated documents of `apidiscovery.k8s.io`.

use serde_json::{Map, Value, json};

use crate::kinds::{self, Resource, STATUS_VERBS, VERBS};

#[cfg(test)]
mod tests;

/// Version of the aggregated documents; clients list what they understand in `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    pub fn version(self) -> &'static str {
        match self {
            Aggregated::V2 => "v2",
            Aggregated::V2Beta1 => "v2beta1",
        }
    }

    /// `Content-Type` of the document.
    pub fn content_type(self) -> String {
        let version = self.version();
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
    }
}

/// `/api`: the versions of the core group.
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address},
        ],
    })
}

/// `/apis`: the other groups.
pub fn groups() -> Value {
    let groups: Vec<Value> = named_groups().iter().map(|(g, v)| group_entry(g, v)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/<group>`.
pub fn group(name: &str) -> Option<Value> {
    let (group, versions) = named_groups().into_iter().find(|(group, _)| *group == name)?;
    let mut entry = group_entry(group, &versions);
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("kind".to_owned(), Value::from("APIGroup"));
        fields.insert("apiVersion".to_owned(), Value::from("v1"));
    }
    Some(entry)
}

fn group_entry(group: &str, versions: &[&str]) -> Value {
    let entry = |version: &&str| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

/// The groups but the core one, each with its versions, the preferred one first.
fn named_groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (group, version) in kinds::group_versions() {
        match groups.iter_mut().find(|(known, _)| *known == group) {
            _ if group.is_empty() => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}

/// `/api/v1` and `/apis/<group>/<version>`: the resources of one group-version.
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let mut listed = Vec::new();
    let mut api_version = None;
    for resource in kinds::of_group(group, version) {
        api_version = Some(resource.api_version());
        listed.push(legacy(resource));
        if resource.has_status {
            listed.push(json!({
                "name": format!("{}/status", resource.plural),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": STATUS_VERBS,
            }));
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version?,
        "resources": listed,
    }))
}

fn legacy(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), Value::from(resource.plural));
    entry.insert("singularName".to_owned(), Value::from(resource.singular));
    entry.insert("namespaced".to_owned(), Value::from(resource.namespaced));
    entry.insert("kind".to_owned(), Value::from(resource.kind));
    entry.insert("verbs".to_owned(), Value::from(VERBS));
    if !resource.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), Value::from(resource.short_names));
    }
    if !resource.categories.is_empty() {
        entry.insert("categories".to_owned(), Value::from(resource.categories));
    }
    Value::Object(entry)
}

/// `/api` in aggregated form: the core group.
pub fn aggregated_core(form: Aggregated) -> Value {
    aggregated(form, vec![aggregated_group("", &["v1"])])
}

/// `/apis` in aggregated form: all other groups.
pub fn aggregated_groups(form: Aggregated) -> Value {
    let groups = named_groups().into_iter().map(|(g, v)| aggregated_group(g, &v)).collect();
    aggregated(form, groups)
}

fn aggregated(form: Aggregated, items: Vec<Value>) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", form.version()),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &str, versions: &[&str]) -> Value {
    let entry = |version: &&str| {
        let resources: Vec<Value> =
            kinds::of_group(group, version).map(aggregated_resource).collect();
        json!({ "version": version, "resources": resources, "freshness": "Current" })
    };
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({
        "group": resource.group, "version": resource.version, "kind": resource.kind,
    });
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": VERBS,
    });
    let Some(fields) = entry.as_object_mut() else { return entry };
    if !resource.short_names.is_empty() {
        fields.insert("shortNames".to_owned(), Value::from(resource.short_names));
    }
    if !resource.categories.is_empty() {
        fields.insert("categories".to_owned(), Value::from(resource.categories));
    }
    if resource.has_status {
        let status = json!({"subresource": "status", "responseKind": kind, "verbs": STATUS_VERBS});
        fields.insert("subresources".to_owned(), json!([status]));
    }
    entry
}
