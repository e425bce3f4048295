//! Every Markdown case of the policy crate on real packets: the same worlds, policies and tables,
//! through server, agents and kernel.
//!
//! One lab a file, on two nodes, so that connections within a node and between nodes both occur. The
//! same tables are held against the engines in `crates/policy/tests/cases.rs`; what passes there and
//! fails here is wrong on the way to the kernel. Sections that say `Offline: why` are not for packets;
//! they are named and counted. Of sections about Log rules the flows that nodes tell are held against the
//! table too.
#![expect(clippy::panic, reason = "tests fail by panic")]
#![expect(clippy::print_stdout, reason = "what is not on packets is named and counted")]

#[path = "common/logged.rs"]
mod logged;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_api::Object;
use bulkhead_lab::probe::Patience;
use bulkhead_lab::{Lab, Probe};
use bulkhead_testbed::cases::{self, Case, CaseFile, Row};
use bulkhead_types::Decision;

/// Long enough for an answer within one machine; a row that should have passed is asked again with
/// more patience before it counts as a fault.
const HASTE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/cases")
}

macro_rules! files {
    ($($test:ident $file:literal)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            holds_in_the_kernel($file).await;
        })*

        #[test]
        fn every_file_is_listed_here() {
            let listed: BTreeSet<String> = [$($file.to_owned()),*].into();
            let files = cases::read_folder(&folder()).unwrap();
            let stem = |file: &CaseFile| file.path.file_stem().unwrap().to_string_lossy().into();
            let found: BTreeSet<String> = files.iter().map(stem).collect();
            assert_eq!(found, listed);
        }
    };
}

files! {
    admin_policies "admin-policies"
    calico_actions "calico-actions"
    calico_named_ports "calico-named-ports"
    calico_namespaces "calico-namespaces"
    calico_nets "calico-nets"
    calico_order "calico-order"
    calico_ports "calico-ports"
    calico_sides "calico-sides"
    calico_tiers "calico-tiers"
    calico_ties "calico-ties"
    calico_types "calico-types"
    closed "closed"
    cluster_policies "cluster-policies"
    domains "domains"
    expires "expires"
    finished_pods "finished-pods"
    hosts "hosts"
    hosts_failsafe "hosts-failsafe"
    hosts_stages "hosts-stages"
    http "http"
    icmp "icmp"
    ip_versions "ip-versions"
    k8s_egress "k8s-egress"
    k8s_ingress "k8s-ingress"
    k8s_ipblock "k8s-ipblock"
    k8s_peers "k8s-peers"
    k8s_ports "k8s-ports"
    k8s_several "k8s-several"
    k8s_types "k8s-types"
    log "log"
    missing_tiers "missing-tiers"
    mixed "mixed"
    network_sets "network-sets"
    profiles "profiles"
    protocols "protocols"
    selectors "selectors"
    service_accounts "service-accounts"
    services "services"
    staged "staged"
    workloads "workloads"
}

async fn holds_in_the_kernel(name: &str) {
    let path = folder().join(format!("{name}.md"));
    let file = cases::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let faults = try_all(&file).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn try_all(file: &CaseFile) -> Result<Vec<String>> {
    let (offline, on_packets): (Vec<&Case>, Vec<&Case>) =
        file.cases.iter().partition(|case| case.offline.is_some());
    for case in &offline {
        let why = case.offline.as_deref().unwrap_or_default();
        println!("offline: {}:{}: {}: {why}", file.path.display(), case.line, case.sentence);
    }
    println!("{} cases on packets, {} offline", on_packets.len(), offline.len());
    if on_packets.is_empty() {
        return Ok(Vec::new());
    }
    let mut lab = Lab::up(&spread(&file.world)).await?;
    let mut faults = Vec::new();
    for case in on_packets {
        let at = || format!("{}:{}: {}", file.path.display(), case.line, case.sentence);
        lab.apply(&case.policies).await.with_context(at)?;
        lab.wait_enforced().await.with_context(at)?;
        faults.extend(try_one(&mut lab, file, case).await.with_context(at)?);
        lab.delete(&case.policies).await.with_context(at)?;
    }
    Ok(faults)
}

async fn try_one(lab: &mut Lab, file: &CaseFile, case: &Case) -> Result<Vec<String>> {
    let probes: Vec<Probe> = case.rows.iter().map(probe).collect();
    let is_logged = case.rows.iter().any(|row| row.decided_by.contains(" logged: "));
    let mark = if is_logged { Some(logged::mark(lab)?) } else { None };
    lab.patience = Patience { timeout: HASTE, attempts: 2, ..Patience::default() };
    let outcomes = lab.probe(&probes).await?;
    let mut faults = Vec::new();
    for ((row, probe), outcome) in case.rows.iter().zip(&probes).zip(outcomes) {
        let is_meant = row.verdict == Decision::Allow;
        let mut connected = outcome.connected;
        if is_meant && !connected {
            lab.patience = Patience { timeout: PATIENCE, attempts: 2, ..Patience::default() };
            connected = lab.connects(probe).await?;
        }
        if connected != is_meant {
            let meets = if connected { "an answer" } else { "no answer" };
            let Row { from, to, traffic, verdict, .. } = row;
            faults.push(format!(
                "{}:{}: {from} -> {to} {traffic:?}: expected {verdict}, there was {meets} ({})",
                file.path.display(),
                row.line,
                case.sentence
            ));
        }
    }
    if let Some(mark) = mark {
        let missing = logged::faults(lab, &case.rows, mark).await?;
        let at = |fault| format!("{}:{fault} ({})", file.path.display(), case.sentence);
        faults.extend(missing.into_iter().map(at));
    }
    Ok(faults)
}

fn probe(row: &Row) -> Probe {
    let traffic = row.traffic;
    let mut probe = Probe::new(&row.from, &row.to, traffic.protocol, traffic.port);
    if traffic.protocol.is_icmp() {
        probe.icmp_type = Some(traffic.icmp_type);
        probe.icmp_code = Some(traffic.icmp_code);
    }
    if traffic.v6 { probe.v6() } else { probe }
}

/// Every other pod on the second node.
fn spread(world: &[Object]) -> Vec<Object> {
    let mut world = world.to_vec();
    let pods = world.iter_mut().filter_map(|object| match object {
        Object::Pod(pod) => Some(pod),
        _ => None,
    });
    for (pod, node) in pods.zip(["one", "two"].into_iter().cycle()) {
        pod.spec.get_or_insert_default().node_name = Some(node.to_owned());
    }
    world
}
