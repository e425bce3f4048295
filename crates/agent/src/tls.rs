//! TLS towards the server: by the token's hash when joining, by the authority we keep afterwards.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::identity::{JoinToken, NodeIdentity};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the node's {what} cannot be read ({source}): remove the state and join again")]
    Pem { what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("the node's certificate cannot be used: {0}")]
    Certificate(#[from] Error),
    #[error("the server's authority cannot be used: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// Shows our certificate, and trusts only the authority that signed it.
pub fn member_config(identity: &NodeIdentity) -> Result<ClientConfig, TlsError> {
    let pem = |what| move |source| TlsError::Pem { what, source };
    let authority =
        CertificateDer::from_pem_slice(identity.authority.as_bytes()).map_err(pem("authority"))?;
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(pem("key"))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(with_http2(config))
}

/// Shows nothing, and trusts only the authority whose hash the token carries.
pub fn joining_config(token: &JoinToken) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PinnedAuthority { token: token.clone(), provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(with_http2(config))
}

fn with_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Accepts a chain only if it holds the authority that the token names, and then only what that
/// authority vouches for.
#[derive(Debug)]
struct PinnedAuthority {
    token: JoinToken,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| self.token.names_authority(certificate))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
