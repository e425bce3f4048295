//! The nodes, numbered: a round names a node once and then counts.
//!
//! Invariant: a number is not used again before everything that named it is gone, since a node goes
//! only when it has neither an object nor an endpoint.

use std::collections::HashMap;

use crate::emit::{Emission, NodeState};
use crate::facts::Word;
use crate::place::NodeId;
use crate::select::Slab;

#[derive(Debug, Default)]
pub struct Nodes {
    by_name: HashMap<Word, NodeId>,
    nodes: Slab<Node>,
    touched: Vec<NodeId>,
}

#[derive(Debug)]
pub struct Node {
    pub name: Word,
    pub state: NodeState,
    /// What is already known to concern it in the coming round.
    pub round: Emission,
    is_touched: bool,
}

impl Nodes {
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// The nodes that some delta told of, in no particular order.
    pub fn told(&self) -> impl Iterator<Item = &str> {
        let nodes = self.by_name.values().filter_map(|id| self.get(*id));
        nodes.filter(|node| node.state.is_published()).map(|node| &*node.name)
    }

    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.by_name.values().copied()
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0)
    }

    /// The node of this name, which may be new.
    pub fn put(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let name = Word::from(name);
        let node = Node {
            name: Word::clone(&name),
            state: NodeState::default(),
            round: Emission::default(),
            is_touched: false,
        };
        let id = NodeId(self.nodes.insert(node));
        self.by_name.insert(name, id);
        id
    }

    /// The node, which takes part in the coming round.
    pub fn touch(&mut self, id: NodeId) -> Option<&mut Node> {
        let node = self.nodes.get_mut(id.0)?;
        if !std::mem::replace(&mut node.is_touched, true) {
            self.touched.push(id);
        }
        Some(node)
    }

    /// The nodes that take part in the round, by name; none takes part in the next so far.
    pub fn take_touched(&mut self) -> Vec<NodeId> {
        let mut touched = std::mem::take(&mut self.touched);
        for id in &touched {
            if let Some(node) = self.get_mut(*id) {
                node.is_touched = false;
            }
        }
        let name = |id: &NodeId| self.get(*id).map(|node| &*node.name);
        touched.sort_unstable_by(|a, b| name(a).cmp(&name(b)));
        touched
    }

    pub fn remove(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.remove(id.0)?;
        self.by_name.remove(&node.name);
        Some(node)
    }
}
