//! What workloads are open to beyond the workloads that exist, for people and as JSON.

use std::io::Write;

use bulkhead_api::reach::AllowedTraffic;
use bulkhead_policy::reach::{self, Exposure, Imagined, Peer, Sandbox};
use bulkhead_types::Labels;
use serde::Serialize;

use super::{Asked, table};
use crate::output::{self, Paint};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposureJson {
    workload: String,
    direction: String,
    protected: bool,
    open_to: Vec<PeerJson>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerJson {
    peer: PeerName,
    allowed: Vec<AllowedTraffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_version: Option<u8>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum PeerName {
    Cluster,
    Outside,
    Pods(PodsJson),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    namespace_labels: Labels,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<String>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    service_account_labels: Labels,
}

impl Asked {
    pub fn exposures(&self) -> Vec<Exposure> {
        let sandbox = Sandbox::of(&self.reach, &self.engine);
        if sandbox.is_cut_short {
            output::complain("warning: more kinds of peers are named than are asked about");
        }
        let mut objects = self.objects.clone();
        objects.extend(sandbox.objects.iter().cloned());
        let mut with = self.with(objects);
        with.reach.exposure(&with.engine, &self.members(), &sandbox)
    }
}

impl ExposureJson {
    pub fn of(exposure: &Exposure) -> Self {
        let peers = exposure.peers.iter();
        Self {
            workload: exposure.workload.to_string(),
            direction: exposure.direction.to_string(),
            protected: exposure.is_protected,
            open_to: peers
                .map(|(peer, allowed)| PeerJson {
                    peer: PeerName::of(peer),
                    allowed: reach::allowed(allowed, None),
                    ip_version: match peer {
                        Peer::Outside { is_v4 } => is_v4.map(|is_v4| if is_v4 { 4 } else { 6 }),
                        Peer::Cluster | Peer::Pods(_) => None,
                    },
                })
                .collect(),
        }
    }
}

impl PeerName {
    fn of(peer: &Peer) -> Self {
        let Peer::Pods(pod) = peer else {
            return if *peer == Peer::Cluster { PeerName::Cluster } else { PeerName::Outside };
        };
        let Imagined { namespace, namespace_labels, labels, service_account, .. } = pod.clone();
        let service_account_labels = pod.service_account_labels.clone();
        PeerName::Pods(PodsJson {
            namespace,
            namespace_labels,
            labels,
            service_account,
            service_account_labels,
        })
    }
}

pub fn write(out: &mut impl Write, exposures: &[Exposure], paint: Paint) -> anyhow::Result<()> {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for exposure in exposures {
        let workload = exposure.workload.to_string();
        let direction = match exposure.is_protected {
            true => exposure.direction.to_string(),
            false => format!("{} (no policy)", exposure.direction),
        };
        for (peer, allowed) in &exposure.peers {
            let peer = match peer {
                Peer::Cluster => "any pod".to_owned(),
                Peer::Outside { is_v4: None } => "any address outside".to_owned(),
                Peer::Outside { is_v4: Some(true) } => "any IPv4 address outside".to_owned(),
                Peer::Outside { is_v4: Some(false) } => "any IPv6 address outside".to_owned(),
                Peer::Pods(pod) => pod.to_string(),
            };
            rows.push([workload.clone(), direction.clone(), peer, allowed.in_short()]);
        }
        if exposure.peers.is_empty() {
            rows.push([workload, direction, "nobody else".to_owned(), "nothing".to_owned()]);
        }
    }
    writeln!(out)?;
    table::write_rows(out, ["WORKLOAD", "DIRECTION", "OPEN TO", "ALLOWED"], &rows, paint)
}
