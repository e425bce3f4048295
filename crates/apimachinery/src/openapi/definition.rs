//! Definitions: every named struct of the schema tree as JSON schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Dialect, shared};
use crate::kinds::Resource;
use crate::schema::{Field, ListType, Node, PatchMerge, Shape, Struct};

pub(super) type Definitions = BTreeMap<String, Value>;

/// All definitions that `resources` and their lists need.
pub(super) fn all(resources: &[&Resource], dialect: Dialect) -> Definitions {
    let mut found = Definitions::new();
    for resource in resources {
        collect(resource.schema(), dialect, &mut found);
        let name = name_of(resource);
        if let Some(Value::Object(root)) = found.get_mut(&name) {
            root.insert("x-kubernetes-group-version-kind".into(), json!([gvk(resource)]));
        }
        found.insert(format!("{name}List"), list(resource, dialect));
    }
    for node in shared::nodes() {
        collect(node, dialect, &mut found);
    }
    found
}

/// The definition of the kind itself.
pub(super) fn name_of(resource: &Resource) -> String {
    resource.schema().name.clone().unwrap_or_else(|| resource.kind.to_owned())
}

pub(super) fn gvk(resource: &Resource) -> Value {
    json!({ "group": resource.group, "kind": resource.kind, "version": resource.version })
}

fn collect(node: &Node, dialect: Dialect, found: &mut Definitions) {
    if let Some(name) = &node.name {
        if found.contains_key(name) {
            return;
        }
        found.insert(name.clone(), body(node, dialect));
    }
    match &node.shape {
        Shape::Struct(shape) => {
            shape.fields.values().for_each(|field| collect(&field.node, dialect, found));
        }
        Shape::Map(inner) | Shape::List(inner) => collect(inner, dialect, found),
        _ => {}
    }
}

fn list(resource: &Resource, dialect: Dialect) -> Value {
    let mut kind = gvk(resource);
    if let Some(fields) = kind.as_object_mut() {
        fields.insert("kind".to_owned(), Value::from(resource.list_kind()));
    }
    let reference = |name: &str| json!({ "$ref": dialect.reference(name) });
    json!({
        "description": format!("{} is a list of {}.", resource.list_kind(), resource.plural),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": reference(shared::LIST_META),
            "items": { "type": "array", "items": reference(&name_of(resource)) },
        },
        "x-kubernetes-group-version-kind": [kind],
    })
}

/// A place that refers to the node: by name, or written out.
fn place(node: &Node, dialect: Dialect) -> Map<String, Value> {
    match &node.name {
        Some(name) => {
            let mut reference = Map::new();
            reference.insert("$ref".to_owned(), Value::from(dialect.reference(name)));
            reference
        }
        None => match body(node, dialect) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        },
    }
}

fn body(node: &Node, dialect: Dialect) -> Value {
    let mut schema = shape(&node.shape, dialect);
    if let (Some(fields), false) = (schema.as_object_mut(), node.description.is_empty()) {
        fields.shift_insert(0, "description".to_owned(), Value::from(node.description.as_str()));
    }
    if let (Some(fields), true) = (schema.as_object_mut(), node.atomic) {
        fields.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    schema
}

fn shape(shape: &Shape, dialect: Dialect) -> Value {
    match (shape, dialect) {
        (Shape::Struct(shape), _) => structure(shape, dialect),
        (Shape::Map(inner), _) => {
            json!({ "type": "object", "additionalProperties": place(inner, dialect) })
        }
        (Shape::List(inner), _) => json!({ "type": "array", "items": place(inner, dialect) }),
        (Shape::String { format, allowed }, _) => {
            let mut schema = json!({ "type": "string" });
            add(&mut schema, "format", format.as_deref().map(Value::from));
            let words = (!allowed.is_empty()).then(|| Value::from(allowed.clone()));
            add(&mut schema, "enum", words);
            schema
        }
        (Shape::Integer { format, min, max }, _) => {
            let mut schema = json!({ "type": "integer" });
            add(&mut schema, "format", format.as_deref().map(Value::from));
            add(&mut schema, "minimum", min.map(Value::from));
            add(&mut schema, "maximum", max.map(Value::from));
            schema
        }
        (Shape::Number, _) => json!({ "type": "number", "format": "double" }),
        (Shape::Boolean, _) => json!({ "type": "boolean" }),
        (Shape::IntOrString, Dialect::V2) => json!({ "type": "string", "format": "int-or-string" }),
        (Shape::IntOrString, Dialect::V3) => json!({
            "oneOf": [{ "type": "integer" }, { "type": "string" }], "format": "int-or-string",
        }),
        (Shape::Quantity, Dialect::V2) => json!({ "type": "string" }),
        (Shape::Quantity, Dialect::V3) => {
            json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] })
        }
        (Shape::Any, _) => json!({ "type": "object" }),
    }
}

fn structure(shape: &Struct, dialect: Dialect) -> Value {
    const OPEN: &str = "x-kubernetes-preserve-unknown-fields";
    if shape.open && dialect == Dialect::V2 {
        // Clients of v2 refuse fields beside the listed ones, so none are listed.
        return json!({ "type": "object", OPEN: true });
    }
    let mut properties = Map::new();
    for (name, field) in &shape.fields {
        properties.insert(name.clone(), Value::Object(property(field, dialect)));
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    let required = (!shape.required.is_empty()).then(|| Value::from(shape.required.clone()));
    add(&mut schema, "required", required);
    add(&mut schema, OPEN, shape.open.then(|| Value::from(true)));
    schema
}

fn property(field: &Field, dialect: Dialect) -> Map<String, Value> {
    let mut schema = place(&field.node, dialect);
    if dialect == Dialect::V3
        && let Some(reference) = schema.shift_remove("$ref")
    {
        // In v3 nothing may stand beside a reference.
        schema.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
    if !field.description.is_empty() {
        schema.insert("description".to_owned(), Value::from(field.description.as_str()));
    }
    if let Some(default) = field.default {
        schema.insert("default".to_owned(), Value::from(default));
    }
    if field.atomic {
        schema.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    if matches!(field.node.shape, Shape::List(_)) {
        list_extensions(field, &mut schema);
    }
    schema
}

fn list_extensions(field: &Field, schema: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| schema.insert(key.to_owned(), value);
    match &field.list {
        ListType::Atomic => put("x-kubernetes-list-type", Value::from("atomic")),
        ListType::Set => put("x-kubernetes-list-type", Value::from("set")),
        ListType::Map(keys) => {
            put("x-kubernetes-list-map-keys", Value::from(keys.clone()));
            put("x-kubernetes-list-type", Value::from("map"))
        }
    };
    if let Some(PatchMerge { key, retain_keys }) = field.merge {
        if let Some(key) = key {
            put("x-kubernetes-patch-merge-key", Value::from(key));
        }
        let strategy = if retain_keys { "merge,retainKeys" } else { "merge" };
        put("x-kubernetes-patch-strategy", Value::from(strategy));
    }
}

fn add(schema: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (schema.as_object_mut(), value) {
        fields.insert(key.to_owned(), value);
    }
}
