//! What form of an answer a client accepts.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use bulkhead_apimachinery::status::{Reason, Status};

#[cfg(test)]
mod tests;

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Object,
    Table,
    /// `PartialObjectMetadata`, alone or in a list.
    Metadata,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub form: Form,
    pub encoding: Encoding,
}

impl Accepted {
    /// The first clause that we can serve; clients list what they like best first.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Status> {
        let plain = Self { form: Form::Object, encoding: Encoding::Json };
        let mut clauses = clauses(headers).peekable();
        if clauses.peek().is_none() {
            return Ok(plain);
        }
        clauses.find_map(|clause| Self::from_clause(&clause)).ok_or_else(|| {
            let message = "only the following media types are accepted: application/json, \
                           application/yaml, application/json;as=Table;v=v1;g=meta.k8s.io";
            Status::new(Reason::NotAcceptable, message)
        })
    }

    fn from_clause(clause: &str) -> Option<Self> {
        let mut parts = clause.split(';').map(str::trim);
        let encoding = match parts.next()? {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" | "application/x-yaml" => Encoding::Yaml,
            _ => return None,
        };
        let (mut form, mut group, mut version) = (Form::Object, None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("as", "Table")) => form = Form::Table,
                Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                    form = Form::Metadata;
                }
                Some(("as", _)) => return None,
                Some(("g", name)) => group = Some(name),
                Some(("v", name)) => version = Some(name),
                _ => {}
            }
        }
        let is_known = (group, version) == (Some("meta.k8s.io"), Some("v1"));
        (form == Form::Object || is_known).then_some(Self { form, encoding })
    }
}

/// The media ranges of the header, without their weights being looked at.
pub fn clauses(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|clause| clause.trim().to_owned())
        .filter(|clause| !clause.is_empty())
}
