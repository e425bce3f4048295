//! Reads manifests: YAML (many documents to a file) or JSON text in, objects with their places out.
//!
//! Pure: the caller reads files. Every complaint names file, line and column, shows the offending
//! line and says what to do. One bad document never hides the others.
//!
//! Scalars are read as `kubectl` reads them, so that a file means here what it means there.
//!
//! Invariant: work and memory are bounded by the length of the text. Aliases may not multiply it
//! (`ALIAS_NODES_MAX`), nesting is limited (`DEPTH_MAX`) and so is the text (`TEXT_BYTES_MAX`).

mod compose;
mod diagnostic;
mod documents;
mod index;
mod kinds;
mod lean;
mod strict;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::object::{Object, ObjectError, ObjectKey};

pub use diagnostic::{Diagnostic, Severity, Source};
pub use index::{Index, locate};
pub use kinds::nearest;
pub use tree::{Node, Scalar, Tree};

/// Longest text that one file may hold.
pub const TEXT_BYTES_MAX: usize = 128 << 20;
/// Deepest nesting of lists and maps.
pub const DEPTH_MAX: usize = 64;
/// Nodes that all aliases of one document may add together.
pub const ALIAS_NODES_MAX: usize = 100_000;
/// Nodes that all anchors of one document may name together.
pub const ANCHOR_NODES_MAX: usize = 1_000_000;
/// Complaints kept for one file; a note counts the rest.
pub const DIAGNOSTICS_MAX: usize = 200;

/// An object with the place where its text begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub object: Object,
    pub source: Source,
}

/// What came of one or more texts.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    pub objects: Vec<Loaded>,
    pub diagnostics: Vec<Diagnostic>,
    seen: HashMap<ObjectKey, Source>,
    is_lean: bool,
}

/// Loads one text. `file` is only a name for the diagnostics.
pub fn load(file: &str, text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.add(file, text);
    manifests
}

/// The documents of a text as trees, for files that are no manifests but written alike. Within the same
/// bounds.
pub fn documents(file: &str, text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let file: Arc<str> = file.into();
    let mut roots = Vec::new();
    let mut problems = Vec::new();
    for document in documents::split(text) {
        match compose::compose(document.text, document.line) {
            Ok(root) => roots.push(root),
            Err(error) => {
                let source = Source { file: file.clone(), line: error.line, column: error.column };
                let problem = Diagnostic::error(error.code, source, error.message);
                problems.push(problem.help_if(error.help).quote(text));
            }
        }
    }
    if problems.is_empty() { Ok(roots) } else { Err(problems) }
}

