//! `reach`, `diff` and `blast`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Arguments, ValueEnum};

use super::{Manifests, Server, When};

#[derive(Debug, Arguments)]
pub struct Reach {
    #[command(flatten)]
    pub manifests: Manifests,
    /// Only connections with an end of this workload: `namespace/name`, with `[Kind]` where two
    /// share it.
    #[arg(long, value_name = "WORKLOAD")]
    pub focus: Vec<String>,
    /// Also what each workload is open to beyond the workloads that exist: any pod, pods that
    /// policies name by namespace or label, the whole outside.
    #[arg(long)]
    pub exposure: bool,
    /// As it would be once every staged policy was enforced.
    #[arg(long)]
    pub staged: bool,
    #[command(flatten)]
    pub when: When,
    #[arg(long, value_enum, default_value_t = Picture::Table)]
    pub output: Picture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// A graph for Graphviz.
    Dot,
    /// A flowchart for Mermaid.
    Mermaid,
}

#[derive(Debug, Arguments)]
#[command(group(ArgGroup::new("from").args(["files", "server"]).multiple(true)))]
#[command(group(ArgGroup::new("how").args(["staged", "server"]).multiple(true)))]
pub struct Diff {
    /// Manifests as they were: a file, a folder or `-`.
    #[arg(value_name = "OLD", required_unless_present = "how")]
    pub old: Option<PathBuf>,
    /// Manifests as they are to be.
    #[arg(value_name = "NEW", required_unless_present = "how")]
    pub new: Option<PathBuf>,
    /// Compare with what it would be once every staged policy was enforced.
    #[arg(long, conflicts_with_all = ["old", "new"], requires = "from")]
    pub staged: bool,
    /// Compare what a live server holds, at URL or where the kubeconfig says, with the same under the
    /// files of `-f`.
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true,
          conflicts_with_all = ["old", "new"])]
    pub server: Option<Option<String>>,
    /// With `--server`: what is to lie on top; with `--staged`: what is compared.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., requires = "how")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub access: Server,
    /// End with status 1 if anything differs.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub when: When,
    #[arg(long, value_enum, default_value_t = Picture::Table)]
    pub output: Picture,
}

#[derive(Debug, Arguments)]
pub struct Blast {
    #[command(flatten)]
    pub manifests: Manifests,
    /// What is compromised: `namespace/name` of a workload, or an address.
    #[arg(long, value_name = "SRC")]
    pub from: String,
    /// Follow at most this many hops.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: Option<u32>,
    #[command(flatten)]
    pub when: When,
    #[arg(long, value_enum, default_value_t = Picture::Table)]
    pub output: Picture,
}
