//! The words everyone shares: identities, labels, addresses, ports, protocols, packets and verdicts.
//!
//! Invariant: nothing here does I/O, reads a clock or knows a Kubernetes object. Every other crate
//! may import this one; it imports none of ours.

pub mod direction;
pub mod endpoint;
pub mod host;
pub mod labels;
pub mod mac;
pub mod names;
pub mod packet;
pub mod port;
pub mod protocol;
pub mod revision;
pub mod selector;
pub mod verdict;

pub use direction::Direction;
pub use endpoint::{EndpointId, EndpointKind};
pub use host::{FailsafePort, HostInterface, HostStage, ToHost};
pub use labels::Labels;
pub use mac::{Mac, MacError};
pub use names::{NO_NAMES, Names};
pub use packet::Packet;
pub use port::PortRange;
pub use protocol::{ParseProtocolError, Protocol};
pub use revision::Revision;
pub use selector::{LabelLookup, ParseSelectorError, Selector};
pub use verdict::{Decision, LOGGED_MAX, PolicyKind, PolicyRef, RuleRef, Verdict};
