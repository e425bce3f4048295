//! Connections: TCP in, TLS with the caller's identity, HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::auth::Identity;
use crate::shutdown::Shutdown;

/// Connections at a time; more wait in the kernel's backlog.
const CONNECTIONS_MAX: u16 = 1024;
/// A client must complete TLS, and later the head of each request, in this time.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests in flight on one HTTP/2 connection; one client watches a dozen kinds over one.
const STREAMS_MAX: u32 = 250;
/// Pause after a failed accept, so that being out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until shutdown, then lets open requests finish.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX.into()));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = shutdown.wait() => break,
        };
        let (acceptor, router, shutdown) = (acceptor.clone(), router.clone(), shutdown.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, acceptor, router, shutdown).await {
                tracing::debug!(error = format!("{error:#}"), "a connection ended");
            }
            drop(slot);
        });
    }
    // Every connection gives its slot back when it has drained; `acquire` above holds one, too.
    drop(slots.acquire_many(u32::from(CONNECTIONS_MAX)).await?);
    Ok(())
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
    let chain = stream.get_ref().1.peer_certificates();
    let identity = chain.and_then(|chain| chain.first()).and_then(Identity::from_certificate);
    let service = router.map_request(move |mut request: Request<_>| {
        if let Some(identity) = identity.clone() {
            request.extensions_mut().insert(identity);
        }
        request
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    outcome.map_err(|error| anyhow::anyhow!(error))
}
