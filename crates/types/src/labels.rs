//! Label sets.

use std::collections::BTreeMap;

/// Key to value, ordered, so that equal sets print and hash alike.
pub type Labels = BTreeMap<String, String>;
