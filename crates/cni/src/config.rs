//! The configuration on standard input and the words of the environment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bulkhead_types::EndpointId;
use serde::Deserialize;
use serde_json::Value;

use crate::VERSIONS;
use crate::error::{CniError, code};
use crate::local::{SOCKET, Slot, WAIT_MAX};

const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// As it is written in a configuration list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    #[serde(default)]
    cni_version: String,
    /// The agent's socket.
    socket: Option<PathBuf>,
    /// How long ADD waits for the policy.
    timeout_seconds: Option<f64>,
    prev_result: Option<Value>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid_attachments: Vec<RawSlot>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RawSlot {
    #[serde(default, rename = "containerID")]
    container: String,
    #[serde(default)]
    ifname: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub version: String,
    pub socket: PathBuf,
    pub wait: Duration,
    pub prev_result: Option<Value>,
    pub valid: BTreeSet<Slot>,
}

impl Config {
    pub fn parse(text: &str) -> Result<Self, CniError> {
        let undecodable = |error: serde_json::Error| {
            CniError::new(code::UNDECODABLE, "the network configuration cannot be read")
                .details(error.to_string())
        };
        let raw: RawConfig = serde_json::from_str(text).map_err(undecodable)?;
        // The specification's oldest version is what a configuration without one is in.
        let version = if raw.cni_version.is_empty() { "0.1.0" } else { &raw.cni_version };
        if !VERSIONS.contains(&version) {
            let known = VERSIONS.join(", ");
            let message = format!("CNI version {version} is not supported: {known} are");
            return Err(CniError::new(code::INCOMPATIBLE_VERSION, message));
        }
        let seconds = raw.timeout_seconds.unwrap_or(WAIT_DEFAULT.as_secs_f64());
        let wait = Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= WAIT_MAX);
        let wait = wait.ok_or_else(|| {
            let max = WAIT_MAX.as_secs();
            let message = format!("`timeoutSeconds` is {seconds}: give 0 to {max} seconds");
            CniError::new(code::INVALID_CONFIG, message)
        })?;
        let slot = |raw: RawSlot| Slot { container: raw.container, interface: raw.ifname };
        Ok(Self {
            version: version.to_owned(),
            socket: raw.socket.unwrap_or_else(|| SOCKET.into()),
            wait,
            prev_result: raw.prev_result.filter(|result| !result.is_null()),
            valid: raw.valid_attachments.into_iter().map(slot).collect(),
        })
    }
}

/// Whom `CNI_ARGS` says that the container is: a pod in the words of kubelets, or a Workload in ours.
pub fn endpoint_of(args: &str) -> Result<Option<EndpointId>, CniError> {
    let mut found = [const { String::new() }; 4];
    let keys = ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "BULKHEAD_NAMESPACE", "BULKHEAD_WORKLOAD"];
    for pair in args.split(';').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            let message = format!("`{pair}` in CNI_ARGS is no KEY=VALUE");
            return Err(CniError::new(code::INVALID_ENVIRONMENT, message));
        };
        for (_, place) in keys.iter().zip(&mut found).filter(|(known, _)| **known == key) {
            value.clone_into(place);
        }
    }
    let [pod_namespace, pod, namespace, workload] = found;
    Ok(match (pod.is_empty(), workload.is_empty()) {
        (true, true) => None,
        (false, _) => Some(EndpointId::pod(or_default(pod_namespace), pod)),
        (true, false) => Some(EndpointId::workload(or_default(namespace), workload)),
    })
}

fn or_default(namespace: String) -> String {
    if namespace.is_empty() { "default".to_owned() } else { namespace }
}
