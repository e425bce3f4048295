//! Flags as given, and the configuration they are checked into. Nothing is re-checked later.

mod dns;
mod log;

use std::path::PathBuf;

use bulkhead_enforce::BackendChoice;
use bulkhead_enforce::dns::DnsOptions;
use bulkhead_enforce::node::INTERFACE_PREFIXES;
use bulkhead_types::Labels;
use clap::Parser;

use crate::boot::BootGate;
use crate::identity::{JoinToken, TokenError};
use crate::log_events::LogRate;
use crate::place;
pub use dns::DnsArgs;
pub use log::LogArgs;

/// Holds one node to the program that the server has for it.
#[derive(Clone, Debug, Parser)]
#[command(name = "bulkhead-agent", version)]
pub struct RawConfig {
    /// Name of this node; its Node object has the same
    #[arg(long, value_name = "NAME", required_unless_present_any = ["teardown", "boot_gate"])]
    pub node: Option<String>,
    /// Where the server takes nodes (its --node-listen)
    #[arg(long, value_name = "HOST:PORT", required_unless_present_any = ["teardown", "boot_gate"])]
    pub server: Option<String>,
    /// One-time token from `bulkhead node token NAME`; needed until the node has joined
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File that holds the token, so that no process list shows it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate of the server's CA, where the token is not from `bulkhead node token` but a service
    /// account's (audience `bulkhead`)
    #[arg(long, value_name = "FILE", requires = "token_file")]
    pub ca_file: Option<PathBuf>,
    /// Where key, certificate and the last program are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/bulkhead")]
    pub state_dir: PathBuf,
    /// Where the CNI plugin of this node speaks to the agent; `agent.sock` in --state-dir when not given
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// A label of this node, KEY=VALUE; a key without a prefix becomes `host.bulkhead.dev/KEY`; may be
    /// repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = place::parse_label)]
    pub labels: Vec<(String, String)>,
    /// Metadata of the cloud that the node runs in, such as /run/cloud-init/instance-data.json: region,
    /// zone, instance id and type, tags; may be repeated
    #[arg(long = "metadata-file", value_name = "FILE")]
    pub metadata_files: Vec<PathBuf>,
    /// Network namespace that holds the workloads' interfaces; the agent's own when not given
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
    /// Interfaces whose name begins so are enforced; may be repeated
    #[arg(long = "interface-prefix", value_name = "PREFIX", default_values = INTERFACE_PREFIXES)]
    pub interface_prefixes: Vec<String>,
    /// Folder on a BPF file system for what must survive the agent
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/bulkhead")]
    pub pin_dir: PathBuf,
    #[command(flatten)]
    pub dns: DnsArgs,
    #[command(flatten)]
    pub log: LogArgs,
    /// Takes over as from an agent whose kernel maps have another layout; for tests of upgrades
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub map_layout: Option<u32>,
    /// What judges packets: `ebpf`, `nftables`, or `auto` for eBPF where the kernel can and nftables
    /// where not
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: BackendChoice,
    /// Sends a TCP reset to both ends of a connection that a tightened policy cuts
    #[arg(long)]
    pub reset_cut_connections: bool,
    /// Removes what enforcement has put into the kernel for --pin-dir and --netns: the node enforces
    /// nothing afterwards
    #[arg(long)]
    pub teardown: bool,
    /// Lets only fail-safe traffic of the host pass until an agent enforces a program, and ends; for
    /// the time before the network is up
    #[arg(long, conflicts_with = "teardown")]
    pub boot_gate: bool,
}

#[derive(Clone, Debug)]
pub enum Config {
    Teardown { pin_dir: PathBuf, netns: Option<PathBuf>, state_dir: PathBuf },
    BootGate(BootGate),
    Run(Box<RunConfig>),
}

