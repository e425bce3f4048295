//! Holds a tree against the schema of its kind: unknown fields, wrong types, unknown words.
//!
//! What a field *means* (whether a CIDR parses, whether a tier exists) is not asked here.

use std::sync::OnceLock;

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::object::{Kind, KindVisitor};

use super::kinds::distance;
use super::tree::{Node, Scalar, Tree};

/// Names listed where none is near to what was written.
const NAMES_MAX: usize = 16;

pub(super) struct Problem {
    pub code: &'static str,
    pub line: u32,
    pub column: u32,
    pub field: String,
    pub message: String,
    pub help: Option<String>,
}

pub(super) fn check(kind: Kind, node: &Node) -> Vec<Problem> {
    let root = schema(kind);
    let mut walk = Walk { root, path: Vec::new(), problems: Vec::new() };
    walk.node(root, node);
    walk.problems
}

/// Made once for each kind.
fn schema(kind: Kind) -> &'static Value {
    static SCHEMAS: [OnceLock<Value>; Kind::ALL.len()] =
        [const { OnceLock::new() }; Kind::ALL.len()];
    static ANYTHING: Value = Value::Bool(true);
    match SCHEMAS.get(kind as usize) {
        Some(cell) => cell.get_or_init(|| make_schema(kind)),
        None => &ANYTHING,
    }
}

fn make_schema(kind: Kind) -> Value {
    struct Schema;
    impl KindVisitor for Schema {
        type Output = Value;

        fn visit<T: JsonSchema>(self, _: Kind) -> Value {
            schema_for!(T).to_value()
        }
    }
    kind.accept(Schema)
}

enum Step {
    Key(String),
    Index(usize),
}

