//! `bulkhead node token` lets one agent join; `bulkhead node list` says how the nodes are.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use bulkhead_api::enforcement::{self, Enforcement, NodeEnforcement};
use http::Request;
use serde_json::{Value, json};

use crate::args::{NodeList, Output, Token};
use crate::{client, output};

const PATH: &str = "/apis/bulkhead.dev/v1/jointokens";

/// Prints the token alone, so that a script can hand it on.
pub fn token(command: &Token) -> anyhow::Result<ExitCode> {
    let answer = client::talk(ask(command))?;
    let token = answer
        .pointer("/status/token")
        .and_then(Value::as_str)
        .context("the server's answer holds no `status.token`: is it a Bulkhead server?")?;
    writeln!(output::answers(), "{token}")?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(command: &Token) -> anyhow::Result<Value> {
    let body = json!({
        "apiVersion": "bulkhead.dev/v1",
        "kind": "JoinToken",
        "spec": {"node": command.name, "ttlSeconds": command.ttl},
    });
    let request = Request::post(PATH)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    let client = client::connect(&command.server).await?;
    let answer = client.request::<Value>(request).await;
    let what = format!("no token for node `{}`", command.name);
    answer.map_err(|error| client::explain(&what, error))
}

/// Also where the server has no Node objects of its own to show.
pub fn list(command: &NodeList) -> anyhow::Result<ExitCode> {
    let answer = client::talk(async {
        let client = client::connect(&command.server).await?;
        let request = Request::get(enforcement::PATH).body(Vec::new())?;
        let answer = client.request::<Enforcement>(request).await;
        answer.map_err(|error| client::explain("cannot list nodes", error))
    })?;
    let mut out = output::answers();
    match command.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
        Output::Text => write!(out, "{}", table(&answer.nodes))?,
    }
    let is_well = answer.nodes.iter().all(is_well);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_well(node: &NodeEnforcement) -> bool {
    node.connected && node.enforced >= node.wanted && node.problems.is_empty()
}

/// One line a node, and below it what is wrong there.
fn table(nodes: &[NodeEnforcement]) -> String {
    let width = nodes.iter().map(|node| node.node.len()).max().unwrap_or(0).max("NODE".len());
    let mut text = format!("{:<width$}  AGENT  PROGRAM\n", "NODE");
    for node in nodes {
        let agent = if node.connected { "here" } else { "away" };
        let program = match node.enforced {
            0 => "none yet".to_owned(),
            enforced if enforced >= node.wanted => format!("{enforced}, the newest"),
            enforced => format!("{enforced}, {} is wanted", node.wanted),
        };
        text += &format!("{:<width$}  {agent:<5}  {program}\n", node.node);
        for name in &node.waiting {
            text += &format!("  {name} has no interface yet\n");
        }
        for problem in &node.problems {
            text += &format!("  {problem}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_node(node: &str, connected: bool, wanted: u64, enforced: u64) -> NodeEnforcement {
        let (node, waiting, problems) = (node.to_owned(), Vec::new(), Vec::new());
        NodeEnforcement { node, connected, wanted, enforced, waiting, problems }
    }

    #[test]
    fn a_node_that_is_not_well_says_why() {
        let mut drifted = mk_node("edge-17", true, 6, 6);
        drifted.waiting = vec!["shop/vm1".to_owned()];
        assert!(is_well(&drifted), "who waits for its interface is no fault");
        drifted.problems = vec!["drift 1: the link 2-in was detached; put back".to_owned()];
        let nodes = [mk_node("n1", true, 7, 4), drifted, mk_node("n2", false, 3, 0)];
        assert_eq!(
            table(&nodes),
            "NODE     AGENT  PROGRAM\n\
             n1       here   4, 7 is wanted\n\
             edge-17  here   6, the newest\n\
             \x20 shop/vm1 has no interface yet\n\
             \x20 drift 1: the link 2-in was detached; put back\n\
             n2       away   none yet\n"
        );
        assert!(!nodes.iter().any(is_well) && is_well(&mk_node("n3", true, 7, 7)));
    }
}
