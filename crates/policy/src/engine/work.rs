//! What the engine recomputes, for tests that prove what it does not.

use std::fmt;

use bulkhead_types::{Direction, PolicyRef};
use ipnet::IpNet;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A policy's rules were resolved to groups.
    Resolved { policy: PolicyRef, direction: Direction },
    /// Selectors were tried on one member.
    Matched { member: String, n_selectors: u64 },
    /// A prefix came to another class.
    Classified { prefix: IpNet },
    /// The programs of an endpoint were looked up again.
    Judged { endpoint: String },
    /// A program was made.
    Compiled { direction: Direction, n_policies: usize },
    /// The row of a program for a set of groups was worked out.
    Painted { direction: Direction, n_groups: usize },
    /// A node's tables changed.
    Emitted { node: String },
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Resolved { policy, direction } => write!(f, "resolved {direction} of {policy}"),
            Work::Matched { member, n_selectors } => {
                write!(f, "matched {member} against {n_selectors} selectors")
            }
            Work::Classified { prefix } => write!(f, "classified {prefix}"),
            Work::Judged { endpoint } => write!(f, "judged {endpoint}"),
            Work::Compiled { direction, n_policies } => {
                write!(f, "compiled an {direction} program of {n_policies} policies")
            }
            Work::Painted { direction, n_groups } => {
                write!(f, "painted an {direction} row for {n_groups} groups")
            }
            Work::Emitted { node } => write!(f, "emitted {node}"),
        }
    }
}
