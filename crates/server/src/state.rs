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

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub pki: Arc<Pki>,
    /// For reading and watching. Writes go through `objects`.
    pub store: Arc<dyn Store>,
    pub objects: Objects,
    /// Nodes, their programs and their flows.
    pub backbone: Backbone,
    pub shutdown: Shutdown,
    /// One permit for each open watch.
    pub watches: Arc<Semaphore>,
}

impl AppState {
    /// Also gives what runs behind it, to be started once the server is ready.
    pub fn new(
        config: Config,
        pki: Pki,
        store: Arc<dyn Store>,
        shutdown: Shutdown,
    ) -> anyhow::Result<(Self, Parts)> {
        let (pki, objects) = (Arc::new(pki), Objects::new(Arc::clone(&store)));
        let (backbone, parts) =
            Backbone::new(&store, &objects, Arc::clone(&pki), shutdown.clone())?;
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        let config = Arc::new(config);
        Ok((Self { config, pki, store, objects, backbone, shutdown, watches }, parts))
    }
}
