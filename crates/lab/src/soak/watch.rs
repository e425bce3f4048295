//! What goes on all the while: connections that are allowed, and packets that are not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::tally::Tally;
use super::world::{ECHO, PUSH, SHUT};
use crate::lab::Lab;
use crate::prober::Prober;

/// A connection that stands still for longer is as good as cut.
const STILL_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(4);
/// Between two forbidden packets of one prober.
const GAP: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    /// The client asks, the server answers.
    Echo,
    /// The server speaks, although it may open nothing.
    Push,
}

struct Connection {
    name: &'static str,
    from: &'static str,
    is_v6: bool,
    talk: Talk,
    n_answers: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

pub struct Watch {
    connections: Vec<Connection>,
    forbidden: Vec<Prober>,
    /// Sends what `Push` connections hear.
    _speaker: Vec<Speaker>,
}

impl Watch {
    pub async fn start(lab: &Lab) -> Result<Self> {
        let speakers = vec![Speaker::start(lab, false).await?, Speaker::start(lab, true).await?];
        let kinds = [
            ("echo", "app/client", false, Talk::Echo),
            ("echo over IPv6", "app/client", true, Talk::Echo),
            ("echo from the other node", "app/far", false, Talk::Echo),
            ("push", "app/client", false, Talk::Push),
            ("push over IPv6 to the other node", "app/far", true, Talk::Push),
        ];
        let mut connections = Vec::new();
        for (name, from, is_v6, talk) in kinds {
            let n_answers = Arc::new(AtomicU64::new(0));
            let task = dial(lab, from, is_v6, talk, &n_answers).await?;
            connections.push(Connection { name, from, is_v6, talk, n_answers, task });
        }
        let mut forbidden = Vec::new();
        for (from, to, port) in [
            ("app/client", "app/server", SHUT),
            ("app/foe", "app/server", SHUT + 1),
            ("app/far", "app/server", SHUT + 2),
            ("app/server", "app/client", SHUT),
            ("app/foe", "app/spare", SHUT),
        ] {
            forbidden.push(Prober::start_every(GAP, lab, from, to, port).await?);
        }
        Ok(Self { connections, forbidden, _speaker: speakers })
    }

    /// Every connection gets answers now.
    pub async fn goes_on(&self, tally: &mut Tally) {
        let until = Instant::now() + STILL_MAX;
        for connection in &self.connections {
            let before = connection.n_answers.load(Ordering::SeqCst);
            let goes_on = || connection.n_answers.load(Ordering::SeqCst) > before + 5;
            while !goes_on() && !connection.task.is_finished() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if !goes_on() && !connection.task.is_finished() {
                tally.stands_still(connection.name);
                connection.task.abort();
            }
        }
    }

    /// Opens cut connections again; returns how many there were.
    pub async fn mend(&mut self, lab: &Lab) -> Result<u64> {
        let mut n_cut = 0;
        for connection in &mut self.connections {
            if connection.task.is_finished() {
                n_cut += 1;
                tracing::error!(name = connection.name, "an allowed connection was cut");
                let Connection { from, is_v6, talk, n_answers, .. } = connection;
                connection.task = dial(lab, from, *is_v6, *talk, n_answers)
                    .await
                    .context("a cut connection cannot be opened again")?;
            }
        }
        Ok(n_cut)
    }

    /// Forbidden packets that arrived so far.
    pub fn passed(&self) -> u64 {
        self.forbidden.iter().map(|prober| prober.counts().1).sum()
    }

    pub fn sent(&self) -> u64 {
        self.forbidden.iter().map(|prober| prober.counts().0).sum()
    }

    pub fn answers(&self) -> u64 {
        self.connections.iter().map(|known| known.n_answers.load(Ordering::SeqCst)).sum()
    }
}

async fn dial(
    lab: &Lab,
    from: &str,
    is_v6: bool,
    talk: Talk,
    n_answers: &Arc<AtomicU64>,
) -> Result<JoinHandle<()>> {
    let (netns, client) = lab.net().endpoint(from).await?;
    let (_, server) = lab.net().endpoint("app/server").await?;
    let port = if talk == Talk::Echo { ECHO } else { PUSH };
    let at = SocketAddr::new(server.address(is_v6).context("the server has no address")?, port);
    let src = client.address(is_v6).context("the client has no address")?;
    let stream = lab.net().tcp_connect(&netns, src, at).await?;
    let n_answers = Arc::clone(n_answers);
    Ok(tokio::spawn(async move {
        let ended = converse(stream, talk, &n_answers).await;
        tracing::error!(?talk, ?ended, "a connection has ended");
    }))
}

async fn converse(mut stream: TcpStream, talk: Talk, n_answers: &AtomicU64) -> std::io::Result<()> {
    loop {
        if talk == Talk::Echo {
            stream.write_u64(7).await?;
        }
        stream.read_u64().await?;
        n_answers.fetch_add(1, Ordering::SeqCst);
        if talk == Talk::Echo {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Accepts connections at the server and speaks on each without being asked.
struct Speaker(JoinHandle<()>);

impl Speaker {
    async fn start(lab: &Lab, is_v6: bool) -> Result<Self> {
        let (netns, server) = lab.net().endpoint("app/server").await?;
        let at = SocketAddr::new(server.address(is_v6).context("no address")?, PUSH);
        let listener = lab.net().tcp_listener(&netns, at)?;
        Ok(Self(tokio::spawn(accept(listener))))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            while stream.write_u64(7).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}
