//! Who this node is: the token it joins with, then the key and certificate that it keeps.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::{make_private_folder, read_if_there, write_private};

const FILE: &str = "identity.json";

/// What the server gave this node on joining, with the key that never left it. All PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    pub node: String,
    pub key: String,
    pub certificate: String,
    pub authority: String,
}

/// `bh1.<id>.<secret>.<SHA-256 of the server's CA certificate, in hex>`, or any other token beside the
/// certificate itself.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    text: String,
    authority: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "the join token has {n_parts} parts, not 4 (`bh1.ID.SECRET.HASH`): copy it whole, or get a \
         new one from `bulkhead node token`"
    )]
    Parts { n_parts: usize },
    #[error("the join token begins with `{prefix}`, not `bh1`: it is for another version")]
    Version { prefix: String },
    #[error("the file given as --ca-file holds no certificate (PEM)")]
    Authority,
    #[error("the last part of the join token is no SHA-256 in hex: copy the token whole")]
    Hash,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is damaged ({source}): remove it and join again with a new token")]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error(
        "`{path}` belongs to node `{found}`, not to `{wanted}`: give each node its own --state-dir"
    )]
    OtherNode { path: PathBuf, found: String, wanted: String },
}

impl NodeIdentity {
    /// `None` when the node has not joined yet.
    pub fn load(state_dir: &Path, node: &str) -> Result<Option<Self>, IdentityError> {
        let path = state_dir.join(FILE);
        let read = read_if_there(&path)
            .map_err(|source| IdentityError::File { path: path.clone(), source })?;
        let Some(bytes) = read else { return Ok(None) };
        let identity: Self = serde_json::from_slice(&bytes)
            .map_err(|source| IdentityError::Damaged { path: path.clone(), source })?;
        if identity.node != node {
            let found = identity.node;
            return Err(IdentityError::OtherNode { path, found, wanted: node.to_owned() });
        }
        Ok(Some(identity))
    }

    pub fn save(&self, state_dir: &Path) -> Result<(), IdentityError> {
        let path = state_dir.join(FILE);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|source| IdentityError::Damaged { path: path.clone(), source })?;
        make_private_folder(state_dir)
            .and_then(|()| write_private(&path, &bytes))
            .map_err(|source| IdentityError::File { path, source })
    }

    /// Whether the token is of the control plane that this identity is from.
    pub fn is_of(&self, token: &JoinToken) -> bool {
        CertificateDer::from_pem_slice(self.authority.as_bytes())
            .is_ok_and(|authority| token.names_authority(&authority))
    }
}

impl JoinToken {
    /// A token that is not the server's own, such as a service account's.
    pub fn with_authority(text: &str, authority_pem: &str) -> Result<Self, TokenError> {
        let authority = CertificateDer::from_pem_slice(authority_pem.as_bytes())
            .map_err(|_| TokenError::Authority)?;
        let authority = Sha256::digest(authority.as_ref()).into();
        Ok(Self { text: text.to_owned(), authority })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn names_authority(&self, certificate: &CertificateDer<'_>) -> bool {
        Sha256::digest(certificate.as_ref()).as_slice() == self.authority.as_slice()
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.split('.').collect();
        let &[version, _, _, hash] = parts.as_slice() else {
            return Err(TokenError::Parts { n_parts: parts.len() });
        };
        if version != "bh1" {
            return Err(TokenError::Version { prefix: version.chars().take(16).collect() });
        }
        let authority = from_hex(hash).ok_or(TokenError::Hash)?;
        Ok(Self { text: text.to_owned(), authority })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Never shows the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

/// Never shows the key.
impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
