//! Who is calling: read from the client certificate that TLS has verified.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pki::{GROUP_ADMINS, GROUP_NODES, NODE_USER_PREFIX};

/// The subject of a verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Common name.
    pub user: String,
    /// Organisations.
    pub groups: Vec<String>,
}

impl Identity {
    /// Reads a certificate that TLS has verified already. `None` when it names nobody.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject
            .iter_organization()
            .filter_map(|group| group.as_str().ok().map(str::to_owned))
            .collect();
        Some(Self { user, groups })
    }

    /// May use the API, all of it. There are no finer roles yet.
    pub fn is_admin(&self) -> bool {
        self.is_in(GROUP_ADMINS)
    }

    /// The node that this certificate was issued to.
    pub fn node(&self) -> Option<&str> {
        self.user.strip_prefix(NODE_USER_PREFIX).filter(|_| self.is_in(GROUP_NODES))
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
