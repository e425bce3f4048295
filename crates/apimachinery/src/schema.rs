//! The structural schema of every kind, as one tree that all object rules walk.
//!
//! Validation, pruning, strategic merge, server-side apply and OpenAPI all read this tree; none has
//! a private table. It is built once per kind from schemars (see `build`) and enriched with the list
//! and merge facts that schemars lacks (see `lists`).
//!
//! INVARIANT(acyclic): a node never contains itself; shared definitions are shared by `Arc`.

use std::collections::BTreeMap;
use std::sync::Arc;

mod build;
mod lists;
mod status;

pub(crate) use build::{for_kind, for_type};

/// One place in a document: what may stand there.
#[derive(Debug)]
pub struct Node {
    pub shape: Shape,
    /// Name of the definition in OpenAPI documents; anonymous nodes are written in place.
    pub name: Option<String>,
    pub description: String,
    /// Owned and replaced as a whole, though it has fields.
    pub atomic: bool,
}

#[derive(Debug)]
pub enum Shape {
    Struct(Struct),
    /// Free keys, all values alike.
    Map(Arc<Node>),
    List(Arc<Node>),
    String {
        format: Option<String>,
        allowed: Vec<String>,
    },
    Integer {
        format: Option<String>,
        min: Option<i64>,
        max: Option<i64>,
    },
    Number,
    Boolean,
    IntOrString,
    Quantity,
    /// Anything at all, such as `fieldsV1`.
    Any,
}

#[derive(Debug, Default)]
pub struct Struct {
    pub fields: BTreeMap<String, Field>,
    pub required: Vec<String>,
    /// Also holds fields that are not listed, of any kind.
    pub open: bool,
}

#[derive(Debug)]
pub struct Field {
    pub node: Arc<Node>,
    pub description: String,
    pub list: ListType,
    pub atomic: bool,
    pub merge: Option<PatchMerge>,
    /// Value that stands for an absent field when list items are told apart by it.
    pub default: Option<&'static str>,
}

/// How the items of a list are told apart (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<&'static str>),
}

/// How strategic merge patch treats a list (`x-kubernetes-patch-strategy` and `-merge-key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchMerge {
    /// `None` for lists of scalars.
    pub key: Option<&'static str>,
    pub retain_keys: bool,
}

/// A place reached by walking: the node and what its field says about it.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    pub node: &'a Node,
    pub list: &'a ListType,
    pub atomic: bool,
    pub merge: Option<PatchMerge>,
}

static ANY: Node = Node { shape: Shape::Any, name: None, description: String::new(), atomic: true };
static ATOMIC_LIST: ListType = ListType::Atomic;

impl Node {
    pub(crate) fn anonymous(shape: Shape) -> Self {
        Node { shape, name: None, description: String::new(), atomic: false }
    }

    pub(crate) fn string() -> Arc<Self> {
        Arc::new(Node::anonymous(Shape::String { format: None, allowed: Vec::new() }))
    }

    pub fn slot(&self) -> Slot<'_> {
        Slot { node: self, list: &ATOMIC_LIST, atomic: self.atomic, merge: None }
    }

    pub fn as_struct(&self) -> Option<&Struct> {
        match &self.shape {
            Shape::Struct(fields) => Some(fields),
            _ => None,
        }
    }
}

impl Field {
    pub(crate) fn plain(node: Arc<Node>, description: &str) -> Self {
        Field {
            node,
            description: description.to_owned(),
            list: ListType::Atomic,
            atomic: false,
            merge: None,
            default: None,
        }
    }

    pub fn slot(&self) -> Slot<'_> {
        Slot {
            node: &self.node,
            list: &self.list,
            atomic: self.atomic || self.node.atomic,
            merge: self.merge,
        }
    }
}

impl<'a> Slot<'a> {
    /// A place of which nothing is known: anything may stand there, owned as a whole.
    pub fn any() -> Slot<'a> {
        ANY.slot()
    }

    /// The place of field or map key `key`, or `None` when the schema does not know it.
    pub fn child(&self, key: &str) -> Option<Slot<'a>> {
        match &self.node.shape {
            Shape::Struct(shape) => match shape.fields.get(key) {
                None if shape.open => Some(Slot::any()),
                field => field.map(Field::slot),
            },
            Shape::Map(value) => Some(value.slot()),
            Shape::Any => Some(Slot::any()),
            _ => None,
        }
    }

    /// The place of each item of a list.
    pub fn item(&self) -> Slot<'a> {
        match &self.node.shape {
            Shape::List(item) => item.slot(),
            _ => Slot::any(),
        }
    }

    /// The default of a key field of list items, as in `protocol: TCP` of ports.
    pub fn key_default(&self, key: &str) -> Option<&'static str> {
        match &self.item().node.shape {
            Shape::Struct(shape) => shape.fields.get(key).and_then(|field| field.default),
            _ => None,
        }
    }
}
