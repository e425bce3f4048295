//! What every part of the server shares.

use std::sync::Arc;

use bulkhead_store::Store;
use tokio::sync::Semaphore;

use crate::backbone::{Backbone, Parts};
use crate::config::Config;
use crate::http::watch::WATCHES_MAX;
use crate::objects::Objects;
use crate::pki::Pki;
use crate::shutdown::Shutdown;
use crate::upstream::Upstream;

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub pki: Arc<Pki>,
    /// For reading and watching. Writes go through `objects`. Another API server's objects, where they
    /// are taken over.
    pub store: Arc<dyn Store>,
    pub objects: Objects,
    /// Nodes, their programs and their flows.
    pub backbone: Backbone,
    /// The API server that keeps the objects, if it is another one.
    pub upstream: Option<Upstream>,
    pub shutdown: Shutdown,
    /// One permit for each open watch.
    pub watches: Arc<Semaphore>,
}

impl AppState {
    /// `own` keeps what is ours: join tokens, and all objects unless an `upstream` does. Also gives what
    /// runs behind it, to be started once the server is ready.
    pub fn new(
        config: Config,
        pki: Pki,
        own: Arc<dyn Store>,
        upstream: Option<Upstream>,
        shutdown: Shutdown,
    ) -> anyhow::Result<(Self, Parts)> {
        let pki = Arc::new(pki);
        let (backbone, parts) = Backbone::new(
            &own,
            upstream.as_ref(),
            Arc::clone(&pki),
            config.label_rules.clone(),
            shutdown.clone(),
        )?;
        let backbone = match (&upstream, &config.agent_account) {
            (Some(upstream), Some(account)) => backbone.admit(upstream, account),
            _ => backbone,
        };
        let store = upstream.as_ref().map_or(own, |upstream| Arc::clone(upstream.mirror()) as _);
        let objects = Objects::new(Arc::clone(&store));
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        let config = Arc::new(config);
        Ok((Self { config, pki, store, objects, backbone, upstream, shutdown, watches }, parts))
    }
}
