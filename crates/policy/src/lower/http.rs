//! `http`: requests, which no packet shows. Such a rule is kept and decides no packet.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_api::calico;
use bulkhead_types::{Direction, Protocol};

use super::Notes;
use crate::rule::{Action, HttpMatch, HttpPath, Rule};

const METHODS_MAX: usize = 20;
const PATHS_MAX: usize = 20;

/// `rule` has its action and protocol already.
pub fn read(
    written: &calico::HttpMatch,
    rule: &Rule,
    direction: Direction,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<HttpMatch>> {
    if rule.action != Action::Allow {
        notes.error(field, "only in rules whose action is Allow");
    }
    if direction != Direction::Ingress {
        notes.error(field, "only in ingress rules");
    }
    let is_tcp = rule.protocol.is_none_or(|protocol| protocol == Protocol::TCP);
    if !is_tcp || rule.not_protocol == Some(Protocol::TCP) {
        notes.error(field, "requests are TCP: use protocol TCP, or none");
    }
    let methods = written.methods.clone().unwrap_or_default();
    let written_paths = written.paths.as_deref().unwrap_or_default();
    for (name, count, max) in
        [("methods", methods.len(), METHODS_MAX), ("paths", written_paths.len(), PATHS_MAX)]
    {
        if count > max {
            notes.error(format!("{field}.{name}"), format!("{count} are too many: at most {max}"));
        }
    }
    let mut paths = Vec::with_capacity(written_paths.len());
    for (position, path) in written_paths.iter().enumerate() {
        match (&path.exact, &path.prefix) {
            (Some(text), None) => paths.push(HttpPath::Exact(text.clone())),
            (None, Some(text)) => paths.push(HttpPath::Prefix(text.clone())),
            _ => {
                let field = format!("{field}.paths[{position}]");
                notes.error(field, "a path is either `exact` or `prefix`");
            }
        }
    }
    notes.warning(
        field,
        "no packet shows a request: until a proxy reads requests the rule allows nothing",
    );
    Some(Arc::new(HttpMatch { methods: sorted(methods), paths: sorted(paths) }))
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
