//! Join tokens: made by an admin, good for one node, one use and a limited time.
//!
//! The store holds a token's hash, never the token, so that neither a copy of the database nor a
//! backup lets anybody join. A token is taken out of the store before the certificate is signed: of
//! two nodes that come with it at once, one joins.

use std::sync::Arc;

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::kinds;
use bulkhead_apimachinery::status::Reason;
use bulkhead_store::{CommitError, Expect, Key, ListRequest, Scope, Store, Write};
use bulkhead_wire::{JoinRequest, JoinResponse};
use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::objects::{Objects, SERVER_MANAGER, WriteOptions};
use crate::pki::Pki;
use crate::upstream::Upstream;
use crate::upstream::account::{AgentAccount, ReviewError};

const RESOURCE: &str = "jointokens.bulkhead.dev";
const TTL_DEFAULT_S: i64 = 3_600;
pub const TTL_MAX_S: i64 = 30 * 86_400;
/// Tokens that wait to be used.
pub const TOKENS_MAX: usize = 10_000;
const TOKEN_PREFIX: &str = "bh1";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Cheap to clone.
#[derive(Clone)]
pub struct JoinDesk {
    /// Where a new node's object is made; nowhere, where another API server keeps the objects.
    objects: Option<Objects>,
    /// Tokens are no objects of the API: nobody may list or read them.
    store: Arc<dyn Store>,
    pki: Arc<Pki>,
    /// Whose pods may join with their own tokens, and who knows these.
    account: Option<(Upstream, AgentAccount)>,
}

/// A token as its maker gets it; it cannot be shown again.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    pub id: String,
    pub node: String,
    pub token: String,
    pub expires: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "`spec.node`: `{node}` is no node name: use a-z, 0-9, `-` and `.`, at most 253 characters"
    )]
    Node { node: String },
    #[error("`spec.ttlSeconds`: {ttl_s} is not between 1 and {TTL_MAX_S}")]
    Ttl { ttl_s: i64 },
    #[error("{TOKENS_MAX} tokens are waiting to be used: wait for some to expire")]
    TooMany,
    #[error("the system has no randomness")]
    Random,
    #[error("the token cannot be kept: {0}")]
    Store(#[from] CommitError),
}

impl JoinDesk {
    pub fn new(objects: Option<Objects>, store: Arc<dyn Store>, pki: Arc<Pki>) -> Self {
        Self { objects, store, pki, account: None }
    }

    /// Also lets in the pods of a service account of the cluster.
    pub fn admitting(self, upstream: Upstream, account: AgentAccount) -> Self {
        Self { account: Some((upstream, account)), ..self }
    }

    /// Whether tokens can be kept.
    pub fn is_writable(&self) -> bool {
        self.store.is_writable()
    }

    /// Makes a token for a node; one hour where no time is given.
    pub async fn new_token(
        &self,
        node: &str,
        ttl_s: Option<i64>,
        now: Timestamp,
    ) -> Result<NewToken, TokenError> {
        if !is_node_name(node) {
            return Err(TokenError::Node { node: node.chars().take(300).collect() });
        }
        let ttl_s = ttl_s.unwrap_or(TTL_DEFAULT_S);
        if !(1..=TTL_MAX_S).contains(&ttl_s) {
            return Err(TokenError::Ttl { ttl_s });
        }
        self.sweep(now).await?;
        let (id, secret) = (random_hex::<ID_BYTES>()?, random_hex::<SECRET_BYTES>()?);
        let expires = now + SignedDuration::from_secs(ttl_s);
        let value = json!({
            "apiVersion": "bulkhead.dev/v1",
            "kind": "JoinToken",
            "metadata": {"name": id, "creationTimestamp": format!("{now:.0}")},
            "spec": {"node": node, "secretSha256": hash(&secret), "expires": expires.to_string()},
        });
        self.store.commit(Write::create(key(&id), value).into()).await?;
        let token = format!("{TOKEN_PREFIX}.{id}.{secret}.{}", self.pki.ca_fingerprint());
        Ok(NewToken { id, node: node.to_owned(), token, expires })
    }

