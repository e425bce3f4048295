//! Findings as SARIF 2.1.0.

use std::collections::BTreeSet;
use std::io::{self, Write};

use bulkhead_api::manifest::Severity;
use serde_json::{Value, json};

use super::Finding;

pub fn write(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.diagnostic.code).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "bulkhead",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn rule(code: &&str) -> Value {
    json!({"id": code, "shortDescription": {"text": super::codes::says(code)}})
}

fn result(finding: &Finding) -> Value {
    let diagnostic = &finding.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{} ({help})", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": &*diagnostic.source.file},
            "region": {
                "startLine": diagnostic.source.line,
                "startColumn": diagnostic.source.column,
            },
        }}],
    })
}
