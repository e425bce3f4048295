//! The node port: gRPC over mTLS, one service, three calls.
//!
//! Who calls is what the client certificate says, never what a message says: a node reads its own
//! program and writes its own status and flows. Only `Join` may be called without a certificate.

mod session;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request as HttpRequest;
use axum::http::Response as HttpResponse;
use axum::routing::post;
use bulkhead_wire::limits::MESSAGE_BYTES_MAX;
use bulkhead_wire::session::path;
use bulkhead_wire::{Codec, FlowBatch, JoinRequest, VERSION, message};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::auth::Identity;
use crate::backbone::Backbone;
use crate::http::listener;
use crate::ingest::IngestError;
use crate::shutdown::Shutdown;

type GrpcBody = tonic::body::Body;

/// Serves nodes until shutdown.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    backbone: Backbone,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    listener::serve(listener, tls, router(backbone), shutdown).await
}

pub fn router(backbone: Backbone) -> Router {
    Router::new()
        .route(path::JOIN, post(join))
        .route(path::CONNECT, post(connect))
        .route(path::REPORT_FLOWS, post(report_flows))
        .with_state(backbone)
}

fn grpc<Sent, Read>() -> Grpc<ProstCodec<Sent, Read>>
where
    Sent: prost::Message + Send + 'static,
    Read: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

async fn join(
    State(backbone): State<Backbone>,
    request: HttpRequest<Body>,
) -> HttpResponse<GrpcBody> {
    grpc().unary(Join(backbone), request).await
}

async fn connect(
    State(backbone): State<Backbone>,
    request: HttpRequest<Body>,
) -> HttpResponse<GrpcBody> {
    grpc().streaming(Connect(backbone), request).await
}

async fn report_flows(
    State(backbone): State<Backbone>,
    request: HttpRequest<Body>,
) -> HttpResponse<GrpcBody> {
    grpc().unary(ReportFlows(backbone), request).await
}

/// The node that the caller's certificate was issued to.
fn node_of<T>(request: &Request<T>) -> Result<String, Status> {
    let identity = request.extensions().get::<Identity>().ok_or_else(|| {
        Status::unauthenticated("a node certificate is needed: join with a token first")
    })?;
    let node = identity
        .node()
        .ok_or_else(|| Status::permission_denied(format!("`{}` is not a node", identity.user)))?;
    Ok(node.to_owned())
}

fn check_version(version: u32) -> Result<(), Status> {
    if version == VERSION {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "the node speaks version {version} of the protocol, this server {VERSION}: upgrade the older \
         of the two"
    )))
}

fn unreadable(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

struct Join(Backbone);

impl UnaryService<message::JoinRequest> for Join {
    type Response = message::JoinResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<message::JoinRequest>) -> Self::Future {
        let backbone = self.0.clone();
        Box::pin(async move {
            let request = JoinRequest::from_message(request.into_inner()).map_err(unreadable)?;
            check_version(request.version)?;
            let response = backbone.join.join(&request).await?;
            Ok(Response::new(response.to_message()))
        })
    }
}

struct Connect(Backbone);

impl StreamingService<message::FromNode> for Connect {
    type Response = message::ToNode;
    type ResponseStream = ReceiverStream<Result<message::ToNode, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<message::FromNode>>) -> Self::Future {
        let backbone = self.0.clone();
        Box::pin(async move {
            let node = node_of(&request)?;
            Ok(Response::new(session::open(backbone, node, request.into_inner()).await?))
        })
    }
}

struct ReportFlows(Backbone);

impl UnaryService<message::FlowBatch> for ReportFlows {
    type Response = message::FlowReceipt;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<message::FlowBatch>) -> Self::Future {
        let backbone = self.0.clone();
        Box::pin(async move {
            let node = node_of(&request)?;
            let batch = FlowBatch::from_message(request.into_inner()).map_err(unreadable)?;
            let receipt = backbone.ingest.take(&node, batch).map_err(|error| match error {
                IngestError::OtherNode { .. } => Status::permission_denied(error.to_string()),
            })?;
            Ok(Response::new(receipt.to_message()))
        })
    }
}

#[cfg(test)]
mod tests;
