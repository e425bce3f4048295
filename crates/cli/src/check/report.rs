//! Findings for people, and as one JSON object.

use std::io::{self, Write};

use bulkhead_api::manifest::Severity;
use serde_json::{Value, json};

use super::Finding;
use crate::input::Input;
use crate::output::Paint;

pub fn text(
    out: &mut impl Write,
    n_objects: usize,
    input: &Input,
    findings: &[Finding],
    paint: Paint,
) -> io::Result<()> {
    for finding in findings {
        let shown = finding.diagnostic.to_string();
        let (head, rest) = shown.split_once('\n').unwrap_or((&shown, ""));
        let head = match finding.diagnostic.severity {
            Severity::Error => paint.bad(head),
            Severity::Warning => paint.strong(head),
            Severity::Note => head.to_owned(),
        };
        writeln!(out, "{head}\n{rest}\n")?;
    }
    let [errors, warnings, notes] = counts(findings);
    writeln!(
        out,
        "{} in {}: {}, {}, {}",
        counted(n_objects, "object"),
        counted(input.n_files, "file"),
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(notes, "note"),
    )
}

fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

pub fn json(
    out: &mut impl Write,
    n_objects: usize,
    input: &Input,
    findings: &[Finding],
) -> io::Result<()> {
    let [errors, warnings, notes] = counts(findings);
    let report = json!({
        "objects": n_objects,
        "files": input.n_files,
        "errors": errors,
        "warnings": warnings,
        "notes": notes,
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn finding_json(finding: &Finding) -> Value {
    let diagnostic = &finding.diagnostic;
    json!({
        "severity": diagnostic.severity.to_string(),
        "code": diagnostic.code,
        "file": &*diagnostic.source.file,
        "line": diagnostic.source.line,
        "column": diagnostic.source.column,
        "object": finding.object.as_ref().map(ToString::to_string),
        "field": diagnostic.field,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "text": diagnostic.quoted(),
    })
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        findings.iter().filter(|finding| finding.diagnostic.severity == severity).count()
    })
}
