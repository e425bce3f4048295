//! The server's own certificate authority.
//!
//! The CA is made on first start and kept in `DIR/pki`. Everything else is short of state: the
//! server's and the admin's certificates are issued anew at every start, those of nodes on joining.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::files::{MODE_PRIVATE, MODE_PUBLIC, make_private_folder, write_atomic};

/// Organisation of people and tools that may do everything.
pub const GROUP_ADMINS: &str = "system:masters";
/// Organisation of node certificates.
pub const GROUP_NODES: &str = "system:nodes";
/// A node's common name is this and the node's name.
pub const NODE_USER_PREFIX: &str = "system:node:";
pub const USER_ADMIN: &str = "bulkhead-admin";

const CA_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);
const LEAF_VALID: Duration = Duration::from_secs(365 * 86_400);
/// Clocks of other machines may be a little behind ours.
const BACKDATED: Duration = Duration::from_secs(3600);

pub struct Pki {
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Credential {
    pub cert_pem: String,
    pub cert_der: CertificateDer<'static>,
    pub key_pem: String,
    pub key_der: PrivateKeyDer<'static>,
}

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("`{path}` is not PEM: {source}")]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{have}` is there but `{missing}` is not; restore it, or remove both for a new CA")]
    Half { have: PathBuf, missing: PathBuf },
    #[error("certificate of `{subject}`: {source}")]
    Certificate { subject: String, source: rcgen::Error },
    #[error("`{name}` cannot stand in a certificate")]
    Name { name: String },
}

impl Pki {
    /// Reads the CA from `folder`, or makes it there.
    pub fn open(folder: &Path) -> Result<Self, PkiError> {
        let (cert_path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
        match (cert_path.exists(), key_path.exists()) {
            (true, true) => {}
            // The certificate is written last: a key alone is a first start that was cut short.
            (false, _) => Self::create(folder, &cert_path, &key_path)?,
            (true, false) => return Err(PkiError::Half { have: cert_path, missing: key_path }),
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| PkiError::File { path: path.to_owned(), source })
        };
        let (ca_pem, key_pem) = (read(&cert_path)?, read(&key_path)?);
        let ca_der = CertificateDer::from_pem_slice(ca_pem.as_bytes())
            .map_err(|source| PkiError::Pem { path: cert_path, source })?;
        let failed = |source| PkiError::Certificate { subject: "the CA".to_owned(), source };
        let key = KeyPair::from_pem(&key_pem).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_der(&ca_der, key).map_err(failed)?;
        Ok(Self { ca_pem, ca_der, issuer })
    }

    fn create(folder: &Path, cert_path: &Path, key_path: &Path) -> Result<(), PkiError> {
        let subject = "bulkhead-ca";
        let failed = |source| PkiError::Certificate { subject: subject.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(subject, None, CA_VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).map_err(failed)?;
        let file = |path: &Path| {
            let path = path.to_owned();
            |source| PkiError::File { path, source }
        };
        make_private_folder(folder).map_err(file(folder))?;
        write_atomic(key_path, MODE_PRIVATE, key.serialize_pem().as_bytes())
            .map_err(file(key_path))?;
        write_atomic(cert_path, MODE_PUBLIC, cert.pem().as_bytes()).map_err(file(cert_path))
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.ca_der
    }

    /// SHA-256 of the CA certificate in hex: what a join token carries so that a node knows us.
    pub fn ca_fingerprint(&self) -> String {
        Sha256::digest(&self.ca_der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A server certificate, valid for `names`: DNS names and addresses.
    pub fn issue_server(&self, names: &[String]) -> Result<Credential, PkiError> {
        let mut params = params("bulkhead-server", None, LEAF_VALID);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => match name.as_str().try_into() {
                    Ok(dns) => Ok(SanType::DnsName(dns)),
                    Err(_) => Err(PkiError::Name { name: name.clone() }),
                },
            })
            .collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("bulkhead-server", &params)
    }

    /// A client certificate with a key of our making.
    pub fn issue_client(&self, user: &str, group: &str) -> Result<Credential, PkiError> {
        self.issue(user, &client_params(user, group))
    }

    /// Signs a node's request. Only its key is taken from it; the subject is ours to say.
    pub fn sign_node(&self, node: &str, request_pem: &str) -> Result<String, PkiError> {
        let user = format!("{NODE_USER_PREFIX}{node}");
        let failed = |source| PkiError::Certificate { subject: user.clone(), source };
        let request = CertificateSigningRequestParams::from_pem(request_pem).map_err(failed)?;
        let params = client_params(&user, GROUP_NODES);
        let cert = params.signed_by(&request.public_key, &self.issuer).map_err(failed)?;
        Ok(cert.pem())
    }

    fn issue(&self, subject: &str, params: &CertificateParams) -> Result<Credential, PkiError> {
        let failed = |source| PkiError::Certificate { subject: subject.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Credential {
            cert_pem: cert.pem(),
            cert_der: cert.der().clone(),
            key_pem: key.serialize_pem(),
            key_der: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }
}

fn client_params(user: &str, group: &str) -> CertificateParams {
    let mut params = params(user, Some(group), LEAF_VALID);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn params(user: &str, group: Option<&str>, valid: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, user);
    params.distinguished_name = name;
    // rcgen's dates come from the `time` crate, which we do not depend on by name.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + valid;
    params.use_authority_key_identifier_extension = true;
    params
}
