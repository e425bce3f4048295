//! Policies by the namespace that they are for, so that policies of different namespaces, of which
//! neither can be for what the other is for, need not be held against one another.

use std::collections::HashMap;

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::Severity;
use bulkhead_policy::facts::NAMESPACE;
use bulkhead_policy::rule::Policy;
use bulkhead_types::selector::Expr;

use crate::check::Pen;

/// Positions in the list of policies, each list ascending.
#[derive(Debug, Default)]
pub struct Homes<'a> {
    everywhere: Vec<usize>,
    by_namespace: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Homes<'a> {
    pub fn add(&mut self, at: usize, policy: &'a Policy) {
        match home(policy) {
            Some(namespace) => self.by_namespace.entry(namespace).or_default().push(at),
            None => self.everywhere.push(at),
        }
    }

    /// Those that may be for all that `policy` is for, in the order of the list.
    pub fn as_wide_as(&self, policy: &Policy) -> impl Iterator<Item = usize> {
        let near = home(policy).and_then(|namespace| self.by_namespace.get(namespace));
        let (near, far) = (near.map_or(&[][..], Vec::as_slice), self.everywhere.as_slice());
        let mut lists = (near.iter().copied().peekable(), far.iter().copied().peekable());
        std::iter::from_fn(move || {
            let is_near_next = match (lists.0.peek(), lists.1.peek()) {
                (Some(near), Some(far)) => near < far,
                (near, _) => near.is_some(),
            };
            if is_near_next { lists.0.next() } else { lists.1.next() }
        })
    }
}

/// The one namespace that everything the policy is for is in.
fn home(policy: &Policy) -> Option<&str> {
    match policy.subject.expr() {
        Expr::Equals(key, namespace) if key == NAMESPACE => Some(namespace),
        Expr::And(operands) => operands.iter().find_map(|operand| match operand {
            Expr::Equals(key, namespace) if key == NAMESPACE => Some(namespace.as_str()),
            _ => None,
        }),
        _ => None,
    }
}

/// Says what was too much to look for.
pub fn not_compared(key: &ObjectKey, field: &str, message: String, pen: &mut Pen<'_>) {
    let help = "check fewer manifests at a time to have it looked for".to_owned();
    pen.write(Severity::Note, "not-compared", key, field, message, Some(help));
}
