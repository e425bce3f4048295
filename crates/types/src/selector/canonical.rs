//! The canonical text of an expression.
//!
//! Invariant: the text parses back to an equal expression. That is why a value that holds a double
//! quote is single-quoted: the grammar has no escapes.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use super::expr::Expr;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::All => f.write_str("all()"),
            Expr::Global => f.write_str("global()"),
            Expr::Has(key) => write!(f, "has({key})"),
            Expr::Equals(key, value) => write!(f, "{key} == {}", Quoted(value)),
            Expr::NotEquals(key, value) => write!(f, "{key} != {}", Quoted(value)),
            Expr::Contains(key, part) => write!(f, "{key} contains {}", Quoted(part)),
            Expr::StartsWith(key, part) => write!(f, "{key} starts with {}", Quoted(part)),
            Expr::EndsWith(key, part) => write!(f, "{key} ends with {}", Quoted(part)),
            Expr::In(key, values) => write!(f, "{key} in {}", Set(values)),
            Expr::NotIn(key, values) => write!(f, "{key} not in {}", Set(values)),
            Expr::Not(inner) => write!(f, "!{inner}"),
            Expr::And(operands) => joined(f, operands, " && "),
            Expr::Or(operands) => joined(f, operands, " || "),
        }
    }
}

fn joined(f: &mut Formatter<'_>, operands: &[Expr], operator: &str) -> fmt::Result {
    f.write_str("(")?;
    for (position, operand) in operands.iter().enumerate() {
        if position > 0 {
            f.write_str(operator)?;
        }
        operand.fmt(f)?;
    }
    f.write_str(")")
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0.contains('"'), self.0.contains('\'')) {
            (false, _) => write!(f, "\"{}\"", self.0),
            (true, false) => write!(f, "'{}'", self.0),
            // No text parses to this value, but an expression made by hand may hold it, and its
            // canonical form must still be nobody else's.
            (true, true) => write!(f, "{}:{}", self.0.len(), self.0),
        }
    }
}

struct Set<'a>(&'a BTreeSet<String>);

impl Display for Set<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, value) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            Quoted(value).fmt(f)?;
        }
        f.write_str("}")
    }
}
