//! What is known of the API server, kind by kind: the answer of `GET …/upstream`.

use std::collections::BTreeMap;

use bulkhead_api::object::Kind;
use bulkhead_api::upstream::{HeardKind, HeardState, UpstreamState};
use bulkhead_apimachinery::kinds;

use super::assemble::{Heard, Word};

#[derive(Clone, Debug)]
pub struct UpstreamReport {
    server: String,
    is_known: bool,
    kinds: BTreeMap<Kind, HeardKind>,
    /// Kinds whose status cannot be written, and why.
    unwritten: BTreeMap<Kind, String>,
}

impl UpstreamReport {
    pub fn new(server: &str) -> Self {
        let kinds = kinds::all().iter().map(|resource| {
            let heard = HeardKind {
                api_version: resource.api_version(),
                kind: resource.kind.to_owned(),
                state: HeardState::Unknown,
                message: String::new(),
                status: String::new(),
            };
            (resource.id, heard)
        });
        let (server, kinds) = (server.to_owned(), kinds.collect());
        Self { server, is_known: false, kinds, unwritten: BTreeMap::new() }
    }

    /// Takes in a word, and tells the log what is news.
    pub fn note(&mut self, word: &Word) {
        let (state, message) = match &word.heard {
            Heard::Put(..) | Heard::Removed(_) => return,
            Heard::Listed { .. } => (HeardState::Followed, String::new()),
            Heard::NotInstalled { .. } => (HeardState::NotInstalled, String::new()),
            Heard::Failed(why) => (HeardState::Broken, why.clone()),
        };
        if matches!(word.heard, Heard::Listed { .. }) {
            // What the server has now may be another version of it, or our rights other ones.
            self.unwritten.remove(&word.kind);
        }
        let Some(kind) = self.kinds.get_mut(&word.kind) else { return };
        if (kind.state, &kind.message) == (state, &message) {
            return;
        }
        let (api_version, name) = (&kind.api_version, &kind.kind);
        match (kind.state, state) {
            (_, HeardState::Broken) => {
                tracing::warn!(%api_version, kind = %name, why = %message, "is not heard");
            }
            (_, HeardState::NotInstalled) => tracing::warn!(
                %api_version, kind = %name,
                "is not installed at the API server; it is taken up once it is"
            ),
            (HeardState::Unknown, _) => tracing::debug!(%api_version, kind = %name, "is heard"),
            _ => tracing::info!(%api_version, kind = %name, "is heard again"),
        }
        kind.state = state;
        kind.message = message;
    }

    pub fn synced(&mut self) {
        self.is_known = true;
    }

    pub fn cannot_write(&mut self, kind: Kind, why: &str) {
        self.unwritten.insert(kind, why.to_owned());
    }

    /// Whether the status of the kind was found to be beyond us.
    pub fn is_unwritten(&self, kind: Kind) -> bool {
        self.unwritten.contains_key(&kind)
    }

    /// What is waited for before anything is compiled; `None` once it is there.
    pub fn waits_for(&self) -> Option<String> {
        if self.is_known {
            return None;
        }
        let missing = self.kinds.values().filter_map(|kind| match kind.state {
            HeardState::Unknown => Some(format!("{} {}", kind.api_version, kind.kind)),
            HeardState::Broken => {
                Some(format!("{} {} ({})", kind.api_version, kind.kind, kind.message))
            }
            HeardState::Followed | HeardState::NotInstalled => None,
        });
        Some(missing.collect::<Vec<_>>().join(", "))
    }

    pub fn state(&self) -> UpstreamState {
        let kinds = self.kinds.iter().map(|(id, kind)| {
            let status = self.unwritten.get(id).cloned().unwrap_or_default();
            HeardKind { status, ..kind.clone() }
        });
        UpstreamState {
            server: self.server.clone(),
            is_known: self.is_known,
            kinds: kinds.collect(),
        }
    }
}
