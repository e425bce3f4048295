//! Agents enforce with the capabilities that the files under `deploy/` give them, and no others.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panic")]

#[path = "common/pair.rs"]
mod pair;

use std::path::Path;

use bulkhead_api::Object;
use bulkhead_lab::{Lab, Probe};
use pair::mk_world;
use serde_json::json;

/// What stands between `from` and `to` in a file under `deploy/`, as setpriv calls it.
fn granted(file: &str, from: &str, to: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once(from).unwrap();
    let (names, _) = rest.split_once(to).unwrap();
    let words = names.split([' ', ',']).filter(|word| !word.is_empty());
    let names = words.map(|word| format!("+{}", word.trim_start_matches("CAP_").to_lowercase()));
    format!("-all,{}", names.collect::<Vec<_>>().join(","))
}

fn closed() -> Vec<Object> {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": "closed"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]},
    });
    vec![Object::from_value(policy).unwrap()]
}

/// On the other back end each time, so that nothing is left of an agent that might do more.
async fn enforces_with(bounds: &str) {
    let mut lab = Lab::up(&mk_world()).await.unwrap();
    let probe = Probe::tcp("app/client", "app/server", 80);
    for backend in ["nftables", "ebpf"] {
        for agent in lab.agents() {
            agent.kill().await.unwrap();
            agent.set_flag("--backend", backend.to_owned());
            let bounded =
                ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set", bounds];
            agent.restart_within(&bounded.map(str::to_owned)).unwrap();
        }
        lab.apply(&closed()).await.unwrap();
        lab.wait_enforced().await.unwrap_or_else(|error| panic!("{backend}, {bounds}: {error:#}"));
        assert!(!lab.connects(&probe).await.unwrap(), "{backend}, {bounds}: denied");
        lab.delete(&closed()).await.unwrap();
        lab.wait_enforced().await.unwrap();
        assert!(lab.connects(&probe).await.unwrap(), "{backend}, {bounds}: allowed");
        lab.check().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enforces_with_what_its_unit_grants() {
    enforces_with(&granted("systemd/bulkhead-agent.service", "CapabilityBoundingSet=", "\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enforces_with_what_its_manifest_grants() {
    enforces_with(&granted("cluster/agent.yaml", "add: [", "]")).await;
}
