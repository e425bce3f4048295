//! The operations of a kind: paths, methods and what may be asked for, told once for both dialects.

use serde_json::{Map, Value, json};

use super::{Dialect, definition, shared};
use crate::kinds::Resource;
use crate::patch::PatchType;

/// One method of one path.
struct Operation<'a> {
    resource: &'a Resource,
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    id: String,
    query: Vec<&'static str>,
    body: Option<Body>,
    answer: String,
}

struct Body {
    definition: String,
    media_types: Vec<&'static str>,
}

const READ: &[&str] = &["pretty"];
const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "pretty",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "pretty"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force", "pretty"];
const DELETE: &[&str] =
    &["dryRun", "gracePeriodSeconds", "orphanDependents", "pretty", "propagationPolicy"];
const ANY_MEDIA: &[&str] = &["*/*"];
const ANSWERS: &[&str] = &["application/json", "application/yaml", "application/json;stream=watch"];

/// What one query parameter is: its type and purpose.
fn parameter(name: &str) -> (&'static str, &'static str) {
    match name {
        "allowWatchBookmarks" => ("boolean", "Asks for bookmark events in a watch."),
        "continue" => ("string", "Where the last page of this list ended."),
        "dryRun" => ("string", "With `All`, everything is done but storing."),
        "fieldManager" => ("string", "Who writes, for the books of ownership."),
        "fieldSelector" => ("string", "Only objects with these fields."),
        "fieldValidation" => ("string", "Unknown fields: Ignore, Warn (default) or Strict."),
        "force" => ("boolean", "An apply takes over what others own."),
        "gracePeriodSeconds" => {
            ("integer", "Accepted and ignored: nothing here takes time to stop.")
        }
        "labelSelector" => ("string", "Only objects with these labels."),
        "limit" => ("integer", "Longest page."),
        "orphanDependents" => ("boolean", "Dependents stay. Use propagationPolicy."),
        "pretty" => ("string", "Indents the answer."),
        "propagationPolicy" => ("string", "Orphan, Background or Foreground."),
        "resourceVersion" => ("string", "The revision to list or to watch from."),
        "resourceVersionMatch" => ("string", "Exact or NotOlderThan."),
        "sendInitialEvents" => ("boolean", "A watch begins with what exists."),
        "timeoutSeconds" => ("integer", "Ends the watch."),
        "watch" => ("boolean", "Streams changes instead of listing."),
        "name" => ("string", "The name of the object."),
        "namespace" => ("string", "The namespace of the object."),
        _ => ("string", ""),
    }
}

/// All paths of `resource`, each with its path item.
pub(super) fn paths(resource: &Resource, dialect: Dialect) -> Vec<(String, Value)> {
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{base}{place}/{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let mut paths = vec![
        (collection, path_item(collection_operations(resource), resource, false, dialect)),
        (item.clone(), path_item(item_operations(resource, ""), resource, true, dialect)),
    ];
    if resource.has_status {
        let operations = item_operations(resource, "Status")
            .into_iter()
            .filter(|operation| operation.method != "delete")
            .collect();
        paths.push((format!("{item}/status"), path_item(operations, resource, true, dialect)));
    }
    if resource.namespaced {
        let everywhere = operation(resource, "get", "list", "listAll", LIST, None);
        let listed = Operation { answer: list_name(resource), ..everywhere };
        let mut fields = Map::new();
        fields.insert("get".to_owned(), listed.render(dialect));
        paths.push((format!("{base}/{}", resource.plural), Value::Object(fields)));
    }
    paths
}

fn list_name(resource: &Resource) -> String {
    format!("{}List", definition::name_of(resource))
}

fn operation<'a>(
    resource: &'a Resource,
    method: &'static str,
    action: &'static str,
    verb: &str,
    query: &[&'static str],
    body: Option<Body>,
) -> Operation<'a> {
    let group: String = resource.group.split('.').take(1).map(capital).collect();
    let group = if group.is_empty() { "Core".to_owned() } else { group };
    let id = format!("{verb}{group}{}{}", capital(resource.version), resource.kind);
    let answer = definition::name_of(resource);
    Operation { resource, method, action, id, query: query.to_vec(), body, answer }
}

