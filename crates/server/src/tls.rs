//! TLS: ring only, and client certificates of our own CA.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::pki::{Credential, Pki};

/// Whether a caller may come without a certificate; one that it shows must be ours either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    Required,
    /// For the one call by which a node gets its certificate.
    Optional,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the CA cannot be trusted by our own TLS: {0}")]
    Ca(rustls::Error),
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("the server certificate cannot be used: {0}")]
    Certificate(rustls::Error),
}

/// `alpn` in the order of preference, such as `h2` before `http/1.1`.
pub fn server_config(
    pki: &Pki,
    credential: &Credential,
    clients: ClientCertificates,
    alpn: &[&str],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca_der().clone()).map_err(TlsError::Ca)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match clients {
        ClientCertificates::Required => verifier.build()?,
        ClientCertificates::Optional => verifier.allow_unauthenticated().build()?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        // A node that joins knows the CA by its hash only: the chain must show it.
        .with_single_cert(
            vec![credential.cert_der.clone(), pki.ca_der().clone()],
            credential.key_der.clone_key(),
        )
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
