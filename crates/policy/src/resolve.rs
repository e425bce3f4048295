//! Rules to rows: what a program answers about a class, worked out before any packet comes.
//!
//! A *grant* is a rule whose selectors, nets and port names have become group ids. A *program* is
//! the ordered grants that judge an address in one direction. Painting a program's grants in order,
//! for the groups of one class, gives the class's row.
//!
//! Precedence is total: tiers by (exists, order, name), policies by (order, name/namespace/kind),
//! rules as written; the first Allow, Deny or Pass decides.

pub mod brush;
pub mod filed;
pub mod grants;
pub mod logs;
pub mod paint;
pub mod painted;
pub mod program;

#[cfg(test)]
mod tests;

pub use grants::{Grant, Grants, Lists, Owner, PortSieve, Sieve};
pub use painted::{Logged, Named, Painted};
pub use program::{NamedRule, Program, ProgramTier, Rest, RuleNames};
