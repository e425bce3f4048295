//! What became of the cases, as JUnit XML: one suite a file, one test case a case.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::case::Outcome;
use super::report::{counts, told};

pub fn write(out: &mut impl Write, outcomes: &[Outcome], took: Duration) -> io::Result<()> {
    let [n_cases, n_failed, _] = counts(outcomes);
    let time = took.as_secs_f64();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="bulkhead" tests="{n_cases}" failures="{n_failed}" errors="0" time="{time:.3}">"#
    )?;
    let mut by_file: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_file.entry(&outcome.case.source.file).or_default().push(outcome);
    }
    for (file, outcomes) in by_file {
        let n_failed = outcomes.iter().filter(|outcome| !outcome.holds()).count();
        let (file, n) = (escaped(file), outcomes.len());
        writeln!(
            out,
            r#"  <testsuite name="{file}" tests="{n}" failures="{n_failed}" errors="0">"#
        )?;
        for outcome in outcomes {
            case(out, outcome, &file)?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn case(out: &mut impl Write, outcome: &Outcome, file: &str) -> io::Result<()> {
    let case = &outcome.case;
    let (name, line) = (escaped(&case.title()), case.source.line);
    write!(out, r#"    <testcase classname="{file}" name="{name}" file="{file}" line="{line}""#)?;
    let Some(first) = outcome.failures.first() else { return writeln!(out, "/>") };
    writeln!(out, ">")?;
    let message = escaped(&told(outcome, first));
    write!(out, r#"      <failure type="{}" message="{message}">"#, case.expect)?;
    for failure in &outcome.failures {
        writeln!(out, "{}", escaped(&told(outcome, failure)))?;
        for reason in &failure.reasons {
            writeln!(out, "  {}", escaped(reason))?;
        }
    }
    writeln!(out, "</failure>\n    </testcase>")
}

/// For text and for attributes; what XML cannot hold becomes a space.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
