//! Parser events to one [`Node`], within budgets.

mod scalar;

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{
    Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, options,
};

use super::tree::{Key, Node, Scalar, Tree};
use super::{ALIAS_NODES_MAX, ANCHOR_NODES_MAX, DEPTH_MAX};

/// Why a document has no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComposeError {
    pub code: &'static str,
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub help: Option<String>,
}

/// `line` is where `text` begins in its file. An empty document is a null node.
pub(super) fn compose(text: &str, line: u32) -> Result<Node, ComposeError> {
    let mut composer = Composer::at(line, 0);
    composer.read(Parser::new_from_str_with_options(text, quiet()), text, false)?;
    Ok(composer.root.unwrap_or(Node { tree: Tree::Scalar(Scalar::Null), line, column: 1 }))
}

/// The node with which `text` begins, at this place of its file; what follows is not looked at.
pub(super) fn first(text: &str, line: u32, column: u32) -> Result<Node, ComposeError> {
    let before = column.saturating_sub(1);
    let root = if text.starts_with(['{', '[']) {
        let mut composer = Composer::at(line, before);
        composer.read(Parser::new_from_str_with_options(text, quiet()), text, true)?;
        composer.root
    } else {
        // Blanks keep the indentation that the rest of a block goes by.
        let blanks = std::iter::repeat_n(' ', before as usize);
        let mut composer = Composer::at(line, 0);
        let parser = Parser::new_from_iter_with_options(blanks.chain(text.chars()), quiet());
        composer.read(parser, text, true)?;
        composer.root
    };
    Ok(root.unwrap_or(Node { tree: Tree::Scalar(Scalar::Null), line, column }))
}

fn quiet() -> Options {
    options! { emit_comments: false }
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value, where `node` is a map.
    key: Option<Key>,
    keys: HashSet<String>,
    /// What `<<` has brought in, and where it stands; keys that come later take its place.
    merged: HashMap<String, usize>,
}

struct Composer {
    line: u32,
    /// Columns before the first one, on the first line.
    before: u32,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    n_alias_nodes: usize,
    n_anchor_nodes: usize,
}

impl Composer {
    fn at(line: u32, before: u32) -> Self {
        Self {
            line,
            before,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            n_alias_nodes: 0,
            n_anchor_nodes: 0,
        }
    }

