//! `metadata.managedFields`: the books of ownership, read and written.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Author;
use super::field_set::{FieldSet, PathElement};
use super::tree::Change;
use crate::kinds::Resource;

/// Most managers that are told apart on one object; the oldest `Update`s beyond it become one.
const UPDATE_MANAGERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// One manager and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<String>,
    pub set: FieldSet,
}

impl Managed {
    pub(super) fn is(&self, other: &Managed) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }
}

/// The author as a manager that owns nothing yet.
pub(super) fn key(resource: &Resource, author: Author<'_>, operation: Operation) -> Managed {
    Managed {
        manager: author.manager.to_owned(),
        operation,
        api_version: resource.api_version(),
        subresource: author.subresource.to_owned(),
        time: None,
        set: FieldSet::default(),
    }
}

pub(super) fn find<'a>(managers: &'a [Managed], me: &Managed) -> Option<&'a Managed> {
    managers.iter().find(|manager| manager.is(me))
}

pub(super) fn time(now: Timestamp) -> String {
    crate::meta::time(now)
}

/// The object without its books, and the books.
pub fn split(object: &Value) -> (Value, Vec<Managed>) {
    let mut rest = object.clone();
    let books = rest
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.shift_remove("managedFields"));
    let entries = books.as_ref().and_then(Value::as_array).into_iter().flatten();
    (rest, entries.filter_map(read).collect())
}

fn read(entry: &Value) -> Option<Managed> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    Some(Managed {
        manager: text("manager").unwrap_or_default().to_owned(),
        operation: match text("operation")? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        },
        api_version: text("apiVersion")?.to_owned(),
        subresource: text("subresource").unwrap_or_default().to_owned(),
        time: text("time").map(str::to_owned),
        set: FieldSet::from_value(entry.get("fieldsV1")?),
    })
}

/// The object with its books: applies first, then by time and name, as upstream sorts them.
pub(super) fn join(mut object: Value, mut managers: Vec<Managed>) -> Value {
    managers.retain(|manager| !manager.set.is_empty());
    cap(&mut managers);
    managers.sort_by(|a, b| {
        let key = |m: &Managed| (m.operation, m.time.clone(), m.manager.clone());
        key(a).cmp(&key(b))
    });
    if managers.is_empty() {
        return object;
    }
    let Some(object_fields) = object.as_object_mut() else { return object };
    let metadata = object_fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        let books = managers.iter().map(write).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(books));
    }
    object
}

fn write(manager: &Managed) -> Value {
    let mut entry = json!({
        "manager": manager.manager,
        "operation": format!("{:?}", manager.operation),
        "apiVersion": manager.api_version,
    });
    if let Some(fields) = entry.as_object_mut() {
        if let Some(time) = &manager.time {
            fields.insert("time".to_owned(), Value::from(time.as_str()));
        }
        fields.insert("fieldsType".to_owned(), Value::from("FieldsV1"));
        fields.insert("fieldsV1".to_owned(), manager.set.to_value());
        if !manager.subresource.is_empty() {
            fields.insert("subresource".to_owned(), Value::from(manager.subresource.as_str()));
        }
    }
    entry
}

fn cap(managers: &mut Vec<Managed>) {
    let updates = managers.iter().filter(|m| m.operation == Operation::Update).count();
    if updates <= UPDATE_MANAGERS_MAX {
        return;
    }
    managers.sort_by(|a, b| (a.operation, &a.time).cmp(&(b.operation, &b.time)));
    let first = managers.iter().position(|m| m.operation == Operation::Update).unwrap_or(0);
    let surplus = updates - UPDATE_MANAGERS_MAX + 1;
    let oldest: Vec<Managed> = managers.drain(first..first + surplus).collect();
    let Some(last) = oldest.last().cloned() else { return };
    let set = oldest.iter().fold(FieldSet::default(), |all, m| all.union(&m.set));
    managers.push(Managed { manager: ANCIENT.to_owned(), set, subresource: String::new(), ..last });
}

/// The others lose what was changed or removed under them.
pub(super) fn yield_to(others: &mut Vec<Managed>, change: &Change) {
    let written = change.modified.union(&change.added).union(&change.removed);
    for other in others.iter_mut() {
        other.set = other.set.difference(&written);
    }
    others.retain(|other| !other.set.is_empty());
}

/// `set` without the fields that belong to the server.
pub(super) fn tracked(set: &FieldSet) -> FieldSet {
    let mut server = FieldSet::default();
    for field in ["apiVersion", "kind"] {
        server.insert(&[PathElement::field(field)]);
    }
    let metadata = PathElement::field("metadata");
    server.insert(std::slice::from_ref(&metadata));
    const SERVER: &[&str] = &[
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "generateName",
    ];
    for field in SERVER {
        server.insert(&[metadata.clone(), PathElement::field(field)]);
    }
    set.difference(&server)
}
