//! What the server adds to every kind: `apiVersion`, `kind`, and the `status` of our kinds.

use std::sync::Arc;

use bulkhead_api::object::Kind;

use super::{Field, ListType, Node, Shape, Struct};

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an \
    object. Servers should convert recognized schemas to the latest internal value, and may reject \
    unrecognized values.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. \
    Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In \
    CamelCase.";

/// Adds the fields that the type of `kind` leaves to the server.
pub(super) fn complete(node: Arc<Node>, kind: Kind) -> Arc<Node> {
    let mut root = own(node);
    if let Shape::Struct(shape) = &mut root.shape {
        let fields = &mut shape.fields;
        fields
            .entry("apiVersion".into())
            .or_insert_with(|| Field::plain(Node::string(), API_VERSION));
        fields.entry("kind".into()).or_insert_with(|| Field::plain(Node::string(), KIND));
        if let Some(status) = status_of(kind) {
            let text = "Written by the server: what became of the object.";
            fields.entry("status".into()).or_insert_with(|| Field::plain(status, text));
        }
    }
    Arc::new(root)
}

/// The root as a node of its own: the builder may still share it.
fn own(node: Arc<Node>) -> Node {
    Arc::try_unwrap(node).unwrap_or_else(|shared| Node {
        shape: match &shared.shape {
            Shape::Struct(shape) => Shape::Struct(copy(shape)),
            _ => Shape::Any,
        },
        name: shared.name.clone(),
        description: shared.description.clone(),
        atomic: shared.atomic,
    })
}

fn copy(shape: &Struct) -> Struct {
    let mut fields = std::collections::BTreeMap::new();
    for (name, field) in &shape.fields {
        let copied = Field {
            node: field.node.clone(),
            description: field.description.clone(),
            list: field.list.clone(),
            atomic: field.atomic,
            merge: field.merge,
            default: field.default,
        };
        fields.insert(name.clone(), copied);
    }
    Struct { fields, required: shape.required.clone(), open: shape.open }
}

fn status_of(kind: Kind) -> Option<Arc<Node>> {
    let enforced = match kind {
        Kind::Workload => true,
        Kind::Tier
        | Kind::NetworkSet
        | Kind::GlobalNetworkSet
        | Kind::HostEndpoint
        | Kind::Profile => false,
        kind if kind.policy_kind().is_some() => true,
        _ => return None,
    };
    let conditions = Node::anonymous(Shape::List(condition()));
    let mut fields = vec![("conditions", Arc::new(conditions), "The latest observations.")];
    if enforced {
        fields.push(("enforcement", enforcement(), "Which nodes enforce the object as written."));
    }
    let mut status = structure("dev.bulkhead.v1.ObjectStatus", &[], fields);
    if enforced {
        status.name = Some("dev.bulkhead.v1.PolicyStatus".to_owned());
    }
    if let Shape::Struct(shape) = &mut status.shape
        && let Some(field) = shape.fields.get_mut("conditions")
    {
        field.list = ListType::Map(vec!["type"]);
    }
    Some(Arc::new(status))
}

fn structure(name: &str, required: &[&str], fields: Vec<(&str, Arc<Node>, &str)>) -> Node {
    let required = required.iter().map(|field| (*field).to_owned()).collect();
    let mut shape = Struct { required, ..Struct::default() };
    for (field, node, description) in fields {
        shape.fields.insert(field.to_owned(), Field::plain(node, description));
    }
    Node { name: Some(name.to_owned()), ..Node::anonymous(Shape::Struct(shape)) }
}

fn formatted(format: &str) -> Arc<Node> {
    let format = Some(format.to_owned());
    Arc::new(Node::anonymous(Shape::String { format, allowed: Vec::new() }))
}

fn whole_number(format: &str) -> Arc<Node> {
    let format = Some(format.to_owned());
    Arc::new(Node::anonymous(Shape::Integer { format, min: Some(0), max: None }))
}

fn condition() -> Arc<Node> {
    let allowed = ["True", "False", "Unknown"].map(str::to_owned).to_vec();
    let status = Arc::new(Node::anonymous(Shape::String { format: None, allowed }));
    Arc::new(structure(
        "dev.bulkhead.v1.Condition",
        &["type", "status"],
        vec![
            ("type", Node::string(), "What is observed, such as Enforced."),
            ("status", status, "True, False or Unknown."),
            ("reason", Node::string(), "One word for programs."),
            ("message", Node::string(), "One sentence for people."),
            ("lastTransitionTime", formatted("date-time"), "When the status last changed."),
            ("observedGeneration", whole_number("int64"), "The generation that was looked at."),
        ],
    ))
}

fn enforcement() -> Arc<Node> {
    Arc::new(structure(
        "dev.bulkhead.v1.Enforcement",
        &[],
        vec![
            ("nodes", whole_number("int32"), "Nodes that enforce the latest revision."),
            ("of", whole_number("int32"), "Nodes that should."),
            ("since", formatted("date-time"), "Since when all of them do."),
        ],
    ))
}
