//! From schemars to [`Node`]: follows references, drops nullability, adds what our types leave to
//! the server (`apiVersion`, `kind`, `status`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_api::object::{Kind, KindVisitor};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{Field, ListType, Node, Shape, Struct, lists, status};

const REFERENCE: &str = "#/components/schemas/";

/// The whole schema of `kind`, whose definitions of ours are named under `package`.
pub(crate) fn for_kind(kind: Kind, package: &str) -> Arc<Node> {
    kind.accept(Build { package })
}

struct Build<'a> {
    package: &'a str,
}

impl KindVisitor for Build<'_> {
    type Output = Arc<Node>;

    fn visit<T: JsonSchema>(self, kind: Kind) -> Arc<Node> {
        status::complete(bare::<T>(self.package), kind)
    }
}

/// The schema of a type that is no kind of its own, as it stands.
pub(crate) fn for_type<T: JsonSchema>() -> Arc<Node> {
    bare::<T>("dev.bulkhead.v1")
}

fn bare<T: JsonSchema>(package: &str) -> Arc<Node> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let root = generator.subschema_for::<T>();
    let definitions = generator.take_definitions(true);
    let mut builder = Builder { definitions, package: package.to_owned(), made: BTreeMap::new() };
    builder.node(root.as_value())
}

struct Builder {
    definitions: Map<String, Value>,
    package: String,
    made: BTreeMap<String, Arc<Node>>,
}

impl Builder {
    fn node(&mut self, schema: &Value) -> Arc<Node> {
        let inner = essence(schema);
        if let Some(name) = inner.get("$ref").and_then(Value::as_str) {
            return self.definition(name.trim_start_matches(REFERENCE));
        }
        Arc::new(self.inline(inner, None))
    }

    fn definition(&mut self, raw: &str) -> Arc<Node> {
        if let Some(known) = self.made.get(raw) {
            return known.clone();
        }
        let schema = self.definitions.get(raw).cloned().unwrap_or(Value::Bool(true));
        let name = if raw.starts_with("io.k8s.") {
            raw.to_owned()
        } else {
            format!("{}.{raw}", self.package)
        };
        let node = Arc::new(self.inline(&schema, Some(&name)));
        self.made.insert(raw.to_owned(), node.clone());
        node
    }

    fn inline(&mut self, schema: &Value, name: Option<&str>) -> Node {
        let mut shape = self.shape(schema, name.unwrap_or_default());
        let short = name.and_then(|n| n.rsplit('.').next()).unwrap_or_default();
        if short == "Quantity" {
            shape = Shape::Quantity;
        }
        if short == "FieldsV1" {
            shape = Shape::Any;
        }
        // Enums and plain scalars are written where they stand; these have names that people know.
        let named = matches!(shape, Shape::Struct(_) | Shape::IntOrString | Shape::Quantity);
        Node {
            atomic: name.is_some_and(lists::is_atomic_struct),
            name: name.filter(|_| named).map(str::to_owned),
            description: text(schema, "description"),
            shape,
        }
    }

    fn shape(&mut self, schema: &Value, owner: &str) -> Shape {
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return Shape::IntOrString;
        }
        if let Some(allowed) = alternatives(schema) {
            return Shape::String { format: None, allowed };
        }
        match type_of(schema) {
            Some("string") => {
                let format = schema.get("format").and_then(Value::as_str).map(str::to_owned);
                Shape::String { format, allowed: words(schema.get("enum")) }
            }
            Some("integer") => Shape::Integer {
                format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
                min: schema.get("minimum").and_then(Value::as_i64),
                max: schema.get("maximum").and_then(Value::as_i64),
            },
            Some("number") => Shape::Number,
            Some("boolean") => Shape::Boolean,
            Some("array") => {
                let items = schema.get("items").cloned().unwrap_or(Value::Bool(true));
                Shape::List(self.node(&items))
            }
            Some("object") => self.object(schema, owner),
            _ => Shape::Any,
        }
    }

    fn object(&mut self, schema: &Value, owner: &str) -> Shape {
        let properties = schema.get("properties").and_then(Value::as_object);
        if let (None, Some(value)) = (properties, schema.get("additionalProperties")) {
            return Shape::Map(self.node(value));
        }
        // What a flattened map leaves: false where the type says that nothing else may stand here.
        let rest = schema.get("additionalProperties");
        let open = rest.is_some_and(|rest| *rest != Value::Bool(false));
        let required = words(schema.get("required"));
        let mut shape = Struct { required, open, ..Struct::default() };
        for (key, value) in properties.into_iter().flatten() {
            let node = self.node(value);
            let (mut list, merge) = lists::list_facts(owner, key);
            if !matches!(node.shape, Shape::List(_)) {
                list = ListType::Atomic;
            }
            let field = Field {
                description: text(value, "description"),
                list,
                merge,
                atomic: lists::is_atomic_field(owner, key),
                default: lists::key_default(owner, key),
                node,
            };
            shape.fields.insert(key.clone(), field);
        }
        Shape::Struct(shape)
    }
}

/// The schema behind the wrappers that schemars puts around references: `allOf` with one member and
/// `anyOf` with a null.
fn essence(schema: &Value) -> &Value {
    for wrapper in ["allOf", "anyOf"] {
        let Some(members) = schema.get(wrapper).and_then(Value::as_array) else { continue };
        let mut real = members.iter().filter(|m| m.get("$ref").is_some());
        if let (Some(only), None) = (real.next(), real.next()) {
            return only;
        }
    }
    schema
}

/// `type`, which is a list where null is allowed too.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        one => one.as_str(),
    }
}

/// The words of an enum whose variants have their own descriptions (`oneOf` of constants).
fn alternatives(schema: &Value) -> Option<Vec<String>> {
    let members = schema.get("oneOf")?.as_array()?;
    let mut allowed = Vec::new();
    for member in members {
        allowed.extend(words(member.get("enum")));
        allowed.extend(member.get("const").and_then(Value::as_str).map(str::to_owned));
    }
    Some(allowed)
}

fn words(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
