//! `make run`: the demo shop on this machine.

use crate::shell::{self, say};

/// `release` builds with optimisation: some minutes more the first time. Without, the build is the
/// one that the tests use.
pub fn run(seconds: Option<u32>, release: bool) -> anyhow::Result<()> {
    crate::setup::run()?;
    say("run: building (the first time takes some minutes)");
    let mut build = shell::cargo();
    build.args(["build", "--quiet", "--bins", "--workspace"]);
    let folder = if release {
        build.arg("--release");
        "release"
    } else {
        "debug"
    };
    shell::run(&mut build)?;
    let program = shell::target_dir()?.join(folder).join("bulkhead-lab");
    let mut demo = std::process::Command::new(program);
    demo.arg("demo").current_dir(shell::root());
    if let Some(seconds) = seconds {
        demo.arg("--for").arg(seconds.to_string());
    }
    shell::run(&mut demo)
}
