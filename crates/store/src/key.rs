//! Where an object lives, and which part of the store a reader looks at.

use std::fmt;
use std::str::FromStr;

/// Position in the history of the whole store. 0 is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceVersion(pub u64);

impl ResourceVersion {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ResourceVersion {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Identity of an object. The order is that of lists: by resource, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Plural and group, as in `networkpolicies.networking.k8s.io`; the core group has none: `pods`.
    pub resource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(
        resource: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    /// A form that sorts as the key does: the parts never hold a zero byte.
    pub(crate) fn encode(&self) -> String {
        format!("{}\0{}\0{}", self.resource, self.namespace, self.name)
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split('\0');
        let key = Self::new(parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.resource, self.name)
        } else {
            write!(f, "{}/{}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// The part of the store that a list or watch covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Resource { resource: String },
    Namespace { resource: String, namespace: String },
}

impl Scope {
    pub fn resource(resource: impl Into<String>) -> Self {
        Self::Resource { resource: resource.into() }
    }

    pub fn covers(&self, key: &Key) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Resource { resource } => key.resource == *resource,
            Scope::Namespace { resource, namespace } => {
                key.resource == *resource && key.namespace == *namespace
            }
        }
    }

    /// No covered key sorts before this one.
    pub(crate) fn start(&self) -> Key {
        match self {
            Scope::Everything => Key::new("", "", ""),
            Scope::Resource { resource } => Key::new(resource, "", ""),
            Scope::Namespace { resource, namespace } => Key::new(resource, namespace, ""),
        }
    }
}
