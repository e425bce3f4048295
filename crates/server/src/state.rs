//! What every part of the server shares.

use std::sync::Arc;

use bulkhead_store::Store;

use crate::config::Config;
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
}
