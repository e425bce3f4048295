//! What lowering has to say about an object.

use std::fmt;

use bulkhead_api::{Object, ObjectKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// As meant, and worth knowing.
    Note,
    /// Odd, but understood.
    Warning,
    /// Not understood, and therefore read closed.
    Error,
}

/// Names the object, the field, the trouble and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Diagnostic {
    pub object: ObjectKey,
    pub severity: Severity,
    /// Path from the object's root, such as `spec.ingress[0].source.selector`.
    pub field: String,
    pub message: String,
    /// What it means for packets.
    pub effect: &'static str,
}

impl Diagnostic {
    /// Whether it says that a policy's tier does not exist.
    pub fn is_about_tier(&self) -> bool {
        self.severity == Severity::Warning && self.field == "spec.tier"
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)?;
        if self.effect.is_empty() { Ok(()) } else { write!(f, "; {}", self.effect) }
    }
}

/// A field within a field, spelled out only where something is to be said of it.
pub struct At<'a>(pub &'a dyn fmt::Display, pub &'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Collects what is to be said of one object, which is named last.
#[derive(Debug, Default)]
pub struct Notes {
    list: Vec<Note>,
    /// What an error means at the place that is being read.
    effect: &'static str,
}

#[derive(Debug)]
struct Note {
    severity: Severity,
    field: String,
    message: String,
    effect: &'static str,
}

impl Notes {
    pub fn about(self, object: &Object) -> Vec<Diagnostic> {
        if self.list.is_empty() { Vec::new() } else { self.about_key(&object.key()) }
    }

    pub fn about_key(self, object: &ObjectKey) -> Vec<Diagnostic> {
        let named = |Note { severity, field, message, effect }| Diagnostic {
            object: object.clone(),
            severity,
            field,
            message,
            effect,
        };
        self.list.into_iter().map(named).collect()
    }

    /// Reads a part whose errors have the given effect. Says whether there were none.
    pub fn reading<T>(
        &mut self,
        effect: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> (T, bool) {
        let outer = std::mem::replace(&mut self.effect, effect);
        let before = self.n_errors();
        let value = read(self);
        self.effect = outer;
        (value, self.n_errors() == before)
    }

    pub fn error(&mut self, field: impl fmt::Display, message: impl Into<String>) {
        self.push(Severity::Error, field.to_string(), message.into(), self.effect);
    }

    pub fn warning(&mut self, field: impl fmt::Display, message: impl Into<String>) {
        self.push(Severity::Warning, field.to_string(), message.into(), "");
    }

    pub fn note(&mut self, field: impl fmt::Display, message: impl Into<String>) {
        self.push(Severity::Note, field.to_string(), message.into(), "");
    }

    fn push(&mut self, severity: Severity, field: String, message: String, effect: &'static str) {
        self.list.push(Note { severity, field, message, effect });
    }

    fn n_errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }
}
