//! Cases in tables of Markdown.
//!
//! A table whose head has `from`, `to` and `expect` is one of cases; others, and all other text, are
//! for people. The heading above names the cases that have no name of their own.

use std::sync::Arc;

use bulkhead_api::manifest::{Diagnostic, Source};

use super::case::{self, Case, Whom};

const COLUMNS: [&str; 7] = ["name", "from", "to", "port", "expect", "rule", "family"];

pub fn read(file: &str, text: &str) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let file: Arc<str> = file.into();
    let mut cases = Vec::new();
    let mut problems = Vec::new();
    let mut heading: Option<String> = None;
    // Of the table that is being read; `None` is a table for people, or no table.
    let mut head: Option<Vec<String>> = None;
    let mut is_in_table = false;
    let mut is_code = false;
    for (line, row) in (1u32..).zip(text.lines()) {
        let source = Source { file: Arc::clone(&file), line, column: 1 };
        let row = row.trim();
        if row.starts_with("```") {
            is_code = !is_code;
        }
        if is_code || !row.starts_with('|') {
            is_in_table = false;
            head = None;
            if let Some(text) = row.strip_prefix('#').filter(|_| !is_code) {
                heading = Some(text.trim_start_matches('#').trim().to_owned());
            }
            continue;
        }
        let cells = cells(row);
        if !is_in_table {
            is_in_table = true;
            head = match columns(&cells) {
                Ok(head) => head,
                Err(message) => {
                    problems.push(Diagnostic::error("bad-case", source, message));
                    None
                }
            };
            continue;
        }
        let Some(head) = &head else { continue };
        if cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')))
        {
            continue;
        }
        match self::case(head, &cells, heading.as_deref(), source.clone()) {
            Ok(case) => cases.push(case),
            Err(message) => problems.push(Diagnostic::error("bad-case", source, message)),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

/// `\|` is a bar within a cell.
fn cells(row: &str) -> Vec<String> {
    const BAR: char = '\u{0}';
    let hidden = row.replace("\\|", "\u{0}");
    let inner = hidden.strip_prefix('|').unwrap_or(&hidden);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let shown = |cell: &str| cell.trim().trim_matches('`').trim().replace(BAR, "|");
    inner.split('|').map(shown).collect()
}

/// `None`: not a table of cases.
fn columns(cells: &[String]) -> Result<Option<Vec<String>>, String> {
    let names: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if !["from", "to", "expect"].into_iter().all(has) {
        return Ok(None);
    }
    match names.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        Some(name) => Err(format!("`{name}` is no column of cases: use {}", COLUMNS.join(", "))),
        None => Ok(Some(names)),
    }
}

fn case(
    head: &[String],
    cells: &[String],
    heading: Option<&str>,
    source: Source,
) -> Result<Case, String> {
    if cells.len() != head.len() {
        return Err(format!("the row has {} cells and the head has {}", cells.len(), head.len()));
    }
    let cell = |name: &str| {
        let at = head.iter().position(|column| column == name)?;
        cells.get(at).map(String::as_str).filter(|cell| !cell.is_empty())
    };
    let needed = |name: &str| cell(name).ok_or_else(|| format!("the cell `{name}` is empty"));
    let list = |text: &str| -> Result<Vec<Whom>, String> {
        split(text).iter().map(|one| case::whom(one)).collect()
    };
    let ports =
        needed("port").map_err(|error| format!("{error}: write `80`, `53/UDP` or `ICMP`"))?;
    let ports: Result<Vec<_>, String> =
        ports.split(',').map(|text| case::port(text, None)).collect();
    let family = match cell("family") {
        None => None,
        Some("4") => Some(4),
        Some("6") => Some(6),
        Some(other) => return Err(format!("the family `{other}` is neither 4 nor 6")),
    };
    Ok(Case {
        source,
        name: cell("name").map(str::to_owned).or_else(|| heading.map(str::to_owned)),
        from: list(needed("from")?)?,
        to: list(needed("to")?)?,
        ports: ports?,
        family,
        expect: case::expect(needed("expect")?)?,
        rule: cell("rule").map(str::to_owned),
    })
}

/// At commas, but not at those within braces.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}
