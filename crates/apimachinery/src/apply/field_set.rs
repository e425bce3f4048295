//! Sets of field paths, and their written form `fieldsV1`.
//!
//! INVARIANT(lean): an entry is owned or has something below it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// One step of a path. Keys and values are kept as canonical JSON text, which is their identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field or map key.
    Field(String),
    /// A list item told apart by key fields: `{"name":"a"}`.
    Key(String),
    /// A list item that is its own identity.
    Value(String),
    Index(usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    entries: BTreeMap<PathElement, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub owned: bool,
    pub below: FieldSet,
}

impl PathElement {
    pub fn field(name: &str) -> Self {
        PathElement::Field(name.to_owned())
    }

    fn written(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(json) => format!("k:{json}"),
            PathElement::Value(json) => format!("v:{json}"),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => PathElement::field(rest),
            "k" => PathElement::Key(canonical(rest)?),
            "v" => PathElement::Value(canonical(rest)?),
            "i" => PathElement::Index(rest.parse().ok()?),
            _ => return None,
        })
    }
}

/// JSON text with sorted keys, whatever order it came in.
fn canonical(text: &str) -> Option<String> {
    match serde_json::from_str::<Value>(text).ok()? {
        Value::Object(fields) => {
            let sorted: BTreeMap<String, Value> = fields.into_iter().collect();
            serde_json::to_string(&sorted).ok()
        }
        scalar => Some(scalar.to_string()),
    }
}

/// As in conflict messages: `.spec.containers[name="a"].image`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Value(json) => write!(f, "[={json}]"),
            PathElement::Index(index) => write!(f, "[{index}]"),
            PathElement::Key(json) => {
                let fields: BTreeMap<String, Value> =
                    serde_json::from_str(json).unwrap_or_default();
                let pairs: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "[{}]", pairs.join(","))
            }
        }
    }
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> impl Iterator<Item = (&PathElement, &Entry)> {
        self.entries.iter()
    }

    pub fn get(&self, element: &PathElement) -> Option<&Entry> {
        self.entries.get(element)
    }

    /// Puts `entry` at `element`, unless it says nothing.
    pub fn put(&mut self, element: PathElement, entry: Entry) {
        if entry.owned || !entry.below.is_empty() {
            self.entries.insert(element, entry);
        }
    }

    /// Adds one path.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let entry = self.entries.entry(first.clone()).or_default();
        match rest {
            [] => entry.owned = true,
            _ => entry.below.insert(rest),
        }
    }

    pub fn has(&self, path: &[PathElement]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let Some(entry) = self.entries.get(first) else { return false };
        if rest.is_empty() { entry.owned } else { entry.below.has(rest) }
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (element, theirs) in &other.entries {
            let entry = all.entries.entry(element.clone()).or_default();
            entry.owned |= theirs.owned;
            entry.below = entry.below.union(&theirs.below);
        }
        all
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = FieldSet::default();
        for (element, mine) in &self.entries {
            let Some(theirs) = other.entries.get(element) else { continue };
            let below = mine.below.intersection(&theirs.below);
            both.put(element.clone(), Entry { owned: mine.owned && theirs.owned, below });
        }
        both
    }

    /// The paths that `other` does not hold.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = FieldSet::default();
        for (element, mine) in &self.entries {
            let entry = match other.entries.get(element) {
                None => mine.clone(),
                Some(theirs) => Entry {
                    owned: mine.owned && !theirs.owned,
                    below: mine.below.difference(&theirs.below),
                },
            };
            rest.put(element.clone(), entry);
        }
        rest
    }

    /// Every owned path as text, in order.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&mut String::new(), &mut found);
        found
    }

    fn walk(&self, prefix: &mut String, found: &mut Vec<String>) {
        for (element, entry) in &self.entries {
            let length = prefix.len();
            prefix.push_str(&element.to_string());
            if entry.owned {
                found.push(prefix.clone());
            }
            entry.below.walk(prefix, found);
            prefix.truncate(length);
        }
    }

    /// The written form: `{"f:spec":{"f:replicas":{}}}`.
    pub fn to_value(&self) -> Value {
        let mut written = Map::new();
        for (element, entry) in &self.entries {
            let mut below = entry.below.to_value();
            if let (true, false, Value::Object(fields)) =
                (entry.owned, entry.below.is_empty(), &mut below)
            {
                fields.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
            }
            written.insert(element.written(), below);
        }
        Value::Object(written)
    }

    /// Reads the written form; steps that cannot be read are left out.
    pub fn from_value(value: &Value) -> Self {
        let mut set = FieldSet::default();
        for (key, below) in value.as_object().into_iter().flatten() {
            let Some(element) = PathElement::read(key) else { continue };
            let fields = below.as_object();
            let owned = fields.is_none_or(|f| f.is_empty() || f.contains_key("."));
            set.put(element, Entry { owned, below: FieldSet::from_value(below) });
        }
        set
    }
}
