//! The OpenAPI documents, from the same schema tree that judges objects.
//!
//! `v3` serves one document for each group-version, `v2` one for all, as JSON and in the protobuf
//! encoding that older kubectl insists on. Clients look here for more than prose: kubectl allows
//! `--dry-run=server`, server-side validation and `explain` only for what it finds described.
//!
//! INVARIANT(stable): the documents depend on nothing but the registry, so they are made once.

mod definition;
mod operation;
mod proto;
mod shared;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

pub use v2::{V2_PROTOBUF_TYPE, accepts_protobuf, json as v2_json, protobuf as v2_protobuf};
pub use v3::{document as v3_document, index as v3_index};

/// The two generations of the format, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    fn reference(self, name: &str) -> String {
        match self {
            Dialect::V2 => format!("#/definitions/{name}"),
            Dialect::V3 => format!("#/components/schemas/{name}"),
        }
    }
}
