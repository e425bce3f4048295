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

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_kubeconfig(folder: &std::path::Path, user: &serde_json::Value) -> Source {
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        });
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("writes");
        Source::File(path)
    }

    #[tokio::test]
    async fn an_ordinary_kubeconfig_names_server_and_credentials() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = crate::pki::Pki::open(&folder.path().join("pki")).expect("a CA");
        let admin = pki.issue_client("admin", "admins").expect("a certificate");
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, &admin.cert_pem).expect("writes");
        std::fs::write(&key, &admin.key_pem).expect("writes");
        let users = [
            serde_json::json!({"token": "secret"}),
            serde_json::json!({"client-certificate": cert, "client-key": key}),
        ];
        for user in users {
            let made = client(&mk_kubeconfig(folder.path(), &user)).await;
            assert_eq!(made.expect("a client").1, "https://10.0.0.1:6443", "{user}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let error = client(&Source::parse("/nowhere/kubeconfig")).await.err().expect("none there");
        assert!(error.to_string().contains("--kubeconfig /nowhere/kubeconfig"), "{error}");
        assert_eq!(Source::parse("in-cluster"), Source::InCluster);
        let error = client(&Source::InCluster).await.err().expect("this is no pod");
        assert!(error.to_string().contains("--kubeconfig in-cluster"), "{error}");
    }
}
