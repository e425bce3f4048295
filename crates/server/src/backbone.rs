//! The parts that lead from the store to the nodes and back, wired together.

use std::sync::Arc;
use std::time::Instant;

use bulkhead_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::controller::directory::Directory;
use crate::controller::{Controller, Programs};
use crate::flows::FlowLog;
use crate::ingest::Ingest;
use crate::join::JoinDesk;
use crate::nodes;
use crate::objects::Objects;
use crate::pki::Pki;
use crate::registry::Registry;
use crate::shutdown::Shutdown;
use crate::status::StatusWriter;
use crate::tls::{self, ClientCertificates};

/// Cheap to clone.
#[derive(Clone)]
pub struct Backbone {
    pub registry: Arc<Registry>,
    pub programs: Programs,
    pub flows: Arc<FlowLog>,
    pub ingest: Arc<Ingest>,
    pub join: JoinDesk,
    pub shutdown: Shutdown,
    /// Drawn anew by each start, see [`bulkhead_wire::Welcome`].
    pub life: u64,
}

/// What [`Backbone::new`] leaves to be started.
pub struct Parts {
    controller: Controller,
    status: StatusWriter,
}

impl Backbone {
    pub fn new(
        store: &Arc<dyn Store>,
        objects: &Objects,
        pki: Arc<Pki>,
        shutdown: Shutdown,
    ) -> anyhow::Result<(Self, Parts)> {
        let registry = Arc::new(Registry::default());
        let directory = Arc::new(Directory::default());
        let flows = Arc::new(FlowLog::default());
        let (controller, programs) =
            Controller::new(Arc::clone(store), Arc::clone(&registry), Arc::clone(&directory));
        let status = StatusWriter::new(objects.clone(), Arc::clone(&registry), Instant::now());
        let backbone = Self {
            registry,
            programs,
            ingest: Arc::new(Ingest::new(directory, Arc::clone(&flows))),
            flows,
            join: JoinDesk::new(objects.clone(), Arc::clone(store), pki),
            shutdown,
            life: life()?,
        };
        Ok((backbone, Parts { controller, status }))
    }

    /// Starts the controller, the status writer and the node port.
    pub fn start(
        &self,
        parts: Parts,
        pki: &Pki,
        listener: TcpListener,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let names = [bulkhead_wire::session::SERVER_NAME.to_owned()];
        let credential = pki.issue_server(&names)?;
        let tls = tls::server_config(pki, &credential, ClientCertificates::Optional, &["h2"])?;
        tasks.spawn(parts.controller.run(self.shutdown.clone()));
        tasks.spawn(parts.status.run(self.shutdown.clone()));
        tasks.spawn(nodes::serve(listener, tls, self.clone(), self.shutdown.clone()));
        Ok(())
    }
}

fn life() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(u64::from_le_bytes(bytes).max(1))
}
