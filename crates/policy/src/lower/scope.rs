//! Which labels a written selector really looks at.
//!
//! Namespace selectors look at the labels of the namespace, service account selectors at those of
//! the service account. Both are inherited by endpoints under the key prefixes [`NAMESPACE_PREFIX`]
//! and [`SERVICE_ACCOUNT_PREFIX`], so that one selector over one label set says it all.

use std::fmt::Display;

use bulkhead_api::calico::{EntityRule, ServiceAccountMatch};
use bulkhead_types::Selector;
use bulkhead_types::selector::Expr;

use super::{At, Notes};
use crate::facts::{NAMESPACE, NAMESPACE_PREFIX, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX};

/// The positive and the negative selector of one side of a rule. `namespace` is that of the policy,
/// if it has one.
pub fn side(
    entity: &EntityRule,
    namespace: Option<&str>,
    field: &dyn Display,
    notes: &mut Notes,
) -> (Option<Selector>, Option<Selector>) {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.trim().is_empty());
    let own = text(&entity.selector);
    let negated = text(&entity.not_selector);
    let of_namespace = text(&entity.namespace_selector);
    let accounts = entity.service_accounts.as_ref();

    let mut parts = Vec::new();
    match (&of_namespace, namespace) {
        (Some(text), _) => {
            let field = format!("{field}.namespaceSelector");
            parts.push(entity_namespaces(text, &field, notes));
        }
        // Any look at labels stays within the policy's own namespace unless it says otherwise.
        (None, Some(namespace)) if own.is_some() || negated.is_some() || accounts.is_some() => {
            parts.push(Some(in_namespace(namespace)));
        }
        _ => {}
    }
    if let Some(accounts) = accounts {
        parts.extend(service_accounts(accounts, &At(field, "serviceAccounts"), notes));
    }
    if let Some(text) = &own {
        parts.push(plain(text, &At(field, "selector"), notes));
    }
    let negated = negated.and_then(|text| plain(&text, &At(field, "notSelector"), notes));
    let positive = (!parts.is_empty()).then(|| Selector::conjunction(parts.into_iter().flatten()));
    (positive, negated)
}

/// A selector over an object's own labels, where `global()` has no meaning.
pub fn plain(text: &str, field: &dyn Display, notes: &mut Notes) -> Option<Selector> {
    let selector = parse(text, field, notes)?;
    if selector.expr().mentions_global() {
        notes.error(field, "`global()` has a meaning only in a rule's `namespaceSelector`");
        return None;
    }
    Some(selector)
}

/// A selector over namespaces; `all()` is everything that has one.
pub fn namespaces(text: &str, field: &dyn Display, notes: &mut Notes) -> Option<Selector> {
    let selector = plain(text, field, notes)?;
    Some(inherited(&selector, NAMESPACE_PREFIX, NAMESPACE))
}

/// A selector over service accounts; `all()` is everything that has one.
pub fn accounts(text: &str, field: &dyn Display, notes: &mut Notes) -> Option<Selector> {
    let selector = plain(text, field, notes)?;
    Some(inherited(&selector, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNT))
}

pub fn in_namespace(namespace: &str) -> Selector {
    Expr::Equals(NAMESPACE.to_owned(), namespace.to_owned()).into()
}

/// As [`namespaces`], but `global()` alone selects what has no namespace.
fn entity_namespaces(text: &str, field: &dyn Display, notes: &mut Notes) -> Option<Selector> {
    let selector = parse(text, field, notes)?;
    if *selector.expr() == Expr::Global {
        return Some(Expr::Not(Box::new(Expr::Has(NAMESPACE.to_owned()))).into());
    }
    if selector.expr().mentions_global() {
        notes.error(field, "`global()` must stand alone");
        return None;
    }
    Some(inherited(&selector, NAMESPACE_PREFIX, NAMESPACE))
}

/// Named accounts or labels; with neither, anything that has a service account.
fn service_accounts(
    accounts: &ServiceAccountMatch,
    field: &dyn Display,
    notes: &mut Notes,
) -> Vec<Option<Selector>> {
    let names = accounts.names.as_deref().unwrap_or_default();
    let selector = accounts.selector.as_deref().unwrap_or_default();
    let mut parts = Vec::new();
    if !names.is_empty() {
        let names = names.iter().cloned().collect();
        parts.push(Some(Expr::In(SERVICE_ACCOUNT.to_owned(), names).into()));
    }
    if !selector.trim().is_empty() {
        parts.push(self::accounts(selector, &At(field, "selector"), notes));
    }
    if parts.is_empty() {
        parts.push(Some(Expr::Has(SERVICE_ACCOUNT.to_owned()).into()));
    }
    parts
}

fn inherited(selector: &Selector, prefix: &str, marker: &str) -> Selector {
    if selector.is_all() {
        Expr::Has(marker.to_owned()).into()
    } else {
        selector.with_key_prefix(prefix)
    }
}

fn parse(text: &str, field: &dyn Display, notes: &mut Notes) -> Option<Selector> {
    Selector::parse(text).map_err(|error| notes.error(field, error.to_string())).ok()
}
