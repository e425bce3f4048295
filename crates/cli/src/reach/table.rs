//! Connections for people: one line each, aligned.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use bulkhead_policy::reach::{
    Connection, End, Extent, Matrix, NOT_COMPUTED, Pods, Traffic, Unenforced,
};
use bulkhead_policy::rule::{HttpMatch, HttpPath};

use crate::output::Paint;

pub fn write(out: &mut impl Write, matrix: &Matrix, paint: Paint) -> anyhow::Result<()> {
    let mut rows: Vec<[String; 3]> = matrix.connections.iter().map(row).collect();
    rows.extend(matrix.within.iter().map(|within| {
        let among = format!("{} (among its own)", within.workload);
        [among.clone(), within.workload.to_string(), shown(&within.allowed, &within.extent)]
    }));
    match rows.is_empty() {
        true => writeln!(out, "nothing can reach anything")?,
        false => write_rows(out, ["SOURCE", "DESTINATION", "ALLOWED"], &rows, paint)?,
    }
    for Unenforced { workload, pods } in &matrix.unenforced {
        let some = if *pods == Pods::Some { "some of its pods have " } else { "" };
        let because = Unenforced::BECAUSE;
        writeln!(out, "{}", paint.bad(&format!("{workload}: {some}{because}")))?;
    }
    write_not_computed(out, &matrix.not_computed, paint)
}

pub fn write_not_computed(
    out: &mut impl Write,
    ends: &BTreeSet<Arc<str>>,
    paint: Paint,
) -> anyhow::Result<()> {
    for end in ends {
        writeln!(out, "{}", paint.bad(&format!("{end}: {NOT_COMPUTED}")))?;
    }
    Ok(())
}

fn row(connection: &Connection) -> [String; 3] {
    let allowed = shown(&connection.allowed, &connection.extent);
    [connection.src.to_string(), connection.dst.to_string(), allowed]
}

/// Traffic with the part of the pairs that it holds of.
pub fn shown(traffic: &Traffic, extent: &Extent) -> String {
    let mut text = traffic.in_short();
    text.push_str(match extent.pods {
        Pods::All => "",
        Pods::Some => " (some pods)",
        Pods::SomeAddresses => " (some addresses)",
    });
    if let Some(is_v4) = extent.is_v4 {
        text.push_str(if is_v4 { " (IPv4)" } else { " (IPv6)" });
    }
    for request in extent.requests.iter().flat_map(|requests| requests.iter()) {
        text.push_str(&format!(" (only {})", asked(request)));
    }
    text
}

/// `GET,PUT to /api...`
fn asked(request: &HttpMatch) -> String {
    let methods = match request.methods.as_slice() {
        [] => "requests".to_owned(),
        methods => methods.join(","),
    };
    let paths: Vec<String> = request
        .paths
        .iter()
        .map(|path| match path {
            HttpPath::Exact(path) => path.clone(),
            HttpPath::Prefix(path) => format!("{path}..."),
        })
        .collect();
    if paths.is_empty() { methods } else { format!("{methods} to {}", paths.join(" or ")) }
}

/// Columns as wide as what is in them; the last one is free.
pub fn write_rows<const N: usize>(
    out: &mut impl Write,
    head: [&str; N],
    rows: &[[String; N]],
    paint: Paint,
) -> anyhow::Result<()> {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; N], is_head: bool| -> anyhow::Result<()> {
        let mut text = String::new();
        for (position, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if position > 0 {
                text.push_str("  ");
            }
            text.push_str(cell);
            if position + 1 < N {
                let missing = width.saturating_sub(cell.chars().count());
                text.extend(std::iter::repeat_n(' ', missing));
            }
        }
        let text = if is_head { paint.faint(&text) } else { text };
        writeln!(out, "{text}")?;
        Ok(())
    };
    line(head, true)?;
    for row in rows {
        line(row.each_ref().map(String::as_str), false)?;
    }
    Ok(())
}

/// Whether the end is no workload.
pub fn is_outside(end: &End) -> bool {
    !matches!(end, End::Workload(_))
}
