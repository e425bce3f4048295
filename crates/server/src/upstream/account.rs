//! Agents that join as what they are in the cluster: pods of one service account.
//!
//! A pod's token is bound to the pod, and the pod to its node: the API server says which, so a node can
//! join as itself only. Tokens for this have an audience of their own, so that none that was meant for
//! the API server is ever shown to us.

use std::str::FromStr;

use axum::http::Request;
use bulkhead_apimachinery::meta;
use bulkhead_store::{Key, Store};
use kube::core::params::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Upstream;
use super::backoff::Backoff;
use crate::objects::SERVER_MANAGER;
use crate::random;

/// Whom a token must be meant for.
pub const AUDIENCE: &str = "bulkhead";
/// The ConfigMap that tells agents the certificate of our CA, beside them.
pub const CA_CONFIG_MAP: &str = "bulkhead-ca";
const CA_FILE: &str = "ca.crt";

/// The service account of agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentAccount {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no NAMESPACE/NAME of a service account")]
pub struct NoAccount;

#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error("{0}")]
    Refused(String),
    #[error("the API server cannot be asked: {0}")]
    Unavailable(#[from] Box<kube::Error>),
}

impl FromStr for AgentAccount {
    type Err = NoAccount;

    fn from_str(text: &str) -> Result<Self, NoAccount> {
        let (namespace, name) = text.split_once('/').ok_or(NoAccount)?;
        let is_name = crate::join::is_node_name;
        if !is_name(namespace) || !is_name(name) {
            return Err(NoAccount);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl AgentAccount {
    fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl Upstream {
    /// Whether the token is one of a pod of the account, on this node.
    pub async fn review(
        &self,
        token: &str,
        account: &AgentAccount,
        node: &str,
    ) -> Result<(), ReviewError> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        });
        let request = Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| Box::new(kube::Error::HttpError(error)))?;
        let review: Value = self.0.client.request(request).await.map_err(Box::new)?;
        let status = review.get("status").cloned().unwrap_or_default();
        let refused = |why: String| Err(ReviewError::Refused(why));
        if status.get("authenticated") != Some(&Value::Bool(true)) {
            let why = status.get("error").and_then(Value::as_str).unwrap_or_default();
            return refused(format!("the API server does not know the token: {why}"));
        }
        let audiences = status.get("audiences").and_then(Value::as_array);
        if !audiences.is_some_and(|audiences| audiences.iter().any(|one| one == AUDIENCE)) {
            return refused(format!("the token is not meant for `{AUDIENCE}`"));
        }
        let user = status.pointer("/user/username").and_then(Value::as_str).unwrap_or_default();
        if user != account.user() {
            return refused(format!("the token is `{user}`'s, not `{}`'s", account.user()));
        }
        match self.node_of(&status, account) {
            Some(at) if at == node => Ok(()),
            Some(at) => refused(format!("the token is of a pod on node `{at}`")),
            None => refused("the token is of no pod that is known to run on a node".to_owned()),
        }
    }

    /// Where the pod of a reviewed token runs: the API server says it, or else the pod does.
    fn node_of(&self, status: &Value, account: &AgentAccount) -> Option<String> {
        let extra = |name: &str| {
            let key = format!("authentication.kubernetes.io/{name}");
            status.pointer("/user/extra")?.get(key)?.get(0)?.as_str()
        };
        if let Some(node) = extra("node-name") {
            return Some(node.to_owned());
        }
        let (name, uid) = (extra("pod-name")?, extra("pod-uid")?);
        let pod = self.mirror().get(&Key::new("pods", account.namespace.as_str(), name))?;
        let node = pod.value.pointer("/spec/nodeName")?.as_str()?;
        (meta::text(&pod.value, "uid") == uid).then(|| node.to_owned())
    }

    /// Tells agents the certificate of our CA; comes again until it is told.
    pub async fn publish_ca(&self, account: &AgentAccount, ca_pem: &str) {
        let mut backoff = Backoff::default();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": CA_CONFIG_MAP, "namespace": account.namespace},
            "data": {CA_FILE: ca_pem},
        });
        let path = format!("/api/v1/namespaces/{}/configmaps", account.namespace);
        let params = PatchParams::apply(SERVER_MANAGER).force();
        loop {
            let request = kube::core::Request::new(path.as_str())
                .patch(CA_CONFIG_MAP, &params, &Patch::Apply(&map))
                .map_err(kube::Error::BuildRequest);
            let told = match request {
                Ok(request) => self.0.client.request::<Value>(request).await.map(drop),
                Err(error) => Err(error),
            };
            match told {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "ConfigMap `{CA_CONFIG_MAP}` cannot be written yet");
                }
            }
            tokio::time::sleep(backoff.next(random::number())).await;
        }
    }
}
