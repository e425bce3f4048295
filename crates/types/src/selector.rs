//! Label selectors: the grammar, its canonical form and its evaluation.
//!
//! The grammar is the one that `projectcalico.org/v3` objects use, kept exactly:
//!
//! ```text
//! selector = [ or ] end                         empty means all()
//! or       = and { "||" and }
//! and      = operand { "&&" operand }
//! operand  = { "!" } ( has(label) | all() | global() | label op | "(" or ")" )
//! op       = "==" str | "!=" str | "contains" str | "starts with" str | "ends with" str
//!          | "in" set | "not in" set
//! ```
//!
//! Two selectors with the same canonical form mean the same, so the canonical text is the identity
//! that the compiler shares groups by.
//!
//! Invariant: parsing is linear in the text and its recursion is bounded by [`DEPTH_MAX`], so hostile
//! text costs no more than its length.

mod canonical;
mod error;
mod expr;
mod implies;
mod parse;
mod restrict;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use error::ParseSelectorError;
pub use expr::{Expr, LabelLookup};
pub use restrict::{Restriction, Restrictions};

/// Parentheses may nest this deep.
pub const DEPTH_MAX: usize = 100;

/// A label key is at most this long.
pub const LABEL_LENGTH_MAX: usize = 512;

/// A parsed selector. Cheap to clone; equal where the canonical text is, which is spelled out only
/// when it is asked for.
#[derive(Clone)]
pub struct Selector(Arc<Parsed>);

struct Parsed {
    expr: Expr,
    canonical: OnceLock<Box<str>>,
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, ParseSelectorError> {
        parse::parse(text).map(Self::from)
    }

    /// `all()`: everything that has labels, even none.
    pub fn all() -> Self {
        Self::from(Expr::All)
    }

    pub fn expr(&self) -> &Expr {
        &self.0.expr
    }

    pub fn canonical(&self) -> &str {
        self.0.canonical.get_or_init(|| self.0.expr.to_string().into())
    }

    pub fn is_all(&self) -> bool {
        self.0.expr == Expr::All
    }

    pub fn matches(&self, labels: &impl LabelLookup) -> bool {
        self.0.expr.matches(labels)
    }

    /// What any matching label set must satisfy; for indexing.
    pub fn restrictions(&self) -> Restrictions {
        restrict::restrictions(&self.0.expr)
    }

    /// Whether everything that this selector matches, `wide` matches too. `true` is a proof; `false`
    /// only means that none was found.
    pub fn implies(&self, wide: &Selector) -> bool {
        implies::implies(self.expr(), wide.expr())
    }

    /// Whether nothing matches both. `true` is a proof; `false` only means that none was found.
    pub fn excludes(&self, other: &Selector) -> bool {
        implies::excludes(self.expr(), other.expr())
    }

    /// The conjunction, in the given order; `all()` operands are left out.
    #[must_use]
    pub fn conjunction(operands: impl IntoIterator<Item = Selector>) -> Self {
        let mut kept: Vec<Selector> = operands.into_iter().filter(|s| !s.is_all()).collect();
        match kept.len() {
            0 => Self::all(),
            1 => kept.remove(0),
            _ => Self::from(Expr::And(kept.into_iter().map(Self::into_expr).collect())),
        }
    }

    fn into_expr(self) -> Expr {
        match Arc::try_unwrap(self.0) {
            Ok(parsed) => parsed.expr,
            Err(shared) => shared.expr.clone(),
        }
    }

    /// The same selector over labels whose keys begin with `prefix`.
    #[must_use]
    pub fn with_key_prefix(&self, prefix: &str) -> Self {
        Self::from(self.0.expr.map_keys(&|key| format!("{prefix}{key}")))
    }
}

impl From<Expr> for Selector {
    fn from(expr: Expr) -> Self {
        Self(Arc::new(Parsed { expr, canonical: OnceLock::new() }))
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        // The canonical text parses back to an equal expression, so this compares texts.
        Arc::ptr_eq(&self.0, &other.0) || self.0.expr == other.0.expr
    }
}

impl Eq for Selector {}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.canonical().cmp(other.canonical())
    }
}

impl std::hash::Hash for Selector {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.expr.hash(state);
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.canonical())
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.canonical())
    }
}
