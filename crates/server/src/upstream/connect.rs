//! How the API server is reached: a kubeconfig file, or what a pod is given.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Instead of a file: the service account of the pod that the server runs in.
pub const IN_CLUSTER: &str = "in-cluster";

const CONNECT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    InCluster,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`--kubeconfig {path}` cannot be used: {source}")]
    File { path: PathBuf, source: Box<KubeconfigError> },
    #[error("`--kubeconfig {IN_CLUSTER}` works in a pod with a service account only: {0}")]
    InCluster(#[from] Box<InClusterError>),
    #[error("no client of the API server can be made: {0}")]
    Client(#[from] Box<kube::Error>),
}

impl Source {
    pub fn parse(text: &str) -> Self {
        if text == IN_CLUSTER { Self::InCluster } else { Self::File(text.into()) }
    }
}

/// A client and the address of its server.
pub(super) async fn client(source: &Source) -> Result<(Client, String), ConnectError> {
    let mut config = match source {
        Source::InCluster => Config::incluster().map_err(Box::new)?,
        Source::File(path) => {
            let failed =
                |source| ConnectError::File { path: path.clone(), source: Box::new(source) };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(failed)?
        }
    };
    // How often and when something is tried again is said in one place: `backoff`.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_MAX);
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(Box::new)?;
    Ok((client, server.trim_end_matches('/').to_owned()))
}
