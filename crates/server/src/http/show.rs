//! Objects in the form that a client accepts: whole, as metadata alone, or as table rows.

use std::sync::Arc;

use bulkhead_apimachinery::kinds::Resource;
use bulkhead_apimachinery::table;
use bulkhead_store::{ResourceVersion, Stored};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::accept::Form;
use super::options::Options;

const META_VERSION: &str = "meta.k8s.io/v1";

/// How much of an object stands beside its table row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

impl Include {
    /// Unknown words mean the default, as for any parameter that does not apply.
    pub fn from_options(options: &Options) -> Self {
        match options.include_object.as_deref() {
            Some("None") => Include::Nothing,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        }
    }
}

/// Ready to be serialised. Whole objects are borrowed: lists of them are long.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Shown<'a> {
    Object(&'a Value),
    Made(Value),
    Objects(ObjectList<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectList<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<&'a Value>,
}

pub fn object<'a>(
    resource: &Resource,
    object: &'a Value,
    form: Form,
    include: Include,
) -> Shown<'a> {
    match form {
        Form::Object => Shown::Object(object),
        Form::Metadata => Shown::Made(partial(object)),
        Form::Table => {
            let metadata = object.get("metadata");
            let version = metadata.and_then(|m| m.get("resourceVersion")).cloned();
            let metadata = json!({"resourceVersion": version.unwrap_or_default()});
            let one = std::iter::once(object);
            Shown::Made(table_of(resource, one, metadata, include))
        }
    }
}

/// A page of objects.
pub struct List<'a> {
    pub resource: &'static Resource,
    pub revision: ResourceVersion,
    pub continuation: Option<String>,
    pub n_remaining: Option<usize>,
    pub items: &'a [Arc<Stored>],
}

impl<'a> List<'a> {
    pub fn show(&self, form: Form, include: Include) -> Shown<'a> {
        let items: &'a [Arc<Stored>] = self.items;
        let objects = items.iter().map(|stored| &stored.value);
        let metadata = self.metadata();
        match form {
            Form::Object => Shown::Objects(ObjectList {
                kind: self.resource.list_kind(),
                api_version: self.resource.api_version(),
                metadata,
                items: objects.collect(),
            }),
            Form::Metadata => Shown::Made(json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": META_VERSION,
                "metadata": metadata,
                "items": objects.map(partial).collect::<Vec<_>>(),
            })),
            Form::Table => Shown::Made(table_of(self.resource, objects, metadata, include)),
        }
    }

    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(self.revision.to_string()));
        if let Some(token) = &self.continuation {
            metadata.insert("continue".to_owned(), json!(token));
        }
        if let Some(n_remaining) = self.n_remaining {
            metadata.insert("remainingItemCount".to_owned(), json!(n_remaining));
        }
        Value::Object(metadata)
    }
}

fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": META_VERSION,
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

fn table_of<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    metadata: Value,
    include: Include,
) -> Value {
    let now = Timestamp::now();
    let rows: Vec<Value> = objects
        .map(|object| {
            let beside = match include {
                Include::Nothing => Value::Null,
                Include::Metadata => partial(object),
                Include::Object => object.clone(),
            };
            json!({"cells": table::cells(resource, object, now), "object": beside})
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": META_VERSION,
        "metadata": metadata,
        "columnDefinitions": table::columns(resource),
        "rows": rows,
    })
}
