//! Start and end of the whole server, in order.
//!
//! Up: certificates, store, defaults, listeners, background tasks, then `ready.json`.
//! Down: listeners close, open requests get a moment, tasks end, the store closes last.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bulkhead_store::{RedbStore, Store};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::backbone::Parts;
use crate::config::Config;
use crate::files::{MODE_PRIVATE, MODE_PUBLIC, make_private_folder, write_atomic};
use crate::pki::{GROUP_ADMINS, Pki, USER_ADMIN};
use crate::shutdown::Signals;
use crate::state::AppState;
use crate::tls::ClientCertificates;
use crate::upstream::Upstream;
use crate::{background, http, kubeconfig, shutdown, tls};

const DATABASE_FILE: &str = "objects.redb";
const KUBECONFIG_FILE: &str = "admin.kubeconfig";
const READY_FILE: &str = "ready.json";
/// What open requests and background tasks get to finish.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let folder = config.data_dir.clone();
    make_private_folder(&folder)
        .with_context(|| format!("`{}` cannot be made", folder.display()))?;
    remove_if_there(&folder.join(READY_FILE))?;
    let pki = Pki::open(&folder.join("pki"))?;
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::open(&folder.join(DATABASE_FILE), config.store_limits)?);

    let mut signals = Signals::caught().context("signals cannot be received")?;
    let (switch, shutdown) = shutdown::channel();
    let upstream = match &config.upstream {
        Some(source) => Some(Upstream::open(source, config.store_limits).await?),
        None => None,
    };
    let (state, parts) = AppState::new(config, pki, store, upstream, shutdown)?;
    let mut tasks = start(&state, parts).await?;

    let signal = tokio::select! {
        signal = signals.next() => signal,
        Some(ended) = tasks.join_next() => {
            ended.context("a task of the server panicked")??;
            "the end of a task"
        }
    };
    tracing::info!(signal, "shutting down");
    remove_if_there(&folder.join(READY_FILE))?;
    switch.turn();
    let drained =
        tokio::time::timeout(DRAIN_MAX, async { while tasks.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    Ok(())
}

/// Starts everything; when it returns, the server answers.
async fn start(state: &AppState, parts: Parts) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let config = &state.config;
    let mut tasks = JoinSet::new();
    let credential = state.pki.issue_server(&certificate_names(config))?;
    let api_tls = tls::server_config(
        &state.pki,
        &credential,
        ClientCertificates::Required,
        &["h2", "http/1.1"],
    )?;
    let api = bind("--listen", config.listen).await?;
    let nodes = bind("--node-listen", config.node_listen).await?;
    let (api_address, nodes_address) = (api.local_addr()?, nodes.local_addr()?);

    if state.upstream.is_none() {
        background::defaults::ensure(&state.objects).await?;
        tasks.spawn(background::namespaces::run(state.clone()));
        tasks.spawn(background::garbage::run(state.clone()));
        tasks.spawn(background::confirm::run(state.clone()));
    }
    if let (Some(upstream), Some(account)) = (&state.upstream, &config.agent_account) {
        let (upstream, account) = (upstream.clone(), account.clone());
        let (pki, shutdown) = (Arc::clone(&state.pki), state.shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = upstream.publish_ca(&account, pki.ca_pem()) => shutdown.wait().await,
                () = shutdown.wait() => {}
            }
            Ok(())
        });
    }
    state.backbone.start(parts, &state.pki, nodes, &mut tasks)?;
    tasks.spawn(http::serve(api, api_tls, state.clone()));

    let folder = &config.data_dir;
    let admin = state.pki.issue_client(USER_ADMIN, GROUP_ADMINS)?;
    let server = format!("https://{}", reachable(api_address));
    let kubeconfig = kubeconfig::render(&server, state.pki.ca_pem(), USER_ADMIN, &admin);
    write_atomic(&folder.join(KUBECONFIG_FILE), MODE_PRIVATE, kubeconfig.as_bytes())?;
    let ready = json!({"api": api_address.to_string(), "nodes": nodes_address.to_string()});
    write_atomic(&folder.join(READY_FILE), MODE_PUBLIC, ready.to_string().as_bytes())?;
    tracing::info!(api = %api_address, nodes = %nodes_address, "serving");
    Ok(tasks)
}

async fn bind(flag: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("`{flag} {address}` cannot be listened on"))
}

fn certificate_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    for address in [config.listen, config.node_listen] {
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
    }
    names.extend(config.tls_sans.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// The address that a client on this machine can use.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    address
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("`{}` cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
