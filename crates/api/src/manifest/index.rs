//! Where things stand in a text, found again without reading all of it.

use std::ops::Range;

use super::diagnostic::Source;
use super::{compose, documents};

/// Lines from one mark to the next.
const STRIDE: usize = 64;

/// Where the documents of a text begin and end, and some of its lines.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// First line, and the bytes.
    documents: Vec<(u32, Range<usize>)>,
    /// The byte at which every [`STRIDE`]th line begins.
    marks: Vec<usize>,
    is_ascii: bool,
}

impl Index {
    pub fn of(text: &str) -> Self {
        let begin = text.as_ptr().addr();
        let documents = documents::split(text).into_iter().map(|document| {
            let from = document.text.as_ptr().addr().saturating_sub(begin);
            (document.line, from..from + document.text.len())
        });
        let mut marks = Vec::new();
        let mut offset = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if number % STRIDE == 0 {
                marks.push(offset);
            }
            offset += line.len();
        }
        Self { documents: documents.collect(), marks, is_ascii: text.is_ascii() }
    }

    /// The text from the line on, which counts from 1.
    fn rest_at<'t>(&self, text: &'t str, line: u32) -> Option<&'t str> {
        let number = (line as usize).checked_sub(1)?;
        let rest = text.get(*self.marks.get(number / STRIDE)?..)?;
        let mut skipped = 0;
        for line in rest.split_inclusive('\n').take(number % STRIDE) {
            skipped += line.len();
        }
        rest.get(skipped..)
    }

    /// One line, without its end.
    pub fn line<'t>(&self, text: &'t str, line: u32) -> Option<&'t str> {
        self.rest_at(text, line)?.lines().next()
    }

    fn document<'t>(&self, text: &'t str, line: u32) -> Option<(&'t str, u32)> {
        let after = self.documents.partition_point(|(begin, _)| *begin <= line);
        let (first, bytes) = self.documents.get(after.checked_sub(1)?)?;
        Some((text.get(bytes.clone())?, *first))
    }

    /// The place of `field` (such as `spec.ingress[0].from`) in the object that begins at `object`, or
    /// of its nearest parent that is written out. Reads the object again, so that loading need not
    /// keep every place in memory.
    pub fn locate(&self, text: &str, object: &Source, field: &str) -> Source {
        let (line, column) = self
            .alone(text, object, field)
            .or_else(|| self.within(text, object, field))
            .unwrap_or((object.line, object.column));
        Source { file: object.file.clone(), line, column }
    }

    /// Reads nothing but the object, which may be one of very many in a list.
    fn alone(&self, text: &str, object: &Source, field: &str) -> Option<(u32, u32)> {
        let rest = self.rest_at(text, object.line)?;
        let column = (object.column as usize).checked_sub(1)?;
        // A line may be as long as its file.
        let skipped = match self.is_ascii {
            true => column,
            false => rest.char_indices().nth(column)?.0,
        };
        let root = compose::first(rest.get(skipped..)?, object.line, object.column).ok()?;
        (root.line == object.line && root.column == object.column).then(|| root.place_of(field))
    }

    /// Reads the whole document, where the object leans on other parts of it.
    fn within(&self, text: &str, object: &Source, field: &str) -> Option<(u32, u32)> {
        let (text, line) = self.document(text, object.line)?;
        let root = compose::compose(text, line).ok()?;
        Some(root.find_at(object.line, object.column).unwrap_or(&root).place_of(field))
    }
}

/// As [`Index::locate`], for a text that is asked about once.
pub fn locate(text: &str, object: &Source, field: &str) -> Source {
    Index::of(text).locate(text, object, field)
}
