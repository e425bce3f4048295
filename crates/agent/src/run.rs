//! Start and end of the agent, in order.
//!
//! Up: kernel side (everything closed that nothing pinned judges), the program from disk, the join,
//! then sessions. Down: what was seen is sent, the program is saved, the kernel goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bulkhead_enforce::gate;
use bulkhead_enforce::{Node, NodeOptions};
use bulkhead_types::Revision;
use bulkhead_wire::Surroundings;
use rustls::crypto::ring;
use tokio::sync::watch;

use crate::alone::{self, Alone};
use crate::config::{Config, RunConfig};
use crate::enforcer::Enforcer;
use crate::files::make_private_folder;
use crate::flows::{FlowQueue, Shipper, collect};
use crate::identity::NodeIdentity;
use crate::join::{JoinError, join};
use crate::keeper::{Program, Realized, keep};
use crate::local::Desk;
use crate::log_events::LogEvents;
use crate::session::{Held, Session};
use crate::way::WayOpen;
use crate::{local, rpc, saved, tls};

const JOIN_RETRY: Duration = Duration::from_secs(1);
/// What the last flow records get to reach the server.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Holds the node until SIGINT or SIGTERM; what is enforced stays enforced.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let config = match config {
        Config::Run(config) => config,
        Config::BootGate(gate) => return gate.close(),
        Config::Teardown { pin_dir, netns, state_dir } => {
            if alone::is_held(&state_dir) {
                anyhow::bail!(
                    "an agent runs with --state-dir {}, and would put everything back: stop it first",
                    state_dir.display()
                );
            }
            Node::teardown(&pin_dir, netns.as_deref())?;
            gate::open(netns.as_deref())?;
            tracing::info!(pin_dir = %pin_dir.display(), "nothing is enforced here any more");
            return Ok(());
        }
    };
    make_private_folder(&config.state_dir)
        .with_context(|| format!("`{}` cannot be made", config.state_dir.display()))?;
    let _alone = Alone::wait(&config.state_dir).await;
    let usual = NodeOptions::new(config.node.clone(), config.pin_dir.clone());
    let (handle, records) = Node::start(NodeOptions {
        netns: config.netns.clone(),
        interface_prefixes: config.interface_prefixes.clone(),
        dns: config.dns.clone(),
        layout: config.map_layout.unwrap_or(usual.layout),
        resets: config.resets,
        backend: config.backend,
        ..usual
    })
    .context("enforcement cannot be started")?;
    let flows = Arc::new(FlowQueue::default());
    let (surroundings, around) =
        watch::channel(Surroundings { labels: config.labels.clone(), ..Surroundings::default() });
    let desk = Desk::open(config.node.clone(), handle.clone(), &config.state_dir, surroundings);
    let desk = Arc::new(desk.await?);
    let listener = local::listen(&config.socket)?;
    let enforcer: Arc<dyn Enforcer> = Arc::new(WayOpen::new(Arc::new(handle), &config.server));
    let mut log_events = LogEvents::new(config.log_rate);
    let outcome = tokio::select! {
        outcome = hold(&config, enforcer, Arc::clone(&flows), around) => outcome,
        () = local::serve(listener, desk) => Err(anyhow::anyhow!("local callers have ended")),
        () = collect(records, &flows, &mut log_events) => {
            Err(anyhow::anyhow!("the kernel side has ended"))
        }
    };
    log_events.tell_suppressed();
    outcome
}

/// Everything but the kernel itself.
pub async fn hold(
    config: &RunConfig,
    enforcer: Arc<dyn Enforcer>,
    flows: Arc<FlowQueue>,
    surroundings: watch::Receiver<Surroundings>,
) -> anyhow::Result<()> {
    let report = enforcer.report();
    let start = start_program(config, report.borrow().revision);
    let (desired, wanted) = watch::channel(start.clone());
    let (realize, realized) = watch::channel(Realized::default());
    let (enforce, enforced) = watch::channel(None);
    let (save, unsaved) = watch::channel(None);
    let saving = tokio::spawn(saved::save_latest(config.state_dir.clone(), enforced, save));
    let keeping = tokio::spawn(keep(enforcer, wanted, realize, enforce));

    let talking = async {
        let identity = tokio::select! {
            identity = identity(config) => identity?,
            signal = signal() => {
                tracing::info!(signal = signal?, "ending before the join");
                return Ok(());
            }
        };
        let mut session = Session {
            node: config.node.clone(),
            server: config.server.clone(),
            tls: Arc::new(tls::member_config(&identity)?),
            held: Held { program: start.unwrap_or_default(), life: 0 },
            desired,
            realized,
            report,
            surroundings,
            unsaved,
            flows: Arc::clone(&flows),
            shipper: Shipper::new(random()),
        };
        tokio::select! {
            () = session.run() => {}
            signal = signal() => {
                tracing::info!(signal = signal?, "ending; the kernel goes on enforcing");
                farewell(&mut session).await;
            }
        }
        anyhow::Ok(())
    };
    let outcome = talking.await;
    // Nobody wants programs any more: the keeper ends, and then the saver with what it enforced.
    let kept = keeping.await.context("the keeper panicked")?;
    saving.await.context("the saver panicked")?;
    outcome.and(kept.map_err(Into::into))
}

/// The saved program, unless the kernel holds a newer one already.
fn start_program(config: &RunConfig, in_kernel: Revision) -> Program {
    match saved::load(&config.state_dir) {
        Ok(Some(program)) if program.revision < in_kernel => {
            tracing::info!(saved = %program.revision, %in_kernel, "the kernel is ahead of the disk");
            None
        }
        Ok(Some(program)) => {
            tracing::info!(revision = %program.revision, "enforcing the saved program");
            Some(Arc::new(program))
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, "the saved program is not used; the kernel stays as it is");
            None
        }
    }
}

/// The one we keep, or a new one for the token. Waits for the server as long as it takes.
async fn identity(config: &RunConfig) -> anyhow::Result<NodeIdentity> {
    let kept = NodeIdentity::load(&config.state_dir, &config.node)?;
    let token = match (kept, &config.token) {
        (Some(identity), Some(token)) if !identity.is_of(token) => {
            tracing::warn!("the token is of another control plane: joining that one");
            token
        }
        (Some(identity), _) => return Ok(identity),
        (None, Some(token)) => token,
        (None, None) => anyhow::bail!(
            "node `{}` has not joined: give it a token (`bulkhead node token {}`)",
            config.node,
            config.node
        ),
    };
    loop {
        match join(&config.server, &config.node, token).await {
            Ok(identity) => {
                identity.save(&config.state_dir)?;
                tracing::info!(node = %config.node, "joined");
                return Ok(identity);
            }
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "cannot join yet");
                tokio::time::sleep(JOIN_RETRY).await;
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

fn refused(error: JoinError) -> anyhow::Error {
    anyhow::Error::new(error).context("the server does not let this node join")
}

async fn farewell(session: &mut Session) {
    let send = async {
        let server = rpc::connect(&session.server, Arc::clone(&session.tls)).await?;
        while !session.flows.is_empty() {
            session.shipper.ship_some(&server, &session.flows).await?;
        }
        Ok::<_, rpc::RpcError>(())
    };
    if !matches!(tokio::time::timeout(FAREWELL_MAX, send).await, Ok(Ok(()))) {
        tracing::warn!("the last flow records did not reach the server");
    }
}

/// Returns at the first SIGINT or SIGTERM.
async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// From the operating system; falls back on the clock, because nothing here is a secret.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    match ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| u64::from(now.subsec_nanos())),
    }
}
