//! From the JSON document to its messages.

use serde_json::{Map, Value};

use super::*;

pub(super) fn document(document: &Value) -> Document {
    let info = document.get("info").cloned().unwrap_or_default();
    let paths = entries(document, "paths")
        .map(|(name, item)| NamedPathItem { name: name.clone(), value: Some(path_item(item)) });
    Document {
        swagger: text(document, "swagger"),
        info: Some(Info { title: text(&info, "title"), version: text(&info, "version") }),
        paths: Some(Paths { path: paths.collect() }),
        definitions: Some(named_schemas(document, "definitions")),
    }
}

fn path_item(item: &Value) -> PathItem {
    let method = |name: &str| item.get(name).map(operation);
    PathItem {
        get: method("get"),
        put: method("put"),
        post: method("post"),
        delete: method("delete"),
        patch: method("patch"),
        parameters: parameters(item),
    }
}

fn operation(operation: &Value) -> Operation {
    let responses = entries(operation, "responses").map(|(code, response)| NamedResponse {
        name: code.clone(),
        value: Some(ResponseValue {
            response: Some(Response {
                description: text(response, "description"),
                schema: response
                    .get("schema")
                    .map(|found| SchemaItem { schema: Some(schema(found)) }),
            }),
        }),
    });
    Operation {
        tags: texts(operation, "tags"),
        operation_id: text(operation, "operationId"),
        produces: texts(operation, "produces"),
        consumes: texts(operation, "consumes"),
        parameters: parameters(operation),
        responses: Some(Responses { response_code: responses.collect() }),
        vendor_extension: extensions(operation),
    }
}

fn parameters(owner: &Value) -> Vec<ParametersItem> {
    let list = owner.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let item = |found: &Value| ParametersItem {
        parameter: Some(Parameter { kind: Some(parameter(found)) }),
    };
    list.map(item).collect()
}

fn parameter(parameter: &Value) -> ParameterKind {
    let (name, place) = (text(parameter, "name"), text(parameter, "in"));
    let required = parameter.get("required") == Some(&Value::Bool(true));
    let description = text(parameter, "description");
    let kind = text(parameter, "type");
    let unique_items = true;
    match place.as_str() {
        "body" => {
            let schema = parameter.get("schema").map(schema);
            ParameterKind::Body(Box::new(BodyParameter { name, place, required, schema }))
        }
        "path" => ParameterKind::NonBody(NonBodyParameter {
            kind: Some(NonBodyKind::Path(PathParameter {
                required,
                place,
                description,
                name,
                kind,
                unique_items,
            })),
        }),
        _ => ParameterKind::NonBody(NonBodyParameter {
            kind: Some(NonBodyKind::Query(QueryParameter {
                place,
                description,
                name,
                kind,
                unique_items,
            })),
        }),
    }
}

fn schema(schema: &Value) -> Schema {
    let inner = |key: &str| schema.get(key).map(self::schema);
    let kind = text(schema, "type");
    let number = |key: &str| schema.get(key).and_then(Value::as_f64).unwrap_or_default();
    let allowed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    Schema {
        reference: text(schema, "$ref"),
        format: text(schema, "format"),
        description: text(schema, "description"),
        default: schema.get("default").map(any),
        maximum: number("maximum"),
        minimum: number("minimum"),
        required: texts(schema, "required"),
        allowed: allowed.map(any).collect(),
        additional_properties: inner("additionalProperties")
            .map(|found| Box::new(AdditionalProperties { schema: Some(Box::new(found)) })),
        kind: (!kind.is_empty()).then(|| TypeItem { value: vec![kind] }),
        items: inner("items").map(|found| Items { schema: vec![found] }),
        properties: schema.get("properties").map(|_| named_schemas(schema, "properties")),
        vendor_extension: extensions(schema),
    }
}

fn named_schemas(owner: &Value, key: &str) -> NamedSchemas {
    let named = entries(owner, key)
        .map(|(name, found)| NamedSchema { name: name.clone(), value: Some(schema(found)) });
    NamedSchemas { additional_properties: named.collect() }
}

fn extensions(owner: &Value) -> Vec<NamedAny> {
    let fields = owner.as_object().into_iter().flat_map(Map::iter);
    let extra = fields.filter(|(name, _)| name.starts_with("x-"));
    extra.map(|(name, value)| NamedAny { name: name.clone(), value: Some(any(value)) }).collect()
}

fn any(value: &Value) -> Any {
    Any { yaml: value.to_string() }
}

fn entries<'a>(owner: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    owner.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn text(owner: &Value, key: &str) -> String {
    owner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(owner: &Value, key: &str) -> Vec<String> {
    let list = owner.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
