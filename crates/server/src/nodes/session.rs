//! One node's session: its programs down as they are published, its answers into the registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_types::Revision;
use bulkhead_wire::{Codec, FromNode, Hello, ToNode, Welcome, message};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{check_version, unreadable};
use crate::backbone::Backbone;
use crate::controller::Programs;
use crate::controller::publish::Published;
use crate::node_labels::LabelDesk;
use crate::registry::{NODE_LOST_AFTER, Registry};

/// Words that wait for a slow node; its session then waits, nobody else.
const WORDS_QUEUED_MAX: usize = 16;
/// A node must say who it is in this time.
const HELLO_MAX: Duration = Duration::from_secs(10);

type Outgoing = mpsc::Sender<Result<message::ToNode, Status>>;

/// Hears the node out and starts its session.
pub async fn open(
    backbone: Backbone,
    node: String,
    mut words: Streaming<message::FromNode>,
) -> Result<ReceiverStream<Result<message::ToNode, Status>>, Status> {
    let first = tokio::time::timeout(HELLO_MAX, words.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the node did not say hello"))??
        .ok_or_else(|| Status::invalid_argument("the session ended before the hello"))?;
    let FromNode::Hello(hello) = FromNode::from_message(first).map_err(unreadable)? else {
        return Err(Status::invalid_argument("the first word of a session must be the hello"));
    };
    check_version(hello.version)?;
    if hello.node != node {
        return Err(Status::permission_denied(format!(
            "the certificate is node `{node}`'s, but the node calls itself `{}`",
            hello.node
        )));
    }
    let published = backbone
        .programs
        .subscribe(&node, hello.holds.max(hello.enforces), hello.digest)
        .await
        .map_err(|gone| Status::unavailable(gone.to_string()))?;
    let (outgoing, stream) = mpsc::channel(WORDS_QUEUED_MAX);
    let id = backbone.registry.open(&node, &hello, Instant::now());
    tracing::info!(%node, holds = %hello.holds, agent = %hello.agent_version, "a node is here");
    let session = Session {
        programs: backbone.programs.clone(),
        labels: backbone.labels.clone(),
        registered: Registered { registry: Arc::clone(&backbone.registry), node, id },
        outgoing,
        published,
        sent: None,
    };
    tokio::spawn(session.run(backbone, hello, words));
    Ok(ReceiverStream::new(stream))
}

struct Session {
    programs: Programs,
    labels: LabelDesk,
    registered: Registered,
    outgoing: Outgoing,
    published: watch::Receiver<Published>,
    sent: Option<Revision>,
}

/// Gives the session back to the registry, however it ends.
struct Registered {
    registry: Arc<Registry>,
    node: String,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.close(&self.node, self.id);
    }
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the node has ended it")]
    ByNode,
    #[error("the node opened another one")]
    Replaced,
    #[error("the node was silent for too long")]
    Silent,
    #[error("the server is ending")]
    Shutdown,
    #[error("{0}")]
    Failed(Status),
}

impl Session {
    async fn run(
        mut self,
        backbone: Backbone,
        hello: Hello,
        mut words: Streaming<message::FromNode>,
    ) {
        let ended = tokio::select! {
            Err(ended) = self.talk(backbone.life, &hello, &mut words) => ended,
            () = backbone.shutdown.wait() => Ended::Shutdown,
        };
        tracing::info!(node = %self.registered.node, why = %ended, "a session is over");
        let farewell = match ended {
            Ended::ByNode => return,
            Ended::Failed(status) => status,
            Ended::Replaced => Status::aborted(Ended::Replaced.to_string()),
            other => Status::unavailable(other.to_string()),
        };
        // A node that does not listen any more need not hear this.
        drop(self.outgoing.try_send(Err(farewell)));
    }

    async fn talk(
        &mut self,
        life: u64,
        hello: &Hello,
        words: &mut Streaming<message::FromNode>,
    ) -> Result<std::convert::Infallible, Ended> {
        self.send(ToNode::Welcome(Welcome { life })).await?;
        let published = self.published.borrow_and_update().clone();
        for word in published.greet(hello, life) {
            self.send(word).await?;
        }
        self.sent = Some(published.revision());
        loop {
            tokio::select! {
                changed = self.published.changed() => {
                    changed.map_err(|_| Ended::Shutdown)?;
                    self.send_news().await?;
                }
                word = tokio::time::timeout(NODE_LOST_AFTER, words.message()) => {
                    let message = word
                        .map_err(|_| Ended::Silent)?
                        .map_err(|_| Ended::ByNode)?
                        .ok_or(Ended::ByNode)?;
                    let word = FromNode::from_message(message)
                        .map_err(|error| Ended::Failed(unreadable(error)))?;
                    self.hear(word).await?;
                }
            }
        }
    }

    async fn hear(&mut self, word: FromNode) -> Result<(), Ended> {
        let Registered { registry, node, id } = &self.registered;
        if !registry.hear(node, *id, &word, Instant::now()) {
            return Err(Ended::Replaced);
        }
        match word {
            FromNode::WantSnapshot { reason } => {
                tracing::warn!(%node, %reason, "a node wants its whole program");
                self.sent = None;
                self.send_news().await
            }
            FromNode::Nack(nack) => {
                tracing::warn!(%node, revision = %nack.revision, reason = %nack.reason, "refused");
                Ok(())
            }
            FromNode::Surroundings(found) => {
                self.labels.take(node, &found.labels).await;
                self.programs.given(node, found.given).await.map_err(|_| Ended::Shutdown)
            }
            FromNode::Hello(_) | FromNode::Ack(_) | FromNode::Status(_) => Ok(()),
        }
    }

    async fn send_news(&mut self) -> Result<(), Ended> {
        let published = self.published.borrow_and_update().clone();
        for word in published.since(self.sent) {
            self.send(word).await?;
        }
        self.sent = Some(published.revision());
        Ok(())
    }

    async fn send(&self, word: ToNode) -> Result<(), Ended> {
        self.outgoing.send(Ok(word.to_message())).await.map_err(|_| Ended::ByNode)
    }
}
