//! Flags as given, and the configuration they are checked into. Nothing is re-checked later.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::node_labels::{self, LabelRules};
use crate::upstream::account::{AgentAccount, NoAccount};
use crate::upstream::connect::Source;

/// Bulkhead's control plane: the Kubernetes API over an embedded store, and the node stream.
#[derive(Clone, Debug, Parser)]
#[command(name = "bulkhead-server", version)]
pub struct RawConfig {
    /// Where the database, the certificates and admin.kubeconfig live; made when missing
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Address of the Kubernetes API; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6443")]
    pub listen: String,
    /// Address that the agents of nodes connect to; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6444")]
    pub node_listen: String,
    /// Further names or addresses that the server's certificate is valid for
    #[arg(long, value_name = "NAME")]
    pub tls_san: Vec<String>,
    /// Threads that serve requests; as many as there are processors, at most 8, when 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Take the objects of this Kubernetes cluster over instead of keeping any; `in-cluster` stands for
    /// the service account of the pod that the server runs in
    #[arg(long, value_name = "FILE|in-cluster")]
    pub kubeconfig: Option<String>,
    /// Agents may join with the token of this service account of the cluster; its namespace gets a
    /// ConfigMap `bulkhead-ca` with the certificate that they trust
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "kubeconfig")]
    pub agent_account: Option<String>,
    /// Labels that nodes may say of themselves: a key, or a prefix that ends in `/`; may be repeated
    #[arg(long = "node-label", value_name = "KEY|PREFIX/", default_values = node_labels::ALLOWED)]
    pub node_labels: Vec<String>,
    /// Changes that watches and paged lists can look back on
    #[arg(long, value_name = "N", default_value_t = bulkhead_store::Limits::default().log_events_max)]
    pub history_events: usize,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub node_listen: SocketAddr,
    pub tls_sans: Vec<String>,
    pub n_workers: usize,
    pub store_limits: bulkhead_store::Limits,
    /// Where the objects are kept, if not here.
    pub upstream: Option<Source>,
    pub agent_account: Option<AgentAccount>,
    pub label_rules: LabelRules,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("`{flag} {value}` is no IP address and port, such as `127.0.0.1:6443`")]
    Address { flag: &'static str, value: String },
    #[error("`--threads {value}` is more than {THREADS_MAX}")]
    Threads { value: usize },
    #[error("`--history-events {value}` must be at least 1")]
    History { value: usize },
    #[error("`--agent-account {value}` {source}")]
    AgentAccount { value: String, source: NoAccount },
    #[error("`--node-label {value}` is neither a label key nor a prefix such as `example.org/`")]
    NodeLabel { value: String },
    #[error("`--tls-san {value}` is neither a DNS name nor an IP address")]
    TlsSan { value: String },
}

const THREADS_MAX: usize = 256;
const THREADS_DEFAULT_MAX: usize = 8;

impl Config {
    pub fn check(raw: RawConfig) -> Result<Self, ConfigError> {
        let address = |flag, value: &str| {
            value.parse().map_err(|_| ConfigError::Address { flag, value: value.to_owned() })
        };
        if raw.threads > THREADS_MAX {
            return Err(ConfigError::Threads { value: raw.threads });
        }
        if raw.history_events == 0 {
            return Err(ConfigError::History { value: raw.history_events });
        }
        if let Some(bad) = raw.tls_san.iter().find(|name| !is_name_or_address(name)) {
            return Err(ConfigError::TlsSan { value: bad.clone() });
        }
        if let Some(bad) = raw.node_labels.iter().find(|rule| !is_label_rule(rule)) {
            return Err(ConfigError::NodeLabel { value: bad.clone() });
        }
        let n_processors = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            label_rules: LabelRules::new(raw.node_labels),
            listen: address("--listen", &raw.listen)?,
            node_listen: address("--node-listen", &raw.node_listen)?,
            tls_sans: raw.tls_san,
            n_workers: match raw.threads {
                0 => n_processors.min(THREADS_DEFAULT_MAX),
                n => n,
            },
            store_limits: bulkhead_store::Limits {
                log_events_max: raw.history_events,
                ..bulkhead_store::Limits::default()
            },
            data_dir: raw.data_dir,
            agent_account: raw.agent_account.as_deref().map(agent_account).transpose()?,
            upstream: raw.kubeconfig.as_deref().map(Source::parse),
        })
    }
}

fn agent_account(text: &str) -> Result<AgentAccount, ConfigError> {
    text.parse().map_err(|source| ConfigError::AgentAccount { value: text.to_owned(), source })
}

fn is_label_rule(rule: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    rule.chars().all(is_part) && rule.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_name_or_address(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.parse::<std::net::IpAddr>().is_ok() || text.split('.').all(is_label)
}
