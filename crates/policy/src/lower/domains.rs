//! Names that were looked up: `domains` of a rule, `allowedEgressDomains` of a network set,
//! `domainNames` of a peer.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_types::{Direction, names};

use super::Notes;
use super::place::{End, Place};
use crate::rule::DomainPattern;

/// `None` where the list is unset or empty: both ask nothing.
pub fn of_rule(
    list: Option<&[String]>,
    place: Place,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<[DomainPattern]>> {
    let list = list.filter(|list| !list.is_empty())?;
    if place.direction != Direction::Egress || place.end != End::Destination {
        notes.error(field, "only in the destination of egress rules: nobody looks senders up");
        return None;
    }
    Some(patterns(list, field, notes).into())
}

/// A broken name of a set is left out, as a broken net is.
pub fn of_set(list: Option<&[String]>, notes: &mut Notes) -> Vec<DomainPattern> {
    let list = list.unwrap_or_default();
    notes.reading("the name is left out", |n| patterns(list, &"spec.allowedEgressDomains", n)).0
}

/// Sorted, without duplicates.
pub fn patterns(list: &[String], field: &dyn Display, notes: &mut Notes) -> Vec<DomainPattern> {
    let mut patterns = Vec::with_capacity(list.len());
    for (position, text) in list.iter().enumerate() {
        let normal = names::normal_name(text);
        if names::is_pattern(&normal) {
            patterns.push(DomainPattern(normal));
        } else {
            let shown: String = text.chars().take(64).collect();
            let message = format!(
                "`{}` is not a name such as `example.com` or `*.example.com`",
                shown.escape_debug()
            );
            notes.error(format!("{field}[{position}]"), message);
        }
    }
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}