struct Walk<'s> {
    root: &'s Value,
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl<'s> Walk<'s> {
    fn report(
        &mut self,
        code: &'static str,
        at: (u32, u32),
        message: String,
        help: Option<String>,
    ) {
        let (line, column) = at;
        let field = self.field();
        self.problems.push(Problem { code, line, column, field, message, help });
    }

    fn field(&self) -> String {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => field.push_str(&format!("[{index}]")),
                Step::Key(key) if key.contains('.') => field.push_str(&format!("[{key}]")),
                Step::Key(key) if field.is_empty() => field.push_str(key),
                Step::Key(key) => field.push_str(&format!(".{key}")),
            }
        }
        field
    }

    /// Follows `$ref` and drops the "or null" that stands for an optional field.
    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..8 {
            let inner = if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
            } else {
                ["allOf", "anyOf"].iter().find_map(|word| {
                    let parts = schema.get(word)?.as_array()?;
                    parts.iter().find(|part| part.get("type") != Some(&Value::from("null")))
                })
            };
            match inner {
                Some(inner) => schema = inner,
                None => break,
            }
        }
        schema
    }

    /// Null is the same as absent everywhere but in a list.
    fn node(&mut self, schema: &'s Value, node: &Node) {
        let schema = self.resolve(schema);
        if node.is_null() {
            return;
        }
        if let Some(words) = words(schema) {
            return self.word(&words, node);
        }
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return self.integer_or_text(node);
        }
        match type_of(schema) {
            Some("object") => self.map(schema, node),
            Some("array") => self.list(schema, node),
            Some(name) => self.scalar(name, schema, node),
            None => {}
        }
    }

    fn map(&mut self, schema: &'s Value, node: &Node) {
        let Tree::Map(entries) = &node.tree else {
            return self.wrong_type("a map", node);
        };
        let fields = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let is_root = self.path.is_empty();
        for (key, value) in entries {
            let known = fields.and_then(|fields| fields.get(&key.text)).or(others);
            self.path.push(Step::Key(key.text.clone()));
            match (known, fields) {
                (Some(inner), _) => self.node(inner, value),
                // Every object may carry these; a status that nobody reads is let be.
                (None, _) if is_root && matches!(&*key.text, "apiVersion" | "kind" | "status") => {}
                (None, Some(fields)) => {
                    let at = (key.line, key.column);
                    let message = format!("unknown field `{}`", self.field());
                    let help = nearest(&key.text, fields.keys().map(String::as_str));
                    self.report("unknown-field", at, message, Some(help));
                }
                (None, None) => {}
            }
            self.path.pop();
        }
        self.required(schema, node);
    }

    fn required(&mut self, schema: &'s Value, node: &Node) {
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let is_there = node.get(name).is_some_and(|value| !value.is_null());
            // What kubectl takes as empty when absent.
            let has_default = matches!(name, "metadata" | "spec") && self.path.is_empty();
            if !is_there && !has_default {
                self.path.push(Step::Key(name.to_owned()));
                let message = format!("`{}` is missing", self.field());
                self.report("missing-field", (node.line, node.column), message, None);
                self.path.pop();
            }
        }
    }

    fn list(&mut self, schema: &'s Value, node: &Node) {
        let Tree::List(items) = &node.tree else {
            return self.wrong_type("a list", node);
        };
        let Some(inner) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            if item.is_null() {
                self.wrong_type("a value", item);
            } else {
                self.node(inner, item);
            }
            self.path.pop();
        }
    }

    fn scalar(&mut self, name: &str, schema: &'s Value, node: &Node) {
        match (name, &node.tree) {
            ("string", Tree::Scalar(Scalar::Text(_)))
            | ("boolean", Tree::Scalar(Scalar::Bool(..)))
            | ("number", Tree::Scalar(Scalar::Number(_))) => {}
            ("integer", Tree::Scalar(Scalar::Number(number))) => {
                let is_int32 = schema.get("format") == Some(&Value::from("int32"));
                let fits = match number.as_i64() {
                    Some(value) => !is_int32 || i32::try_from(value).is_ok(),
                    None => false,
                };
                if !fits {
                    self.wrong_type(if is_int32 { "a 32-bit integer" } else { "an integer" }, node);
                }
            }
            ("string", _) => self.wrong_type("text", node),
            ("boolean", _) => self.wrong_type("`true` or `false`", node),
            ("integer", _) => self.wrong_type("an integer", node),
            ("number", _) => self.wrong_type("a number", node),
            _ => {}
        }
    }

    fn integer_or_text(&mut self, node: &Node) {
        let fits = match &node.tree {
            Tree::Scalar(Scalar::Number(number)) => {
                number.as_i64().is_some_and(|value| i32::try_from(value).is_ok())
            }
            Tree::Scalar(Scalar::Text(_)) => true,
            _ => false,
        };
        if !fits {
            self.wrong_type("a 32-bit integer or text", node);
        }
    }

    fn word(&mut self, words: &[&str], node: &Node) {
        let Some(text) = node.as_text() else {
            return self.wrong_type(&format!("one of {}", words.join(", ")), node);
        };
        if !words.contains(&text) {
            let message = format!("`{}` cannot be `{text}`", self.field());
            let help = nearest(text, words.iter().copied());
            self.report("unknown-value", (node.line, node.column), message, Some(help));
        }
    }

    fn wrong_type(&mut self, expected: &str, node: &Node) {
        let (found, help) = describe(node);
        let message = format!("`{}` must be {expected}, not {found}", self.field());
        let help = help.filter(|_| expected == "text").map(str::to_owned);
        self.report("wrong-type", (node.line, node.column), message, help);
    }
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// The words that an enumeration allows.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return Some(list.iter().filter_map(Value::as_str).collect());
    }
    let choices = schema.get("oneOf")?.as_array()?;
    let words = choices.iter().flat_map(|choice| match choice.get("const") {
        Some(word) => word.as_str().into_iter().collect(),
        None => self::words(choice).unwrap_or_default(),
    });
    Some(words.collect())
}

fn describe(node: &Node) -> (String, Option<&'static str>) {
    let quote = Some("put it in quotes");
    match &node.tree {
        Tree::List(_) => ("a list".to_owned(), None),
        Tree::Map(_) => ("a map".to_owned(), None),
        Tree::Scalar(Scalar::Null) => ("null".to_owned(), None),
        Tree::Scalar(Scalar::Bool(_, word)) => (format!("the boolean `{word}`"), quote),
        Tree::Scalar(Scalar::Number(number)) => (format!("the number `{number}`"), quote),
        Tree::Scalar(Scalar::Text(text)) => {
            let short: String = text.chars().take(60).collect();
            let dots = if short.len() < text.len() { "..." } else { "" };
            (format!("the text `{short}{dots}`"), None)
        }
    }
}

fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let lower = written.to_ascii_lowercase();
    let best = known
        .clone()
        .map(|name| (distance(&name.to_ascii_lowercase(), &lower), name))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
    match best {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => {
            let mut names: Vec<_> = known.collect();
            names.sort_unstable();
            let rest = names.split_off(names.len().min(NAMES_MAX));
            let more = if rest.is_empty() { "" } else { ", ..." };
            format!("known here: {}{more}", names.join(", "))
        }
    }
}
