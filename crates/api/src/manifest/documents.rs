//! Cuts a text into YAML documents, so that a broken one does not hide its neighbours.
//!
//! A line that begins with `---` is a document marker wherever it stands: YAML allows no scalar to
//! hold one, so cutting needs no parser.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    pub text: &'a str,
    /// Line of the whole text on which this document begins, from 1.
    pub line: u32,
}

pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut begin, mut begin_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    let mut has_content = false;
    for row in body.split_inclusive('\n') {
        if is_marker(row) && has_content {
            documents.extend(cut(body, begin, offset, begin_line));
            (begin, begin_line) = (offset, line);
        }
        has_content |= is_marker(row) || !is_blank(row);
        offset += row.len();
        line += 1;
    }
    documents.extend(cut(body, begin, offset, begin_line));
    documents
}

fn cut(body: &str, begin: usize, end: usize, line: u32) -> Option<Document<'_>> {
    body.get(begin..end).map(|text| Document { text, line })
}

/// `---` alone or followed by a space.
fn is_marker(row: &str) -> bool {
    row.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Nothing but a comment or a directive, which belong to the document that follows.
fn is_blank(row: &str) -> bool {
    let row = row.trim();
    row.is_empty() || row.starts_with('#') || row.starts_with('%')
}
