//! A document as a tree in which every node knows its place.

use serde_json::{Map, Number, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub tree: Tree,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In written order; keys are unique.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    /// With the word that was written, such as `yes`.
    Bool(bool, String),
    Number(Number),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub text: String,
    pub line: u32,
    pub column: u32,
}

impl Node {
    pub fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Scalar(Scalar::Null))
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.tree {
            Tree::Map(entries) => {
                entries.iter().find(|(k, _)| k.text == key).map(|(k, node)| (k, node))
            }
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// This node and everything below it.
    pub fn count(&self) -> usize {
        1 + match &self.tree {
            Tree::Scalar(_) => 0,
            Tree::List(items) => items.iter().map(Node::count).sum(),
            Tree::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Scalar(Scalar::Null) => Value::Null,
            Tree::Scalar(Scalar::Bool(value, _)) => Value::Bool(*value),
            Tree::Scalar(Scalar::Number(number)) => Value::Number(number.clone()),
            Tree::Scalar(Scalar::Text(text)) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Tree::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter(|(_, node)| !node.is_null())
                    .map(|(key, node)| (key.text.clone(), node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The map or list that begins at a place.
    pub(super) fn find_at(&self, line: u32, column: u32) -> Option<&Node> {
        if (self.line, self.column) == (line, column) && !matches!(self.tree, Tree::Scalar(_)) {
            return Some(self);
        }
        match &self.tree {
            Tree::Scalar(_) => None,
            Tree::List(items) => items.iter().find_map(|item| item.find_at(line, column)),
            Tree::Map(entries) => entries.iter().find_map(|(_, node)| node.find_at(line, column)),
        }
    }

    /// Where the field at `path` is written: its key in a map, its value in a list. Stops at the
    /// nearest parent that exists.
    pub(super) fn place_of(&self, path: &str) -> (u32, u32) {
        let mut node = self;
        let mut place = (self.line, self.column);
        for step in steps(path) {
            match (&node.tree, step) {
                (Tree::List(items), Step::Index(index)) => match items.get(index) {
                    Some(item) => {
                        place = (item.line, item.column);
                        node = item;
                    }
                    None => return place,
                },
                (Tree::Map(_), Step::Key(key)) => match node.entry(key) {
                    Some((key, value)) => {
                        place = (key.line, key.column);
                        node = value;
                    }
                    None => return place,
                },
                _ => return place,
            }
        }
        // A field's complaint is about its value where that is a scalar.
        match node.tree {
            Tree::Scalar(_) => (node.line, node.column),
            _ => place,
        }
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// `spec.ports[0].name`, and `metadata.labels[example.com/team]` for keys that hold dots.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = inner.split_once(']').unwrap_or((inner, ""));
            rest = after;
            return Some(match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key(step.trim_matches('"')),
            });
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (step, after) = rest.split_at(end);
        rest = after;
        Some(Step::Key(step))
    })
}
