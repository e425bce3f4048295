//! `/openapi/v2`: one document for everything, as JSON and as protobuf.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message;
use serde_json::{Value, json};

use super::{Dialect, definition, operation, proto};
use crate::kinds::{self, Resource};

/// `Content-Type` of the protobuf encoding. Clients ask for it with an `@` before `v1.0`, which is
/// no valid media type: Go's parser, and so kubectl, refuses it in an answer.
pub const V2_PROTOBUF_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Whether an `Accept` header asks for the protobuf encoding, in either spelling.
pub fn accepts_protobuf(accept: &str) -> bool {
    ["v2@v1.0+protobuf", "v2.v1.0+protobuf"].iter().any(|mark| accept.contains(mark))
}

static JSON: LazyLock<Vec<u8>> = LazyLock::new(|| make().to_string().into_bytes());

static PROTOBUF: LazyLock<Vec<u8>> =
    LazyLock::new(|| proto::Document::from_json(&make()).encode_to_vec());

pub fn json() -> &'static [u8] {
    &JSON
}

pub fn protobuf() -> &'static [u8] {
    &PROTOBUF
}

fn make() -> Value {
    let resources: Vec<&Resource> = kinds::all().iter().collect();
    let paths = resources.iter().flat_map(|resource| operation::paths(resource, Dialect::V2));
    let paths: BTreeMap<String, Value> = paths.collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "Bulkhead", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "definitions": definition::all(&resources, Dialect::V2),
    })
}
