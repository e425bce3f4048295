//! `make run`: the demo shop on this machine.

use crate::shell::{self, say};

pub fn run(seconds: Option<u32>) -> anyhow::Result<()> {
    crate::setup::run()?;
    say("run: building (the first time takes some minutes)");
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--bins", "--workspace"]))?;
    let mut demo = std::process::Command::new(shell::target_dir()?.join("release/bulkhead-lab"));
    demo.arg("demo").current_dir(shell::root());
    if let Some(seconds) = seconds {
        demo.arg("--for").arg(seconds.to_string());
    }
    shell::run(&mut demo)
}
