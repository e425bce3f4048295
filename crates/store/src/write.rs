//! What a caller asks to be written, and under which conditions.

use std::sync::Arc;

use serde_json::Value;

use crate::event::Stored;
use crate::key::{Key, ResourceVersion};

/// What must hold for a key at the moment of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Absent,
    Present,
    At(ResourceVersion),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put {
        key: Key,
        expect: Expect,
        value: Value,
    },
    /// Deleting what is absent fails unless `expect` is [`Expect::Anything`].
    Delete {
        key: Key,
        expect: Expect,
    },
}

impl Write {
    pub fn create(key: Key, value: Value) -> Self {
        Self::Put { key, expect: Expect::Absent, value }
    }

    pub fn replace(key: Key, at: ResourceVersion, value: Value) -> Self {
        Self::Put { key, expect: Expect::At(at), value }
    }

    pub fn delete(key: Key, at: ResourceVersion) -> Self {
        Self::Delete { key, expect: Expect::At(at) }
    }
}

/// Writes that happen together or not at all; `guards` are conditions on keys that are not written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub guards: Vec<(Key, Expect)>,
    pub writes: Vec<Write>,
}

impl Batch {
    pub fn guarded(mut self, key: Key, expect: Expect) -> Self {
        self.guards.push((key, expect));
        self
    }
}

impl From<Write> for Batch {
    fn from(write: Write) -> Self {
        Self { guards: Vec::new(), writes: vec![write] }
    }
}

/// A batch that is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The revision of the last write; everything up to it is visible to readers.
    pub revision: ResourceVersion,
    /// For each write the new state, or the one that was deleted; none for a deletion of nothing.
    pub objects: Vec<Option<Arc<Stored>>>,
}
