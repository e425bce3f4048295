//! The node service as its client calls it: gRPC over one TLS connection.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_wire::limits::MESSAGE_BYTES_MAX;
use bulkhead_wire::session::{SERVER_NAME, path};
use bulkhead_wire::{
    Codec, FlowBatch, FlowReceipt, FromNode, JoinRequest, JoinResponse, MessageError, ToNode,
    message,
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// TCP, TLS and HTTP/2 together.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A server that does not answer a ping for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(5);
const PONG_MAX: Duration = Duration::from_secs(5);
/// Bytes that may be on their way: a whole program goes without waiting for window updates.
const WINDOW_BYTES: u32 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("`{server}` cannot be reached: {reason}")]
    Connect { server: String, reason: String },
    #[error("the server says {:?}: {}", .0.code(), .0.message())]
    Status(#[from] Status),
    #[error("the server sent what cannot be read: {0}")]
    Message(#[from] MessageError),
}

impl RpcError {
    /// Whether trying again can help without a change by a person.
    pub fn may_pass(&self) -> bool {
        use tonic::Code;
        match self {
            RpcError::Status(status) => !matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
            ),
            RpcError::Connect { .. } | RpcError::Message(_) => true,
        }
    }
}

/// Cheap to clone; all clones share the connection.
#[derive(Clone, Debug)]
pub struct Server(Channel);

pub async fn connect(server: &str, tls: Arc<ClientConfig>) -> Result<Server, RpcError> {
    let failed = |reason: String| RpcError::Connect { server: server.to_owned(), reason };
    let address = server.to_owned();
    // `http`, because TLS is ours and done before the channel sees the stream.
    let endpoint = Endpoint::from_shared(format!("http://{SERVER_NAME}"))
        .map_err(|error| failed(error.to_string()))?
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let connector = tower::service_fn(move |_| open(address.clone(), Arc::clone(&tls)));
    let connecting = endpoint.connect_with_connector(connector);
    let channel = tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| failed(format!("no answer in {} s", CONNECT_MAX.as_secs())))?
        .map_err(|error| failed(innermost(&error)))?;
    Ok(Server(channel))
}

async fn open(
    address: String,
    tls: Arc<ClientConfig>,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
    Ok(TokioIo::new(TlsConnector::from(tls).connect(name, stream).await?))
}

/// The cause that says something: the outer ones only say that transport failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl Server {
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinResponse, RpcError> {
        let mut grpc = self.grpc().await?;
        let codec = ProstCodec::<message::JoinRequest, message::JoinResponse>::default();
        let request = Request::new(request.to_message());
        let response = grpc.unary(request, PathAndQuery::from_static(path::JOIN), codec).await?;
        Ok(JoinResponse::from_message(response.into_inner())?)
    }

    pub async fn report_flows(&self, batch: &FlowBatch) -> Result<FlowReceipt, RpcError> {
        let mut grpc = self.grpc().await?;
        let codec = ProstCodec::<message::FlowBatch, message::FlowReceipt>::default();
        let request = Request::new(batch.to_message());
        let response =
            grpc.unary(request, PathAndQuery::from_static(path::REPORT_FLOWS), codec).await?;
        Ok(FlowReceipt::from_message(response.into_inner())?)
    }

    /// Opens the session; what is put into `words` goes up.
    pub async fn session(&self, words: mpsc::Receiver<FromNode>) -> Result<Programs, RpcError> {
        let mut grpc = self.grpc().await?;
        let codec = ProstCodec::<message::FromNode, message::ToNode>::default();
        let words = ReceiverStream::new(words).map(|word| word.to_message());
        let request = Request::new(words);
        let response =
            grpc.streaming(request, PathAndQuery::from_static(path::CONNECT), codec).await?;
        Ok(Programs(response.into_inner()))
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, RpcError> {
        let mut grpc = Grpc::new(self.0.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| {
            Status::unavailable(format!("the connection is gone: {}", innermost(&error)))
        })?;
        Ok(grpc)
    }
}

/// What comes down on a session.
#[derive(Debug)]
pub struct Programs(Streaming<message::ToNode>);

impl Programs {
    /// `None` when the server has ended the session.
    pub async fn next(&mut self) -> Result<Option<ToNode>, RpcError> {
        match self.0.message().await? {
            Some(message) => Ok(Some(ToNode::from_message(message)?)),
            None => Ok(None),
        }
    }
}
