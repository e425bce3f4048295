//! The definitions of our kinds for other API servers, made of the schemas that judge objects.

use crate::shell;

pub fn run() -> anyhow::Result<()> {
    let example = ["run", "--quiet", "--package", "bulkhead-apimachinery", "--example", "crds"];
    shell::run(shell::cargo().args(example).args(["--", "deploy/crds"]))
}
