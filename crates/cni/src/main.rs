//! `bulkhead-cni`: called by a container runtime, never by a person.

use std::io::{Read, Write};
use std::process::ExitCode;

use bulkhead_cni::error::code;
use bulkhead_cni::plugin::error_version;
use bulkhead_cni::{Call, CniError, run};
use serde_json::Value;

/// Far above any configuration.
const INPUT_BYTES_MAX: u64 = 4 << 20;

fn main() -> ExitCode {
    let mut input = String::new();
    let read = std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut input);
    let outcome = match read {
        Ok(_) => run(&Call::from_environment(), &input),
        Err(error) => {
            let failed = CniError::new(code::IO, "the network configuration cannot be read");
            Err(failed.details(error.to_string()))
        }
    };
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(result)) => print(&result),
        Err(error) => {
            print(&error.to_json(&error_version(&input)));
            ExitCode::FAILURE
        }
    }
}

fn print(value: &Value) -> ExitCode {
    match writeln!(std::io::stdout(), "{value}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