    /// Takes out what has expired; refuses when too many are left.
    async fn sweep(&self, now: Timestamp) -> Result<(), TokenError> {
        // The present is never compacted.
        let Ok(page) = self.store.list(&ListRequest::all(Scope::resource(RESOURCE))) else {
            return Ok(());
        };
        let mut n_left = page.items.len();
        for stored in page.items {
            if is_expired(&stored.value, now) {
                let gone = Write::Delete { key: stored.key.clone(), expect: Expect::Anything };
                self.store.commit(gone.into()).await?;
                n_left -= 1;
            }
        }
        if n_left >= TOKENS_MAX { Err(TokenError::TooMany) } else { Ok(()) }
    }

    /// Exchanges a token for a certificate. What is wrong with a token is logged, not told.
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinResponse, Status> {
        let node = match &self.account {
            Some((upstream, account)) if !request.token.starts_with(TOKEN_PREFIX) => {
                admitted(upstream, account, request).await?
            }
            _ => self.redeem(request, Timestamp::now()).await?,
        };
        let certificate = self
            .pki
            .sign_node(&node, &request.certificate_request)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.ensure_node(&node).await?;
        tracing::info!(%node, "a node joined");
        Ok(JoinResponse { certificate, authority: self.pki.ca_pem().to_owned() })
    }

    async fn redeem(&self, request: &JoinRequest, now: Timestamp) -> Result<String, Status> {
        let refused = |why: &str| {
            tracing::warn!(node = %request.node, why, "a join is refused");
            Status::unauthenticated(
                "the join token is not valid: it was used, has expired, or is for another node; get \
                 a new one from `bulkhead node token`",
            )
        };
        let parts: Vec<&str> = request.token.split('.').collect();
        let &[TOKEN_PREFIX, id, secret, _] = parts.as_slice() else {
            return Err(refused("the token is malformed"));
        };
        let stored = self.store.get(&key(id)).ok_or_else(|| refused("there is no such token"))?;
        let text = |pointer: &str| stored.value.pointer(pointer).and_then(Value::as_str);
        // Hashes are compared, so the time it takes tells nothing about the secret.
        if text("/spec/secretSha256") != Some(hash(secret).as_str()) {
            return Err(refused("the secret is wrong"));
        }
        if is_expired(&stored.value, now) {
            return Err(refused("the token has expired"));
        }
        if text("/spec/node") != Some(request.node.as_str()) {
            return Err(refused("the token is for another node"));
        }
        match self.store.commit(Write::delete(key(id), stored.revision).into()).await {
            Ok(_) => Ok(request.node.clone()),
            Err(CommitError::Moved { .. } | CommitError::Absent { .. }) => {
                Err(refused("the token was used a moment ago"))
            }
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn ensure_node(&self, node: &str) -> Result<(), Status> {
        let Some(objects) = &self.objects else { return Ok(()) };
        let object = json!({
            "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node}},
        });
        let options = WriteOptions::by(SERVER_MANAGER);
        match objects.create(kinds::by_id(Kind::Node), "", object, &options).await {
            Err(error) if error.reason != Reason::AlreadyExists => {
                Err(Status::unavailable(error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// The node, if the token is one of a pod there that may join.
async fn admitted(
    upstream: &Upstream,
    account: &AgentAccount,
    request: &JoinRequest,
) -> Result<String, Status> {
    let node = &request.node;
    if !is_node_name(node) {
        return Err(Status::invalid_argument("the node's name is none"));
    }
    match upstream.review(&request.token, account, node).await {
        Ok(()) => Ok(node.clone()),
        Err(ReviewError::Refused(why)) => {
            tracing::warn!(%node, %why, "a join is refused");
            Err(Status::unauthenticated(
                "the service account token is not valid for this node: it must be one of the agents' \
                 account, for the audience `bulkhead`, of a pod on this very node",
            ))
        }
        Err(error @ ReviewError::Unavailable(_)) => Err(Status::unavailable(error.to_string())),
    }
}

fn key(id: &str) -> Key {
    Key::new(RESOURCE, "", id)
}

/// An unreadable time is a time that has passed.
fn is_expired(token: &Value, now: Timestamp) -> bool {
    let expires = token.pointer("/spec/expires").and_then(Value::as_str);
    expires.and_then(|text| text.parse::<Timestamp>().ok()).is_none_or(|expires| expires <= now)
}

pub fn is_node_name(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_bytes<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| TokenError::Random)?;
    Ok(bytes)
}

fn random_hex<const N: usize>() -> Result<String, TokenError> {
    Ok(hex(&random_bytes::<N>()?))
}

/// Never shows the token.
impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
