//! `bulkhead node token`: lets one agent join.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use http::Request;
use serde_json::{Value, json};

use crate::args::Token;
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
