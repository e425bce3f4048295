//! What a list or watch keeps: `labelSelector` and `fieldSelector` together.

use bulkhead_apimachinery::kinds::Resource;
use bulkhead_apimachinery::select::{FieldQuery, LabelQuery};
use bulkhead_apimachinery::status::Status;
use serde_json::Value;

use super::options::Options;

#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: LabelQuery,
    fields: FieldQuery,
}

impl Selection {
    pub fn parse(resource: &Resource, options: &Options) -> Result<Self, Status> {
        let labels = options.label_selector.as_deref().unwrap_or_default();
        let fields = options.field_selector.as_deref().unwrap_or_default();
        Ok(Self {
            labels: LabelQuery::parse(labels)?,
            fields: FieldQuery::parse(resource, fields)?,
        })
    }

    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}
