//! Where in a policy one side of a rule stands.

use bulkhead_types::{Direction, Protocol};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Source,
    Destination,
}

#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub end: End,
    pub direction: Direction,
    /// The rule's.
    pub protocol: Option<Protocol>,
}

impl Place {
    /// Whether the side is about the other end of the connection, not about the judged endpoint.
    pub fn is_remote(self) -> bool {
        match self.direction {
            Direction::Ingress => self.end == End::Source,
            Direction::Egress => self.end == End::Destination,
        }
    }
}
