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
use crate::node_labels::{LabelDesk, LabelRules};
use crate::nodes;
use crate::objects::Objects;
use crate::pki::Pki;
use crate::registry::Registry;
use crate::shutdown::Shutdown;
use crate::status::{StatusSink, StatusWriter};
use crate::tls::{self, ClientCertificates};
use crate::upstream::Upstream;
use crate::upstream::account::AgentAccount;

/// Cheap to clone.
#[derive(Clone)]
pub struct Backbone {
    pub registry: Arc<Registry>,
    pub programs: Programs,
    pub flows: Arc<FlowLog>,
    pub ingest: Arc<Ingest>,
    pub join: JoinDesk,
    pub labels: LabelDesk,
    pub shutdown: Shutdown,
    pub started: Instant,
    /// Drawn anew by each start, see [`bulkhead_wire::Welcome`].
    pub life: u64,
}

/// What [`Backbone::new`] leaves to be started.
pub struct Parts {
    controller: Controller,
    status: StatusWriter,
    upstream: Option<Upstream>,
}

impl Backbone {
    pub fn new(
        own: &Arc<dyn Store>,
        upstream: Option<&Upstream>,
        pki: Arc<Pki>,
        label_rules: LabelRules,
        shutdown: Shutdown,
    ) -> anyhow::Result<(Self, Parts)> {
        let registry = Arc::new(Registry::default());
        let directory = Arc::new(Directory::default());
        let flows = Arc::new(FlowLog::default());
        let (store, nodes, sink) = match upstream {
            Some(upstream) => {
                let store: Arc<dyn Store> = Arc::clone(upstream.mirror()) as _;
                (store, None, StatusSink::Upstream(upstream.clone()))
            }
            None => {
                let objects = Objects::new(Arc::clone(own));
                (Arc::clone(own), Some(objects.clone()), StatusSink::Own(objects))
            }
        };
        let (controller, programs) =
            Controller::new(store, Arc::clone(&registry), Arc::clone(&directory));
        let started = Instant::now();
        let status = StatusWriter::new(sink, Arc::clone(&registry), started);
        let backbone = Self {
            registry,
            programs,
            ingest: Arc::new(Ingest::new(directory, Arc::clone(&flows))),
            flows,
            labels: LabelDesk::new(nodes.clone(), label_rules),
            join: JoinDesk::new(nodes, Arc::clone(own), pki),
            shutdown,
            started,
            life: life()?,
        };
        Ok((backbone, Parts { controller, status, upstream: upstream.cloned() }))
    }

    /// Lets agents join as pods of a service account, too.
    pub fn admit(mut self, upstream: &Upstream, account: &AgentAccount) -> Self {
        self.join = self.join.admitting(upstream.clone(), account.clone());
        self
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
        let Parts { controller, status, upstream } = parts;
        match upstream {
            None => {
                tasks.spawn(controller.run(self.shutdown.clone()));
                tasks.spawn(status.run(self.shutdown.clone()));
            }
            Some(upstream) => {
                let (known, shutdown) = (upstream.clone(), self.shutdown.clone());
                // Nodes wait for their programs meanwhile, and go on with those that they have.
                tasks.spawn(async move {
                    tokio::select! {
                        () = known.known() => {}
                        () = shutdown.wait() => return Ok(()),
                    }
                    tokio::try_join!(controller.run(shutdown.clone()), status.run(shutdown))?;
                    Ok(())
                });
                tasks.spawn(upstream.run(self.shutdown.clone()));
            }
        }
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
