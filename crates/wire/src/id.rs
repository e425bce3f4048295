//! Ids by content: the same meaning has the same id in every revision and after every server restart,
//! so a snapshot that says nothing new changes nothing in the kernel.

use std::fmt;

use bulkhead_types::{Direction, PolicyRef, RuleRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::row::Row;

macro_rules! content_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

content_id!(
    /// A set of groups as one node's rules can tell them apart.
    ClassId
);
content_id!(
    /// An ordered list of grants for one direction.
    ProgramId
);
content_id!(
    /// The resolved answer of one program about one class.
    RowId
);
content_id!(
    /// One [`RuleRef`], alone or behind Log rules: see [`RuleId::behind`].
    RuleId
);

content_id!(
    /// A group that a name can bring an address into.
    Tag
);
content_id!(
    /// A set of tags.
    NameSetId
);

impl ClassId {
    /// The class of every address that belongs to no group.
    pub const OUTSIDE: ClassId = ClassId(0);
}

/// The first 64 bits of SHA-256 over length-prefixed parts. Never 0.
pub fn content_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first).max(1)
}

impl RuleId {
    pub fn of(rule: &RuleRef) -> Self {
        let text = match rule {
            RuleRef::Rule { tier, policy, direction, index } => {
                return Self::of_policy(tier, policy, *direction, *index);
            }
            RuleRef::TierDefault { tier } => format!("tier|{tier}"),
            RuleRef::Profile { name } => format!("profile|{name}"),
            RuleRef::NoProfile => "no profile".to_owned(),
            RuleRef::Failsafe => "failsafe".to_owned(),
            RuleRef::StageDefault => "stage".to_owned(),
            RuleRef::WorkloadToHost => "workload to host".to_owned(),
            RuleRef::HostToWorkload => "host to workload".to_owned(),
            RuleRef::NotItsOwn => "not its own".to_owned(),
            RuleRef::Unknown => "unknown".to_owned(),
        };
        Self(content_hash([text.as_bytes()]))
    }

    /// Of a rule that decides about packets once all of `logged` have logged them, in that order.
    #[must_use]
    pub fn behind(decider: RuleId, logged: &[RuleId]) -> Self {
        let rules = [decider].into_iter().chain(logged.iter().copied());
        let bytes: Vec<u8> = rules.flat_map(|rule| rule.0.to_le_bytes()).collect();
        Self(content_hash([b"logged".as_slice(), &bytes]))
    }

    /// Of a policy's rule.
    pub fn of_policy(tier: &str, policy: &PolicyRef, direction: Direction, index: u32) -> Self {
        let text = format!("rule|{tier}|{policy}|{direction}|{index}");
        Self(content_hash([text.as_bytes()]))
    }
}

impl RowId {
    pub fn of(row: &Row) -> Self {
        let mut bytes = Vec::with_capacity(512);
        for spans in row.all() {
            spans.write_canonical(&mut bytes);
        }
        Self(content_hash([bytes.as_slice()]))
    }
}
