//! Connections as a picture, for Graphviz and Mermaid.
//!
//! Workloads stand in a box for each namespace; the outside stands alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bulkhead_policy::reach::{End, Matrix};

use super::table::{is_outside, shown};

#[derive(Debug, Default)]
pub struct Graph {
    /// Nodes by name, with the namespace of workloads.
    nodes: BTreeMap<String, Node>,
    edges: Vec<Edge>,
}

#[derive(Clone, Debug)]
struct Node {
    namespace: Option<String>,
    is_outside: bool,
    mark: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub src: String,
    pub dst: String,
    pub label: String,
    /// A colour, where the edge means more than that it is there.
    pub colour: Option<&'static str>,
}

impl Graph {
    pub fn of(matrix: &Matrix) -> Self {
        let mut graph = Self::default();
        for connection in &matrix.connections {
            let label = shown(&connection.allowed, &connection.extent);
            graph.connect(&connection.src, &connection.dst, label, None);
        }
        for unenforced in &matrix.unenforced {
            graph.mark(&End::Workload(Arc::clone(&unenforced.workload)), "orange");
        }
        for host in &matrix.not_computed {
            graph.mark(&End::Entry(Arc::clone(host)), "gray");
        }
        graph
    }

    pub fn connect(&mut self, src: &End, dst: &End, label: String, colour: Option<&'static str>) {
        let (from, to) = (self.node(src), self.node(dst));
        let known = self.edges.iter_mut().rev().take(4);
        for edge in known {
            if edge.src == from && edge.dst == to && edge.colour == colour {
                edge.label = format!("{}; {label}", edge.label);
                return;
            }
        }
        self.edges.push(Edge { src: from, dst: to, label, colour });
    }

    /// Draws the node in a colour of its own.
    pub fn mark(&mut self, at: &End, colour: &'static str) {
        let name = self.node(at);
        if let Some(node) = self.nodes.get_mut(&name) {
            node.mark = Some(colour);
        }
    }

    fn node(&mut self, at: &End) -> String {
        let name = at.to_string();
        let is_outside = is_outside(at);
        let namespace = match is_outside {
            true => None,
            false => name.split_once('/').map(|(namespace, _)| namespace.to_owned()),
        };
        let node = Node { namespace, is_outside, mark: None };
        self.nodes.entry(name.clone()).or_insert(node);
        name
    }

    fn by_namespace(&self) -> BTreeMap<Option<&str>, Vec<(&String, &Node)>> {
        let mut boxes: BTreeMap<Option<&str>, Vec<(&String, &Node)>> = BTreeMap::new();
        for (name, node) in &self.nodes {
            boxes.entry(node.namespace.as_deref()).or_default().push((name, node));
        }
        boxes
    }

    pub fn write_dot(&self, out: &mut impl Write) -> anyhow::Result<()> {
        writeln!(out, "digraph reach {{\n  rankdir=LR;\n  node [shape=box, style=rounded];")?;
        for (position, (namespace, nodes)) in self.by_namespace().into_iter().enumerate() {
            let indent = if namespace.is_some() { "    " } else { "  " };
            if let Some(namespace) = namespace {
                writeln!(out, "  subgraph cluster_{position} {{")?;
                writeln!(out, "    label={};", quoted(namespace))?;
            }
            for (name, node) in nodes {
                let short = short_name(name, node);
                let shape = if node.is_outside { ", shape=ellipse" } else { "" };
                let colour = node.mark.map(|c| format!(", color={c}")).unwrap_or_default();
                let label = quoted(short);
                writeln!(out, "{indent}{} [label={label}{shape}{colour}];", quoted(name))?;
            }
            if namespace.is_some() {
                writeln!(out, "  }}")?;
            }
        }
        for edge in &self.edges {
            let colour = edge.colour.map(|c| format!(", color={c}")).unwrap_or_default();
            let (src, dst, label) = (quoted(&edge.src), quoted(&edge.dst), quoted(&edge.label));
            writeln!(out, "  {src} -> {dst} [label={label}{colour}];")?;
        }
        writeln!(out, "}}")?;
        Ok(())
    }

    pub fn write_mermaid(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let numbers: BTreeMap<&String, usize> =
            self.nodes.keys().enumerate().map(|(number, name)| (name, number)).collect();
        let id = |name: &String| format!("n{}", numbers.get(name).copied().unwrap_or_default());
        writeln!(out, "flowchart LR")?;
        for (position, (namespace, nodes)) in self.by_namespace().into_iter().enumerate() {
            let indent = if namespace.is_some() { "    " } else { "  " };
            if let Some(namespace) = namespace {
                writeln!(out, "  subgraph g{position}[\"{}\"]", escaped(namespace))?;
            }
            for (name, node) in nodes {
                let text = escaped(short_name(name, node));
                match node.is_outside {
                    true => writeln!(out, "{indent}{}([\"{text}\"])", id(name))?,
                    false => writeln!(out, "{indent}{}[\"{text}\"]", id(name))?,
                }
            }
            if namespace.is_some() {
                writeln!(out, "  end")?;
            }
        }
        for edge in &self.edges {
            let label = escaped(&edge.label);
            writeln!(out, "  {} -->|\"{label}\"| {}", id(&edge.src), id(&edge.dst))?;
        }
        for (position, edge) in self.edges.iter().enumerate() {
            if let Some(colour) = edge.colour {
                writeln!(out, "  linkStyle {position} stroke:{colour}")?;
            }
        }
        for (name, node) in &self.nodes {
            if let Some(colour) = node.mark {
                writeln!(out, "  style {} stroke:{colour},stroke-width:3px", id(name))?;
            }
        }
        Ok(())
    }
}

/// Within its namespace's box a workload need not repeat it.
fn short_name<'a>(name: &'a str, node: &Node) -> &'a str {
    match &node.namespace {
        Some(namespace) => {
            name.strip_prefix(namespace.as_str()).and_then(|n| n.strip_prefix('/')).unwrap_or(name)
        }
        None => name,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