fn collection_operations(resource: &Resource) -> Vec<Operation<'_>> {
    let list = operation(resource, "get", "list", "list", LIST, None);
    let all: Vec<&'static str> = DELETE.iter().chain(LIST).copied().collect();
    let clear =
        operation(resource, "delete", "deletecollection", "deleteCollection", &all, options());
    vec![
        Operation { answer: list_name(resource), ..list },
        operation(resource, "post", "post", "create", WRITE, Some(whole(resource))),
        Operation { answer: shared::STATUS.to_owned(), ..clear },
    ]
}

fn item_operations<'a>(resource: &'a Resource, suffix: &str) -> Vec<Operation<'a>> {
    let patch = Body {
        definition: definition::name_of(resource),
        media_types: PatchType::accepted(resource).to_vec(),
    };
    let mut made = vec![
        operation(resource, "get", "get", "read", READ, None),
        operation(resource, "put", "put", "replace", WRITE, Some(whole(resource))),
        operation(resource, "patch", "patch", "patch", PATCH, Some(patch)),
        operation(resource, "delete", "delete", "delete", DELETE, options()),
    ];
    for operation in &mut made {
        operation.id.push_str(suffix);
        if operation.method == "delete" {
            operation.answer = shared::STATUS.to_owned();
        }
    }
    made
}

fn whole(resource: &Resource) -> Body {
    Body { definition: definition::name_of(resource), media_types: ANY_MEDIA.to_vec() }
}

fn options() -> Option<Body> {
    Some(Body { definition: shared::DELETE_OPTIONS.to_owned(), media_types: ANY_MEDIA.to_vec() })
}

fn path_item(
    operations: Vec<Operation<'_>>,
    resource: &Resource,
    named: bool,
    dialect: Dialect,
) -> Value {
    let mut fields = Map::new();
    for operation in operations {
        fields.insert(operation.method.to_owned(), operation.render(dialect));
    }
    let mut parameters = Vec::new();
    for (name, wanted) in [("name", named), ("namespace", resource.namespaced)] {
        if wanted {
            parameters.push(rendered_parameter(name, "path", dialect));
        }
    }
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), Value::Array(parameters));
    }
    Value::Object(fields)
}

fn rendered_parameter(name: &str, place: &str, dialect: Dialect) -> Value {
    let (kind, description) = parameter(name);
    let mut rendered = json!({ "name": name, "in": place, "description": description });
    let Some(fields) = rendered.as_object_mut() else { return rendered };
    if place == "path" {
        fields.insert("required".to_owned(), Value::Bool(true));
    }
    match dialect {
        Dialect::V2 => {
            fields.insert("type".to_owned(), Value::from(kind));
            fields.insert("uniqueItems".to_owned(), Value::Bool(true));
        }
        Dialect::V3 => {
            fields.insert("schema".to_owned(), json!({ "type": kind, "uniqueItems": true }));
        }
    }
    rendered
}

impl Operation<'_> {
    fn render(&self, dialect: Dialect) -> Value {
        let mut parameters: Vec<Value> =
            self.query.iter().map(|name| rendered_parameter(name, "query", dialect)).collect();
        let mut rendered = json!({
            "tags": [self.resource.api_version().replace(['/', '.'], "_")],
            "operationId": self.id,
        });
        let Some(fields) = rendered.as_object_mut() else { return rendered };
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        let answer = json!({ "$ref": dialect.reference(&self.answer) });
        match (dialect, &self.body) {
            (Dialect::V2, body) => {
                if let Some(body) = body {
                    put("consumes", Value::from(body.media_types.clone()));
                    parameters.push(json!({
                        "name": "body", "in": "body", "required": self.method != "delete",
                        "schema": { "$ref": dialect.reference(&body.definition) },
                    }));
                }
                put("produces", Value::from(ANSWERS));
                put("responses", json!({ "200": { "description": "OK", "schema": answer } }));
            }
            (Dialect::V3, body) => {
                if let Some(body) = body {
                    let reference = json!({ "$ref": dialect.reference(&body.definition) });
                    put(
                        "requestBody",
                        json!({ "content": content(&body.media_types, &reference) }),
                    );
                }
                let content = content(ANSWERS, &answer);
                put("responses", json!({ "200": { "description": "OK", "content": content } }));
            }
        }
        put("parameters", Value::Array(parameters));
        put("x-kubernetes-action", Value::from(self.action));
        put("x-kubernetes-group-version-kind", definition::gvk(self.resource));
        rendered
    }
}

fn content(media_types: &[&str], schema: &Value) -> Value {
    let mut content = Map::new();
    for media_type in media_types {
        content.insert((*media_type).to_owned(), json!({ "schema": schema }));
    }
    Value::Object(content)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