impl Manifests {
    /// Keeps of pods only what policy may ask for.
    pub fn lean() -> Self {
        Self { is_lean: true, ..Self::default() }
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The objects alone, in reading order.
    pub fn into_objects(self) -> Vec<Object> {
        self.objects.into_iter().map(|loaded| loaded.object).collect()
    }

    /// Loads another text; duplicates are found across all texts.
    pub fn add(&mut self, file: &str, text: &str) {
        let file: Arc<str> = file.into();
        let mut reader = Reader::new(&file, text, self);
        if text.len() > TEXT_BYTES_MAX {
            let message = format!(
                "the file has {} bytes, more than the {TEXT_BYTES_MAX} that are read",
                text.len()
            );
            reader.report(
                Diagnostic::error("file-too-large", reader.source(1, 1), message)
                    .help("split it into several files"),
            );
            return;
        }
        for document in documents::split(text) {
            reader.document(&document);
        }
        reader.finish();
    }
}

/// One text being read.
struct Reader<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    into: &'a mut Manifests,
    n_reported: usize,
    /// How many complaints were too many, and the worst of them.
    withheld: Option<(usize, Severity)>,
    /// Notes by their message, with how often each came up.
    notes: Vec<(Diagnostic, usize)>,
    /// Made for the first complaint.
    index: Option<Index>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Arc<str>, text: &'a str, into: &'a mut Manifests) -> Self {
        Self { file, text, into, n_reported: 0, withheld: None, notes: Vec::new(), index: None }
    }

    fn source(&self, line: u32, column: u32) -> Source {
        Source { file: self.file.clone(), line, column }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Note {
            let known = self.notes.iter_mut().find(|(note, _)| note.message == diagnostic.message);
            match known {
                Some((_, n_times)) => *n_times += 1,
                None => self.notes.push((diagnostic, 1)),
            }
            return;
        }
        if self.n_reported == DIAGNOSTICS_MAX {
            let (n, worst) = self.withheld.unwrap_or((0, diagnostic.severity));
            self.withheld = Some((n + 1, worst.min(diagnostic.severity)));
            return;
        }
        self.n_reported += 1;
        let diagnostic = self.quote(diagnostic);
        self.into.diagnostics.push(diagnostic);
    }

    fn quote(&mut self, diagnostic: Diagnostic) -> Diagnostic {
        let index = self.index.get_or_insert_with(|| Index::of(self.text));
        let line = index.line(self.text, diagnostic.source.line);
        diagnostic.quote_line(line.unwrap_or_default())
    }

    fn finish(&mut self) {
        for (mut note, n_times) in std::mem::take(&mut self.notes) {
            if n_times > 1 {
                note.message.push_str(&format!(" ({n_times} times in this file)"));
            }
            let note = self.quote(note);
            self.into.diagnostics.push(note);
        }
        if let Some((n, worst)) = self.withheld {
            let message = format!("{n} more problems in this file are not shown");
            let source = self.source(1, 1);
            self.into.diagnostics.push(Diagnostic::new(worst, "too-many", source, message));
        }
    }

    fn document(&mut self, document: &documents::Document<'_>) {
        match compose::compose(document.text, document.line) {
            Ok(root) if root.is_null() => {}
            Ok(root) => self.node(&root),
            Err(error) => {
                let source = self.source(error.line, error.column);
                let complaint = Diagnostic::error(error.code, source, error.message);
                self.report(complaint.help_if(error.help));
            }
        }
    }

    /// An object, or a list of objects.
    fn node(&mut self, node: &Node) {
        let place = self.source(node.line, node.column);
        let found = match kinds::recognise(node) {
            Ok(kinds::Found::List(items)) => {
                for item in items {
                    self.node(item);
                }
                return;
            }
            Ok(kinds::Found::Known(kind)) => kind,
            Ok(kinds::Found::Nothing) => return,
            Err(complaint) => {
                let (line, column) = node.place_of(complaint.field);
                let source = self.source(line, column);
                let kinds::Complaint { severity, code, message, help, .. } = complaint;
                self.report(Diagnostic::new(severity, code, source, message).help_if(help));
                return;
            }
        };
        let problems = strict::check(found, node);
        let is_sound = problems.is_empty();
        for problem in problems {
            let source = self.source(problem.line, problem.column);
            let complaint = Diagnostic::error(problem.code, source, problem.message);
            self.report(complaint.help_if(problem.help).at_field(problem.field));
        }
        if !is_sound {
            return;
        }
        let mut value = node.to_json();
        if self.into.is_lean {
            lean::lean(found, &mut value);
        }
        match Object::from_value(value) {
            Ok(object) => self.object(object, node, place),
            Err(ObjectError::Malformed { source: cause, .. }) => {
                self.report(Diagnostic::error("wrong-type", place, cause.to_string()));
            }
            Err(other) => {
                self.report(Diagnostic::error("wrong-type", place, other.to_string()));
            }
        }
    }

    fn object(&mut self, object: Object, node: &Node, source: Source) {
        let key = object.key();
        if key.name.is_empty() {
            let (line, column) = node.place_of("metadata");
            let complaint = Diagnostic::error(
                "no-name",
                self.source(line, column),
                "the object has no `metadata.name`".to_owned(),
            );
            self.report(complaint.help("every object of a manifest needs a name of its own"));
            return;
        }
        if let Some(first) = self.into.seen.get(&key) {
            let message = format!("{key} is declared twice");
            let help = format!("it is declared first at {first}: remove or rename one of the two");
            let (line, column) = node.place_of("metadata.name");
            let place = self.source(line, column);
            self.report(Diagnostic::error("duplicate", place, message).help(help));
            return;
        }
        self.into.seen.insert(key, source.clone());
        self.into.objects.push(Loaded { object, source });
    }
}
