//! The API server whose objects are taken over: the answer of `GET /apis/bulkhead.dev/v1/upstream`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Path under the API server's root.
pub const PATH: &str = "/apis/bulkhead.dev/v1/upstream";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamState {
    /// Where the API server is.
    pub server: String,
    /// Whether every kind has been heard once; before that no node gets a program.
    #[serde(rename = "known")]
    pub is_known: bool,
    pub kinds: Vec<HeardKind>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeardKind {
    pub api_version: String,
    pub kind: String,
    pub state: HeardState,
    /// Why it is not heard.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why its status is not written; empty where it is, or where nothing is to be written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeardState {
    /// Not heard yet.
    Unknown,
    /// Listed as a whole, and every change is heard.
    Followed,
    /// The API server has no such kind; looked for again and again.
    NotInstalled,
    /// Cannot be heard at the moment; what was heard before holds.
    Broken,
}