#[derive(Clone, Debug)]
pub struct RunConfig {
    pub node: String,
    /// `host:port`.
    pub server: String,
    pub token: Option<JoinToken>,
    pub state_dir: PathBuf,
    pub socket: PathBuf,
    pub labels: Labels,
    pub netns: Option<PathBuf>,
    pub interface_prefixes: Vec<String>,
    pub pin_dir: PathBuf,
    pub map_layout: Option<u32>,
    pub backend: BackendChoice,
    pub resets: bool,
    pub dns: DnsOptions,
    pub log_rate: LogRate,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("`--{flag}` is needed")]
    Missing { flag: &'static str },
    #[error("`--server {value}` is no host and port, such as `10.0.0.1:6444`")]
    Server { value: String },
    #[error("`--node {value}` is no node name: use a-z, 0-9, `-` and `.`, at most 253 characters")]
    Node { value: String },
    #[error("`{path}`, given as --token-file, cannot be read: {source}")]
    TokenFile { path: PathBuf, source: std::io::Error },
    #[error("`{path}`, given as --ca-file, cannot be read: {source}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("{0:#}")]
    Metadata(anyhow::Error),
    #[error("an empty `--interface-prefix` would enforce every interface of the host")]
    InterfacePrefix,
    #[error("`--dns-ttl-min {value}` is too long: at most {most} seconds")]
    DnsTtl { value: u32, most: u32 },
    #[error("`--log-events-per-second {value}` is no rate: a number from 0 to {most}")]
    LogRate { value: f64, most: u32 },
    #[error("{n} resolvers are trusted, by --dns-trusted or /etc/resolv.conf: at most {most}")]
    DnsTrusted { n: usize, most: usize },
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Config {
    pub fn check(raw: RawConfig) -> Result<Self, ConfigError> {
        if raw.teardown {
            let (pin_dir, netns, state_dir) = (raw.pin_dir, raw.netns, raw.state_dir);
            return Ok(Self::Teardown { pin_dir, netns, state_dir });
        }
        if raw.boot_gate {
            let (state_dir, netns, server) = (raw.state_dir, raw.netns, raw.server);
            return Ok(Self::BootGate(BootGate { state_dir, netns, server }));
        }
        let node = raw.node.ok_or(ConfigError::Missing { flag: "node" })?;
        if !is_node_name(&node) {
            return Err(ConfigError::Node { value: node });
        }
        let server = raw.server.ok_or(ConfigError::Missing { flag: "server" })?;
        let has_port = server
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            return Err(ConfigError::Server { value: server });
        }
        if raw.interface_prefixes.iter().any(String::is_empty) {
            return Err(ConfigError::InterfacePrefix);
        }
        let text = match (raw.token, raw.token_file) {
            (Some(text), _) => Some(text),
            (None, Some(path)) => read_token(path)?,
            (None, None) => None,
        };
        let authority = raw.ca_file.map(|path| {
            std::fs::read_to_string(&path).map_err(|source| ConfigError::CaFile { path, source })
        });
        let token = match (text, authority.transpose()?) {
            (Some(text), Some(pem)) => Some(JoinToken::with_authority(text.trim(), &pem)?),
            (Some(text), None) => Some(text.trim().parse()?),
            (None, _) => None,
        };
        let labels =
            place::labels(&raw.labels, &raw.metadata_files).map_err(ConfigError::Metadata)?;
        Ok(Self::Run(Box::new(RunConfig {
            labels,
            node,
            server,
            token,
            socket: raw.socket.unwrap_or_else(|| raw.state_dir.join(SOCKET_FILE)),
            resets: raw.reset_cut_connections,
            dns: raw.dns.check(&raw.state_dir)?,
            log_rate: raw.log.check()?,
            state_dir: raw.state_dir,
            netns: raw.netns,
            interface_prefixes: raw.interface_prefixes,
            pin_dir: raw.pin_dir,
            map_layout: raw.map_layout,
            backend: raw.backend,
        })))
    }
}

const SOCKET_FILE: &str = "agent.sock";

/// A token is good for one use, so its file may be gone when the node has joined.
fn read_token(path: PathBuf) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            tracing::warn!("`{path}`, given as --token-file, is not there: no token to join with");
            Ok(None)
        }
        Err(source) => Err(ConfigError::TokenFile { path, source }),
    }
}

fn is_node_name(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests;
