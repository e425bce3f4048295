//! `bulkhead-lab soak`: the last line is one JSON object; exit code 1 where anything was wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::say;
use crate::nonce::nonce;
use crate::soak::{self, Fault, Options};

pub async fn soak(seconds: u64, seed: Option<u64>, kinds: Vec<Fault>) -> Result<ExitCode> {
    let seed = seed.unwrap_or_else(nonce);
    tracing::info!(seed, "soak");
    let options = Options { length: Duration::from_secs(seconds), seed, kinds };
    let tally = soak::run(options).await?;
    let mut result = tally.to_json();
    if let Some(fields) = result.as_object_mut() {
        fields.insert("seed".to_owned(), seed.into());
        fields.insert("seconds".to_owned(), seconds.into());
    }
    say(&serde_json::to_string(&result)?);
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