    /// To the end, or `only_first` to the end of the first node.
    fn read<'e>(
        &mut self,
        events: impl Iterator<Item = Result<(Event<'e>, Span), ScanError>>,
        text: &str,
        only_first: bool,
    ) -> Result<(), ComposeError> {
        for next in events {
            let (event, span) = next.map_err(|error| self.syntax(text, &error))?;
            self.event(event, span.start)?;
            if only_first && self.root.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn place(&self, at: Marker) -> (u32, u32) {
        let line = u32::try_from(at.line()).unwrap_or(u32::MAX);
        let column = u32::try_from(at.col()).unwrap_or(u32::MAX);
        let before = if line <= 1 { self.before } else { 0 };
        ((self.line + line).saturating_sub(1), column.saturating_add(1).saturating_add(before))
    }

    fn error(&self, code: &'static str, at: Marker, message: String, help: &str) -> ComposeError {
        let (line, column) = self.place(at);
        ComposeError { code, line, column, message, help: Some(help.to_owned()) }
    }

    fn syntax(&self, text: &str, error: &ScanError) -> ComposeError {
        let info = error.info();
        let what = if info.is_empty() { format!("{:?}", error.kind()) } else { info };
        // The parser reads ahead and may come to its own limit before ours.
        if what.contains("recursion limit") {
            let message = format!("nested more than {DEPTH_MAX} levels deep");
            let help = "no object of ours nests like that";
            return self.error("too-deep", *error.marker(), message, help);
        }
        let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        let help = if indent.contains('\t') {
            "the line is indented with a tab: YAML takes spaces only"
        } else {
            "check indentation, quotes and brackets on this line and the one before it"
        };
        self.error("yaml-syntax", *error.marker(), format!("not well-formed YAML: {what}"), help)
    }

    fn event(&mut self, event: Event<'_>, at: Marker) -> Result<(), ComposeError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_text = tag.is_some_and(|tag| tag.to_string().ends_with("str"));
                let scalar = if is_plain && !is_text {
                    scalar::resolve(&text)
                } else {
                    Scalar::Text(text.into_owned())
                };
                self.scalar(scalar, anchor, at)
            }
            Event::SequenceStart(_, anchor, _) => self.start(Tree::List(Vec::new()), anchor, at),
            Event::MappingStart(_, anchor, _) => self.start(Tree::Map(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
            Event::Alias(id) => self.alias(id, at),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, scalar: Scalar, anchor: usize, at: Marker) -> Result<(), ComposeError> {
        let (line, column) = self.place(at);
        if let Some(Open { node: Node { tree: Tree::Map(_), .. }, key: None, .. }) =
            self.open.last()
        {
            let text = match scalar {
                Scalar::Text(text) => text,
                Scalar::Bool(_, word) => word,
                Scalar::Number(number) => number.to_string(),
                Scalar::Null => "null".to_owned(),
            };
            return self.key(Key { text, line, column }, at);
        }
        self.value(Node { tree: Tree::Scalar(scalar), line, column }, anchor, at)
    }

    fn key(&mut self, key: Key, at: Marker) -> Result<(), ComposeError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if key.text != "<<" && !open.keys.insert(key.text.clone()) {
            let message = format!("the key `{}` stands twice in one map", key.text);
            return Err(self.error("duplicate-key", at, message, "keep one of the two"));
        }
        open.key = Some(key);
        Ok(())
    }

    fn start(&mut self, tree: Tree, anchor: usize, at: Marker) -> Result<(), ComposeError> {
        let (line, column) = self.place(at);
        if self.open.len() == DEPTH_MAX {
            let message = format!("nested more than {DEPTH_MAX} levels deep");
            return Err(self.error("too-deep", at, message, "no object of ours nests like that"));
        }
        if let Some(Open { node: Node { tree: Tree::Map(_), .. }, key: None, .. }) =
            self.open.last()
        {
            let message = "a map key must be a scalar".to_owned();
            return Err(self.error("yaml-syntax", at, message, "quote the key if it is text"));
        }
        let node = Node { tree, line, column };
        self.open.push(Open {
            node,
            anchor,
            key: None,
            keys: HashSet::new(),
            merged: HashMap::new(),
        });
        Ok(())
    }

    fn end(&mut self, at: Marker) -> Result<(), ComposeError> {
        match self.open.pop() {
            Some(open) => self.value(open.node, open.anchor, at),
            None => Ok(()),
        }
    }

    fn alias(&mut self, id: usize, at: Marker) -> Result<(), ComposeError> {
        let Some(target) = self.anchors.get(&id) else {
            let message = "the alias refers to a node that contains it".to_owned();
            return Err(self.error("yaml-syntax", at, message, "write the value out"));
        };
        self.n_alias_nodes += target.count();
        if self.n_alias_nodes > ALIAS_NODES_MAX {
            let message =
                format!("aliases multiply this document to more than {ALIAS_NODES_MAX} nodes");
            return Err(self.error("yaml-bomb", at, message, "write the values out"));
        }
        let (line, column) = self.place(at);
        let node = Node { line, column, ..target.clone() };
        match node.tree {
            Tree::Scalar(scalar) => self.scalar(scalar, 0, at),
            _ => self.value(node, 0, at),
        }
    }

    fn value(&mut self, node: Node, anchor: usize, at: Marker) -> Result<(), ComposeError> {
        if anchor != 0 {
            // Anchors within anchors keep what they name once more each.
            self.n_anchor_nodes += node.count();
            if self.n_anchor_nodes > ANCHOR_NODES_MAX {
                let message =
                    format!("anchors name more than {ANCHOR_NODES_MAX} nodes of this document");
                return Err(self.error("yaml-bomb", at, message, "write the values out"));
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.tree {
            Tree::List(items) => items.push(node),
            Tree::Map(entries) => match open.key.take() {
                Some(key) if key.text == "<<" => return self.merge(node, at),
                Some(key) => {
                    let merged = open.merged.remove(&key.text);
                    match merged.and_then(|at| entries.get_mut(at)) {
                        Some(entry) => *entry = (key, node),
                        None => entries.push((key, node)),
                    }
                }
                None => {
                    let message = "a map key must be a scalar".to_owned();
                    return Err(self.error("yaml-syntax", at, message, "write the key out"));
                }
            },
            Tree::Scalar(_) => {}
        }
        Ok(())
    }

    /// `<<: *base` takes over the keys that the map does not set itself.
    fn merge(&mut self, node: Node, at: Marker) -> Result<(), ComposeError> {
        let bases = match node.tree {
            Tree::Map(entries) => vec![entries],
            Tree::List(items) => items
                .into_iter()
                .filter_map(|item| match item.tree {
                    Tree::Map(entries) => Some(entries),
                    _ => None,
                })
                .collect(),
            Tree::Scalar(_) => {
                let message = "`<<` must name a map".to_owned();
                return Err(self.error("yaml-syntax", at, message, "write the keys out"));
            }
        };
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if let Tree::Map(entries) = &mut open.node.tree {
            for (key, value) in bases.into_iter().flatten() {
                if !open.keys.contains(&key.text) && !open.merged.contains_key(&key.text) {
                    open.merged.insert(key.text.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Ok(())
    }
}
