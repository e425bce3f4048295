//! What became of the cases, for people and as one JSON object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::case::{Failure, Outcome};
use crate::output::Paint;

/// Failing connections of one case that are told in full.
const TOLD_MAX: usize = 10;

pub fn text(
    out: &mut impl Write,
    outcomes: &[Outcome],
    is_verbose: bool,
    paint: Paint,
) -> io::Result<()> {
    for outcome in outcomes {
        let case = &outcome.case;
        if outcome.holds() {
            if is_verbose {
                let n = outcome.n_connections;
                let connections =
                    if n == 1 { String::new() } else { format!(" ({n} connections)") };
                writeln!(out, "{}  {}{connections}", paint.good("ok  "), case.title())?;
            }
            continue;
        }
        let place = paint.faint(&format!("({})", case.source));
        writeln!(out, "{}  {}  {place}", paint.bad("FAIL"), case.title())?;
        for failure in outcome.failures.iter().take(TOLD_MAX) {
            writeln!(out, "      {}", told(outcome, failure))?;
            for reason in &failure.reasons {
                writeln!(out, "        {reason}")?;
            }
        }
        let more = outcome.failures.len().saturating_sub(TOLD_MAX);
        if more > 0 {
            writeln!(out, "      and {more} more connections")?;
        }
    }
    let [n_cases, n_failed, n_connections] = counts(outcomes);
    let summary = format!(
        "{n_cases} cases, {n_connections} connections: {} hold, {n_failed} fail",
        n_cases - n_failed
    );
    let summary = if n_failed == 0 { paint.good(&summary) } else { paint.bad(&summary) };
    writeln!(out, "{summary}")
}

/// `shop/web -> shop/db 5432/TCP: expected deny, got allow`
pub fn told(outcome: &Outcome, failure: &Failure) -> String {
    let Failure { from, to, port, got, .. } = failure;
    let case = &outcome.case;
    match &case.rule {
        Some(rule) if failure.is_other_rule => {
            format!("{from} -> {to} {port}: {got} as expected, but not by `{rule}`")
        }
        _ => format!("{from} -> {to} {port}: expected {}, got {got}", case.expect),
    }
}

pub fn counts(outcomes: &[Outcome]) -> [usize; 3] {
    let n_failed = outcomes.iter().filter(|outcome| !outcome.holds()).count();
    let n_connections = outcomes.iter().map(|outcome| outcome.n_connections).sum();
    [outcomes.len(), n_failed, n_connections]
}

pub fn json(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    let [n_cases, n_failed, n_connections] = counts(outcomes);
    let cases: Vec<Value> = outcomes.iter().map(case).collect();
    let report = json!({
        "cases": n_cases,
        "failed": n_failed,
        "connections": n_connections,
        "results": cases,
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn case(outcome: &Outcome) -> Value {
    let case = &outcome.case;
    let failures = outcome.failures.iter().map(|failure| {
        json!({
            "from": failure.from,
            "to": failure.to,
            "port": failure.port,
            "got": failure.got,
            "message": told(outcome, failure),
            "reasons": failure.reasons,
        })
    });
    json!({
        "name": case.title(),
        "file": &*case.source.file,
        "line": case.source.line,
        "expect": case.expect,
        "rule": case.rule,
        "holds": outcome.holds(),
        "connections": outcome.n_connections,
        "failures": failures.collect::<Vec<_>>(),
    })
}
