//! Our kinds as CustomResourceDefinitions, for API servers that are not ours.
//!
//! Made of the registry and the schema tree that judge objects here, so that a cluster and the server
//! take the same documents. What a structural schema cannot say (how selectors are written, say) the
//! compiler finds, and tells in the policy's status.

use bulkhead_api::object::Kind;
use serde_json::{Map, Value, json};

use crate::kinds::{self, Resource};
use crate::schema::{Field, ListType, Node, Shape, Struct};
use crate::table::{self, Heading};

/// Groups whose kinds no cluster has by itself.
const GROUPS: [&str; 2] = ["projectcalico.org", "bulkhead.dev"];

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// The kinds that a cluster needs definitions of.
pub fn resources() -> impl Iterator<Item = &'static Resource> {
    kinds::all().iter().filter(|resource| GROUPS.contains(&resource.group))
}

/// `workloads.bulkhead.dev.yaml`
pub fn file_name(resource: &Resource) -> String {
    format!("{}.yaml", resource.qualified_plural())
}

/// The manifest that defines the kind.
pub fn definition(resource: &Resource) -> Value {
    let mut names = json!({
        "kind": resource.kind,
        "listKind": resource.list_kind(),
        "plural": resource.plural,
        "singular": resource.singular,
    });
    put_list(&mut names, "shortNames", resource.short_names);
    put_list(&mut names, "categories", resource.categories);
    let mut version = json!({
        "name": resource.version,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": columns(resource),
        "schema": {"openAPIV3Schema": root(resource)},
    });
    if let (true, Some(fields)) = (resource.has_status, version.as_object_mut()) {
        fields.insert("subresources".to_owned(), json!({"status": {}}));
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.qualified_plural()},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "versions": [version],
        },
    })
}

fn put_list(object: &mut Value, key: &str, words: &[&str]) {
    if let (false, Some(fields)) = (words.is_empty(), object.as_object_mut()) {
        fields.insert(key.to_owned(), json!(words));
    }
}

// Columns

/// The columns of our own tables, as far as a path can say them; a table is made of programs, a
/// definition of paths.
fn columns(resource: &Resource) -> Vec<Value> {
    let column = |heading: Heading| {
        let (path, kind) = path(resource.id, heading.name)?;
        let mut column = json!({"name": heading.name, "type": kind, "jsonPath": path});
        if let Some(fields) = column.as_object_mut() {
            fields.insert("description".to_owned(), Value::from(heading.description));
            if heading.wide {
                fields.insert("priority".to_owned(), Value::from(1));
            }
        }
        Some(column)
    };
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let (narrow, wide): (Vec<Heading>, Vec<Heading>) =
        table::headings(resource).partition(|heading| !heading.wide);
    let narrow = narrow.into_iter().filter_map(column);
    narrow.chain([age]).chain(wide.into_iter().filter_map(column)).collect()
}

fn path(kind: Kind, heading: &str) -> Option<(&'static str, &'static str)> {
    Some(match (kind, heading) {
        (_, "Enforced") => (".status.conditions[?(@.type==\"Enforced\")].message", "string"),
        (_, "Tier") => (".spec.tier", "string"),
        (_, "Order") => (".spec.order", "number"),
        (_, "Selector") => (".spec.selector", "string"),
        (_, "Types") => (".spec.types", "string"),
        (_, "Action") => (".spec.stagedAction", "string"),
        (_, "Default-Action") => (".spec.defaultAction", "string"),
        (Kind::Workload, "Node") => (".spec.nodeName", "string"),
        (Kind::HostEndpoint, "Node") => (".spec.node", "string"),
        (Kind::Workload, "Interface") => (".spec.interface", "string"),
        (Kind::HostEndpoint, "Interface") => (".spec.interfaceName", "string"),
        (_, "Addresses") => (".spec.addresses", "string"),
        (_, "IPs") => (".spec.expectedIPs", "string"),
        (_, "Profiles") => (".spec.profiles", "string"),
        (_, "CIDRs") => (".spec.nets", "string"),
        _ => return None,
    })
}

// Schemas

/// The API server itself looks after metadata, and refuses to be told how.
fn root(resource: &Resource) -> Value {
    let mut schema = place(resource.schema());
    let metadata = json!({"type": "object"});
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("metadata".to_owned(), metadata);
    }
    Value::Object(schema)
}

/// A structural schema: everything in place, a type everywhere.
fn place(node: &Node) -> Map<String, Value> {
    let mut schema = shape(&node.shape);
    if !node.description.is_empty() {
        schema.shift_insert(0, "description".to_owned(), Value::from(node.description.as_str()));
    }
    if node.atomic && matches!(node.shape, Shape::Struct(_) | Shape::Map(_)) {
        schema.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    schema
}

fn shape(shape: &Shape) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut put = |key: &str, value: Value| drop(schema.insert(key.to_owned(), value));
    match shape {
        Shape::Struct(fields) => return structure(fields),
        Shape::Map(inner) => {
            put("type", "object".into());
            put("additionalProperties", Value::Object(place(inner)));
        }
        Shape::List(inner) => {
            put("type", "array".into());
            put("items", Value::Object(place(inner)));
        }
        Shape::String { format, allowed } => {
            put("type", "string".into());
            // Others mean nothing to an API server, which warns of them.
            if let Some(format) = format.as_deref().filter(|format| *format == "date-time") {
                put("format", format.into());
            }
            if !allowed.is_empty() {
                put("enum", json!(allowed));
            }
        }
        Shape::Integer { format, min, max } => {
            put("type", "integer".into());
            if let Some(format) = format.as_deref().filter(|f| ["int32", "int64"].contains(f)) {
                put("format", format.into());
            }
            min.iter().for_each(|min| put("minimum", Value::from(*min)));
            max.iter().for_each(|max| put("maximum", Value::from(*max)));
        }
        Shape::Number => put("type", "number".into()),
        Shape::Boolean => put("type", "boolean".into()),
        Shape::IntOrString | Shape::Quantity => put("x-kubernetes-int-or-string", true.into()),
        Shape::Any => put(PRESERVE, true.into()),
    }
    schema
}

fn structure(fields: &Struct) -> Map<String, Value> {
    let properties: Map<String, Value> = fields
        .fields
        .iter()
        .map(|(name, field)| (name.clone(), Value::Object(property(field))))
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
    let required: Vec<&String> =
        fields.required.iter().filter(|name| *name != "metadata").collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if fields.open {
        schema.insert(PRESERVE.to_owned(), true.into());
    }
    schema
}

fn property(field: &Field) -> Map<String, Value> {
    let mut schema = place(&field.node);
    if !field.description.is_empty() {
        let text = Value::from(field.description.as_str());
        schema.shift_remove("description");
        schema.shift_insert(0, "description".to_owned(), text);
    }
    if let Some(default) = field.default {
        schema.insert("default".to_owned(), Value::from(default));
    }
    if field.atomic && matches!(field.node.shape, Shape::Struct(_) | Shape::Map(_)) {
        schema.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    if matches!(field.node.shape, Shape::List(_)) {
        let kind = match &field.list {
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map(keys) => {
                schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
                "map"
            }
        };
        schema.insert("x-kubernetes-list-type".to_owned(), kind.into());
    }
    schema
}
