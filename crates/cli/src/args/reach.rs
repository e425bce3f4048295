//! `reach`, `diff` and `blast`.

use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum};

use super::{Manifests, When};

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
pub struct Diff {
    /// Manifests as they were: a file, a folder or `-`.
    #[arg(value_name = "OLD", required_unless_present = "staged")]
    pub old: Option<PathBuf>,
    /// Manifests as they are to be.
    #[arg(value_name = "NEW", required_unless_present = "staged")]
    pub new: Option<PathBuf>,
    /// Compare the manifests of `-f` with themselves once every staged policy was enforced.
    #[arg(long, conflicts_with_all = ["old", "new"], requires = "files")]
    pub staged: bool,
    /// With `--staged`: a file, a folder or `-`.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., requires = "staged")]
    pub files: Vec<PathBuf>,
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
