//! Who belongs to what: selectors to members, members to addresses, addresses to classes.
//!
//! ```text
//! labels ──▶ selectors ──▶ groups ─┐
//! rule nets ───────────────▶ groups ┼──▶ classes of addresses
//! port names ──────────────▶ groups ┘
//! ```
//!
//! A *member* is whatever has labels and addresses: an endpoint or a network set. Members that no
//! selector can tell apart are one *persona*. A *group* is one
//! distinct thing that a rule asks of an address. A *class* is the set of groups that an address
//! belongs to; addresses of one class are alike to every rule.
//!
//! Invariant: each distinct selector is evaluated once against everybody when it appears, and from
//! then on only against members whose labels change.

pub mod addresses;
pub mod anchors;
pub mod finder;
pub mod groups;
pub mod ids;
pub mod labels;
pub mod personas;
pub mod selectors;
pub mod slab;

#[cfg(test)]
mod tests;

pub use addresses::{Addresses, Class, Move};
pub use finder::Finder;
pub use groups::{GroupId, GroupKind, Groups};
pub use ids::Ids;
pub use personas::{Home, HomeId, Origin, Persona, PersonaId, PersonaKey};
pub use selectors::{Delta, Heir, SelectorId, Selectors};
pub use slab::Slab;

/// An endpoint or network set, for as long as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u32);
