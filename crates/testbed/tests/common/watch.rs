//! What must go on and what must never pass, while a test does things to server and agents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead_lab::{Lab, Prober};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// What counts as going on.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub open_port: u16,
    pub closed_port: u16,
    pub n_forbidden: u64,
    pub patience: Duration,
}

/// An allowed connection that talks all the time, and forbidden packets beside it.
pub struct Watch {
    bar: Bar,
    n_answers: Arc<AtomicU64>,
    talk: JoinHandle<anyhow::Result<()>>,
    forbidden: Prober,
}

impl Watch {
    pub async fn start(lab: &Lab, bar: Bar) -> Self {
        let (client, from) = lab.net().endpoint("app/client").await.unwrap();
        let (_, to) = lab.net().endpoint("app/server").await.unwrap();
        let at = SocketAddr::new(to.address(false).unwrap(), bar.open_port);
        let src = from.address(false).unwrap();
        let mut stream = lab.net().tcp_connect(&client, src, at).await.unwrap();
        let n_answers = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&n_answers);
        let talk = tokio::spawn(async move {
            loop {
                stream.write_u64(7).await?;
                stream.read_u64().await?;
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let forbidden =
            Prober::start(lab, "app/client", "app/server", bar.closed_port).await.unwrap();
        Self { bar, n_answers, talk, forbidden }
    }

    /// The connection gets answers now, and no forbidden packet ever arrived.
    pub async fn holds(&self, when: &str) {
        let answers = self.n_answers.load(Ordering::SeqCst);
        let sent = self.forbidden.counts().0;
        let until = Instant::now() + self.bar.patience;
        while self.n_answers.load(Ordering::SeqCst) < answers + 20
            || self.forbidden.counts().0 < sent + self.bar.n_forbidden
        {
            assert!(!self.talk.is_finished(), "{when}: the allowed connection was cut");
            let counts =
                (self.n_answers.load(Ordering::SeqCst) - answers, self.forbidden.counts().0 - sent);
            assert!(Instant::now() < until, "{when}: (answers, forbidden packets sent) {counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.forbidden.counts().1, 0, "{when}: forbidden packets passed");
    }
}
