//! Errors as the specification wants them: a code, a sentence, details.

use serde_json::{Value, json};

/// What a failed call prints. Codes below 100 are the specification's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CniError {
    pub code: u32,
    pub message: String,
    pub details: String,
}

pub mod code {
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    pub const INVALID_ENVIRONMENT: u32 = 4;
    pub const IO: u32 = 5;
    pub const UNDECODABLE: u32 = 6;
    pub const INVALID_CONFIG: u32 = 7;
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: the plugin cannot serve ADD now.
    pub const NOT_AVAILABLE: u32 = 50;
    /// The policy was not in the kernel in time.
    pub const NOT_ENFORCED_IN_TIME: u32 = 100;
    /// The agent refuses the interface.
    pub const REFUSED: u32 = 101;
    /// CHECK: the interface is not enforced.
    pub const NOT_ENFORCED: u32 = 102;
}

impl CniError {
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    pub fn to_json(&self, version: &str) -> Value {
        let mut value = json!({"cniVersion": version, "code": self.code, "msg": self.message});
        if let Some(object) = value.as_object_mut().filter(|_| !self.details.is_empty()) {
            object.insert("details".to_owned(), self.details.clone().into());
        }
        value
    }
}
