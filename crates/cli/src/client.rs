//! The way to a live server: the kubeconfig that `kubectl` uses.

use std::path::Path;

use anyhow::{Context, anyhow};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use crate::args::Server;

/// Runs one conversation with a server.
pub fn talk<T>(conversation: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")?
        .block_on(conversation)
}

pub async fn connect(server: &Server) -> anyhow::Result<Client> {
    connect_at(server, None).await
}

/// As [`connect`], but to `url` with the kubeconfig's certificates.
pub async fn connect_at(server: &Server, url: Option<&str>) -> anyhow::Result<Client> {
    let kubeconfig = match &server.kubeconfig {
        Some(path) => read(path)?,
        None => Kubeconfig::read().context(
            "no kubeconfig: name one with --kubeconfig or $KUBECONFIG \
             (bulkhead-server writes admin.kubeconfig into its --data-dir)",
        )?,
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("the kubeconfig names no usable cluster and user")?;
    if let Some(url) = url {
        config.cluster_url = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
    }
    Client::try_from(config).context("cannot make a TLS client of the kubeconfig")
}

fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    Kubeconfig::read_from(path)
        .with_context(|| format!("cannot read the kubeconfig `{}`", path.display()))
}

/// An answer that is not the one hoped for, with the way out.
pub fn explain(what: &str, error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => {
            let help = match status.code {
                401 => ": the kubeconfig's client certificate is not one of this server",
                403 => ": this identity may not do that; use the server's admin.kubeconfig",
                404 => ": the server does not know that path; is it a Bulkhead server?",
                _ => "",
            };
            anyhow!("{what}: the server answers {} `{}`{help}", status.code, status.message)
        }
        other => {
            let mut causes = Vec::new();
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&other);
            while let Some(inner) = cause {
                causes.push(inner.to_string());
                cause = inner.source();
            }
            let last = causes.pop().unwrap_or_default();
            anyhow!("{what}: {last}: is the server running where the kubeconfig says?")
        }
    }
}

/// Percent-encoding of everything but the unreserved characters.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
