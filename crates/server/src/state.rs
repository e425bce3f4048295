//! What every part of the server shares.

use std::sync::Arc;

use bulkhead_store::Store;
use tokio::sync::Semaphore;

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
    pub shutdown: Shutdown,
    /// One permit for each open watch.
    pub watches: Arc<Semaphore>,
}

impl AppState {
    pub fn new(config: Config, pki: Pki, store: Arc<dyn Store>, shutdown: Shutdown) -> Self {
        Self {
            config: Arc::new(config),
            pki: Arc::new(pki),
            objects: Objects::new(Arc::clone(&store)),
            store,
            shutdown,
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
        }
    }
}
