//! How big a message may be. Both sides refuse what is larger, and say which field and by how much.
//!
//! The counts are far above what one node's kernel tables hold (those are checked by `enforce`
//! before a write): they only keep a broken or hostile peer from exhausting memory.

/// One gRPC message, whatever it holds; a whole program must fit.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

pub const ENDPOINTS_MAX: usize = 4_096;
/// Host endpoints of one node.
pub const HOSTS_MAX: usize = 256;
/// Of one host endpoint and direction.
pub const FAILSAFE_PORTS_MAX: usize = 1_024;
pub const ADDRESSES_PER_ENDPOINT_MAX: usize = 64;
pub const LABELS_MAX: usize = 512;
pub const CLASSES_MAX: usize = 1_048_576;
pub const ENTRIES_MAX: usize = 2_097_152;
pub const ROWS_MAX: usize = 262_144;
pub const RULES_MAX: usize = 1_048_576;
/// Log rules before one deciding rule, and of one flow record; no less than what a verdict names.
pub const LOGGED_PER_RULE_MAX: usize = 64;
/// Spans of one protocol of one row, and source-port leaves of one span.
pub const SPANS_MAX: usize = 65_536;

/// Names and patterns of one node, groups that one of them is listed in, and rows for names.
pub const PATTERNS_MAX: usize = 65_536;
pub const TAGS_MAX: usize = 65_536;
pub const NAME_ENTRIES_MAX: usize = 1_048_576;
/// A DNS name after `*.`.
pub const PATTERN_BYTES_MAX: usize = 255;

/// Names of one flow record's destination.
pub const NAMES_PER_FLOW_MAX: usize = 64;
/// Flow records in one batch.
pub const FLOWS_PER_BATCH_MAX: usize = 1_024;
/// Endpoints without an interface that a status names; the count is exact all the same.
pub const WAITING_NAMED_MAX: usize = 64;

/// Any name, label or value.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Sentences: the reason of a refusal. Longer ones are cut by the sender.
pub const REASON_BYTES_MAX: usize = 4_096;
/// A certificate request, and each certificate handed out.
pub const CERTIFICATE_BYTES_MAX: usize = 65_536;
/// Sentences of drift in one status; the sender leaves out the rest.
pub const DRIFT_MAX: usize = 64;
