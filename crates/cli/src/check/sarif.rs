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
                "semanticVersion": env!("CARGO_PKG_VERSION"),
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
    let mut region = json!({
        "startLine": diagnostic.source.line,
        "startColumn": diagnostic.source.column,
    });
    if let (Some(region), Some(text)) = (region.as_object_mut(), diagnostic.quoted()) {
        region.insert("snippet".to_owned(), json!({"text": text}));
    }
    let mut location = json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(&diagnostic.source.file)},
        "region": region,
    }});
    if let (Some(location), Some(object)) = (location.as_object_mut(), &finding.object) {
        let field = diagnostic.field.as_deref().unwrap_or_default();
        let name = format!("{object} {field}");
        let logical = json!([{"fullyQualifiedName": name.trim_end(), "kind": "object"}]);
        location.insert("logicalLocations".to_owned(), logical);
    }
    json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": {"text": text},
        "locations": [location],
    })
}

/// A path as a reference: what has a meaning of its own there is written as its bytes.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("my shop/a#1.yaml"), "my%20shop/a%231.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
