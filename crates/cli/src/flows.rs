//! `bulkhead flows`: what the nodes of a live server saw, one flow a line.

mod line;

use std::io::Write;
use std::process::ExitCode;

use bulkhead_api::flow::{self, FlowLine};
use futures::AsyncBufReadExt;
use futures::io::AsyncBufRead;
use http::Request;

use crate::args::{Decision, Flows, Output};
use crate::client;
use crate::output::{self, Paint};

/// Longest line that is taken from a server.
const LINE_BYTES_MAX: usize = 1 << 20;

pub fn run(command: &Flows) -> anyhow::Result<ExitCode> {
    client::talk(async {
        let client = client::connect(&command.server).await?;
        let request = Request::get(path(command)).body(Vec::new())?;
        let stream = client.request_stream(request).await;
        let stream = stream.map_err(|error| client::explain("cannot list flows", error))?;
        show(command, stream).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(command: &Flows, stream: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
    let paint = Paint::for_stdout();
    let mut out = output::answers();
    let mut stream = stream;
    let mut row = Vec::new();
    loop {
        row.clear();
        let n_read = match stream.read_until(b'\n', &mut row).await {
            Ok(n_read) => n_read,
            Err(error) if command.follow => {
                anyhow::bail!("the server has ended the stream ({error}): start again to go on")
            }
            Err(error) => return Err(error.into()),
        };
        if n_read == 0 {
            out.flush()?;
            if command.follow {
                anyhow::bail!("the server has ended the stream: start again to go on");
            }
            return Ok(());
        }
        if row.len() > LINE_BYTES_MAX {
            anyhow::bail!("the server sent a line of more than {LINE_BYTES_MAX} bytes");
        }
        if row.trim_ascii().is_empty() {
            continue;
        }
        match command.output {
            Output::Json => out.write_all(&row)?,
            Output::Text => match serde_json::from_slice::<FlowLine>(&row)? {
                FlowLine::Flow(flow) => writeln!(out, "{}", line::text(&flow, paint))?,
                FlowLine::Gap(gap) => writeln!(out, "... {} flows missed", gap.missed)?,
            },
        }
        if command.follow {
            out.flush()?;
        }
    }
}

/// The request's path with the filters that are set.
fn path(command: &Flows) -> String {
    let mut query: Vec<(&str, String)> = Vec::new();
    if command.follow {
        query.push(("follow", "true".to_owned()));
    }
    if command.logged {
        query.push(("logged", "true".to_owned()));
    }
    let texts = [
        ("namespace", command.namespace.clone()),
        ("workload", command.workload.clone()),
        (
            "verdict",
            command.verdict.map(|verdict| match verdict {
                Decision::Allow => "allow".to_owned(),
                Decision::Deny => "deny".to_owned(),
            }),
        ),
        ("port", command.port.map(|port| port.to_string())),
        ("policy", command.policy.clone()),
        ("limit", command.limit.map(|limit| limit.to_string())),
    ];
    query.extend(texts.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))));
    let pairs: Vec<String> =
        query.iter().map(|(name, text)| format!("{name}={}", client::escaped(text))).collect();
    match pairs.as_slice() {
        [] => flow::PATH.to_owned(),
        pairs => format!("{}?{}", flow::PATH, pairs.join("&")),
    }
}

#[cfg(test)]
mod tests;
