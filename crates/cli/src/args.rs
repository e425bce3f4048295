//! The command line, as text.

mod reach;

use std::path::PathBuf;

use bulkhead_policy::rule::Moment;
use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

pub use reach::{Blast, Diff, Picture, Reach};

use crate::check::codes;

/// Label-based microsegmentation: check, try and explain policies, and watch what they decide.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Parse, validate and lint manifests; exit status 1 on errors.
    Check(Check),
    /// Judge flows offline: one JSON object a line in, one out, in the same order.
    Eval(Eval),
    /// Hold policies against cases of who may reach whom; exit status 1 if one fails.
    Test(Test),
    /// Turn policies of one dialect into those of the other, where it can say them.
    Convert(Convert),
    /// Explain which rule decides about a connection, tier by tier, at both ends.
    Why(Why),
    /// Show every connection that manifests allow, exactly.
    Reach(Reach),
    /// Show who can reach whom differently, exactly, when manifests change.
    Diff(Diff),
    /// Show how far a compromised workload reaches, hop by hop, and by which rules.
    Blast(Blast),
    /// List or follow the flows that a live server has seen.
    Flows(Flows),
    /// Manage the nodes of a live server.
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
}

/// Where objects come from: files, a live server, or files on top of a live server.
#[derive(Debug, Default, Arguments)]
pub struct Manifests {
    /// Manifests: a file, a folder (searched for *.yaml, *.yml and *.json) or `-` for stdin.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., required_unless_present = "server")]
    pub files: Vec<PathBuf>,
    /// What a live server holds, at URL or where the kubeconfig says; files that are given as well
    /// lie on top of it, as a preview.
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
    pub server: Option<Option<String>>,
    #[command(flatten)]
    pub access: Server,
}

/// The moment of which answers are.
#[derive(Debug, Arguments)]
pub struct When {
    /// Judge as of this moment, such as 2030-01-31T18:00:00Z, instead of now.
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    pub at: Option<Moment>,
}

/// Which policies count, and when.
#[derive(Debug, Arguments)]
pub struct Reading {
    /// Read policies as if every staged action had been taken.
    #[arg(long)]
    pub staged: bool,
    #[command(flatten)]
    pub when: When,
}

fn moment(text: &str) -> Result<Moment, String> {
    bulkhead_policy::lower::moment(text)
        .ok_or_else(|| "not a moment such as 2030-01-31T18:00:00Z".to_owned())
}

#[derive(Debug, Arguments)]
pub struct Check {
    #[command(flatten)]
    pub manifests: Manifests,
    #[command(flatten)]
    pub when: When,
    /// Fail on `warnings`, on `notes` too, or on findings of a code.
    #[arg(long, value_name = "WHAT", num_args = 1.., value_parser = deny)]
    pub deny: Vec<String>,
    /// Say nothing of findings of this code; errors cannot be silenced.
    #[arg(long, value_name = "CODE", num_args = 1.., value_parser = code)]
    pub allow: Vec<String>,
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
}

fn deny(text: &str) -> Result<String, String> {
    match text {
        "warnings" | "notes" => Ok(text.to_owned()),
        _ => code(text).map_err(|error| format!("{error}, nor `warnings` or `notes`")),
    }
}

fn code(text: &str) -> Result<String, String> {
    match codes::is_known(text) {
        true => Ok(text.to_owned()),
        false => Err("is no code; docs/reference/lints.md lists them".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code review tools.
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// JSON.
    Json,
}

#[derive(Debug, Arguments)]
pub struct Eval {
    #[command(flatten)]
    pub manifests: Manifests,
    #[command(flatten)]
    pub reading: Reading,
    /// Flows to judge, one JSON object a line; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub flows: PathBuf,
}

#[derive(Debug, Arguments)]
pub struct Test {
    #[command(flatten)]
    pub manifests: Manifests,
    /// Cases: YAML with a list `cases`, or Markdown with tables that have the columns from, to, port
    /// and expect.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub cases: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// Also tell of the cases that hold.
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(long, value_enum, default_value_t = CasesOutput::Text)]
    pub output: CasesOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CasesOutput {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// JUnit XML, for CI.
    Junit,
}

#[derive(Debug, Arguments)]
pub struct Convert {
    #[command(flatten)]
    pub manifests: Manifests,
    /// The dialect to turn policies into; those that are of it already are left out.
    #[arg(long, value_enum)]
    pub to: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// `projectcalico.org/v3` NetworkPolicy.
    Calico,
    /// `networking.k8s.io/v1` NetworkPolicy.
    Kubernetes,
}

#[derive(Debug, Arguments)]
pub struct Why {
    /// Who opens the connection: `namespace/name` of a workload or its owner, `host/NAME` or an
    /// address.
    #[arg(value_name = "SRC")]
    pub src: String,
    /// Where to: `namespace/name:port`, with `/UDP`, `/SCTP` or `/ICMP` where it is not TCP; an IPv6
    /// address stands in brackets. For ICMP the port is the type, 8 or 128 when left out. Also a
    /// domain name, several with commas between for an address that they share, or
    /// `svc:namespace/name:port` for what stands behind a Service.
    #[arg(value_name = "DST:PORT[/PROTO]")]
    pub dst: String,
    #[command(flatten)]
    pub manifests: Manifests,
    #[command(flatten)]
    pub reading: Reading,
    /// IP version to speak where both ends are named and have both.
    #[arg(long, value_name = "4|6", value_parser = clap::value_parser!(u8).range(4..=6))]
    pub family: Option<u8>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Default, Arguments)]
pub struct Server {
    /// How to reach the server [default: $KUBECONFIG, then ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub struct Flows {
    /// Go on with flows as they happen.
    #[arg(long)]
    pub follow: bool,
    /// Only flows with an end in this namespace.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Only flows with this end: `name` or `namespace/name`.
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Only flows with this verdict.
    #[arg(long, value_enum)]
    pub verdict: Option<Decision>,
    /// Only flows to this port.
    #[arg(long)]
    pub port: Option<u16>,
    /// Only flows that this policy decided or logged: `name` or `namespace/name`.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Only flows that a rule with the action Log has matched.
    #[arg(long)]
    pub logged: bool,
    /// List at most this many, the newest.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    pub server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    Allow,
    Deny,
}

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Make a one-time token with which an agent joins as the node NAME.
    Token(Token),
    /// Show how far each node has come, and what was found wrong on it; exit status 1 if anything was.
    List(NodeList),
}

#[derive(Debug, Arguments)]
pub struct NodeList {
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    pub server: Server,
}

#[derive(Debug, Arguments)]
pub struct Token {
    pub name: String,
    /// How long the token can be used, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub ttl: u64,
    #[command(flatten)]
    pub server: Server,
}
