//! Joining: a one-time token is exchanged for a node certificate.

use std::sync::Arc;

use bulkhead_wire::{JoinRequest, VERSION};
use rcgen::{CertificateParams, KeyPair};

use crate::identity::{JoinToken, NodeIdentity};
use crate::rpc::{self, RpcError};
use crate::tls::{self, TlsError};

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the node's key cannot be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the server answered with an authority that the token does not name")]
    OtherAuthority,
}

impl JoinError {
    pub fn may_pass(&self) -> bool {
        matches!(self, JoinError::Rpc(error) if error.may_pass())
    }
}

/// Makes a key and has it certified. The token is used up when this succeeds.
pub async fn join(server: &str, node: &str, token: &JoinToken) -> Result<NodeIdentity, JoinError> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?.pem()?;
    let connection = rpc::connect(server, Arc::new(tls::joining_config(token)?)).await?;
    let response = connection
        .join(&JoinRequest {
            version: VERSION,
            node: node.to_owned(),
            token: token.as_str().to_owned(),
            certificate_request: request,
        })
        .await?;
    let identity = NodeIdentity {
        node: node.to_owned(),
        key: key.serialize_pem(),
        certificate: response.certificate,
        authority: response.authority,
    };
    if !identity.is_of(token) {
        return Err(JoinError::OtherAuthority);
    }
    Ok(identity)
}
