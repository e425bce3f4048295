//! `bulkhead-lab`: worlds of network namespaces with real packets.

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead_lab::command::main()
}
