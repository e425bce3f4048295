//! `bulkhead-lab bench-latency`: API write answered to first packet judged by it, and the memory of
//! the programs with the demo's world. The last line is one JSON object.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_api::Object;
use hdrhistogram::Histogram;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{complain, say};
use crate::lab::Lab;
use crate::manifests;
use crate::prober::Prober;
use crate::shop::Traffic;
use crate::world::World;

const PORT: u16 = 9999;
/// Changes before the measured ones.
const WARM_UP: usize = 20;
/// How long the programs rest, and the shop works, before their memory is read.
const SETTLE: Duration = Duration::from_secs(5);

pub async fn latency(changes: usize, is_clustered: bool, under_load: bool) -> Result<ExitCode> {
    let mut objects = manifests::read(&[Path::new("examples/shop").to_owned()])?;
    let world = World::from_objects(&objects)?;
    objects.extend(pods()?);
    bulkhead_api::addressing::assign(&mut objects);
    let mut lab = Lab::start(&objects, is_clustered).await?;
    let mut shop = Traffic::open(lab.net().clone(), &world.endpoints).await?;
    lab.apply(&objects).await?;
    lab.wait_enforced().await?;
    tokio::time::sleep(SETTLE).await;
    let agent_bytes = agents_bytes(&mut lab)?;

    if under_load {
        shop.begin();
    }
    let flips = flip(&lab, changes).await?;

    if !under_load {
        shop.begin();
    }
    tokio::time::sleep(SETTLE).await;
    if let Some((call, (times, error))) = shop.tally().failed.iter().next() {
        bail!("the shop does not work: {call} failed {times} times: {error}");
    }
    let server_bytes = match lab.follower() {
        Some(follower) => follower.process().resident_bytes()?,
        None => lab.server().process().resident_bytes()?,
    };
    let busy_bytes = agents_bytes(&mut lab)?;
    let ms = |quantile| flips.value_at_quantile(quantile) as f64 / 1e6;
    say(&serde_json::to_string(&json!({
        "api_to_packet_ms": {
            "p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "max": ms(1.0), "n": flips.len(),
        },
        "agent_rss_mb": megabytes(agent_bytes),
        "agent_busy_rss_mb": megabytes(busy_bytes),
        "server_rss_mb": megabytes(server_bytes),
    }))?);
    Ok(ExitCode::SUCCESS)
}

/// Two pods on one node of the shop, and a policy to be changed.
fn pods() -> Result<Vec<Object>> {
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "bench", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "shop-a", "containers": [{"name": "c", "image": "bench"}]},
        })
    };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "bench", "name": "flip"},
        "spec": {"podSelector": {"matchLabels": {"app": "target"}}, "policyTypes": ["Ingress"],
                 "ingress": [allow()]},
    });
    let objects = [pod("sender"), pod("target"), policy];
    objects.into_iter().map(|value| Ok(Object::from_value(value)?)).collect()
}

fn allow() -> serde_json::Value {
    json!({"from": [{"podSelector": {"matchLabels": {"app": "sender"}}}],
           "ports": [{"protocol": "UDP", "port": PORT}]})
}

async fn flip(lab: &Lab, changes: usize) -> Result<Histogram<u64>> {
    let policies: Api<NetworkPolicy> = Api::namespaced(lab.client().clone(), "bench");
    let prober = Prober::start(lab, "bench/sender", "bench/target", PORT).await?;
    prober.first_after(Instant::now(), true).await.context("before the first change")?;
    let mut times = Histogram::new_with_bounds(1, 10_000_000_000, 3)?;
    for change in 0..WARM_UP + changes {
        let passes = change % 2 == 1;
        let ingress = if passes { vec![allow()] } else { Vec::new() };
        let patch = Patch::Merge(json!({"spec": {"ingress": ingress}}));
        policies.patch("flip", &PatchParams::default(), &patch).await?;
        let answered = Instant::now();
        let took = prober.first_after(answered, passes).await;
        let took = took.with_context(|| format!("change {change} (passes: {passes})"))?;
        if change >= WARM_UP {
            times.record(u64::try_from(took.as_nanos())?.max(1))?;
        }
        if change % 200 == 0 {
            complain(&format!("bench-latency: {change} of {changes} changes"));
        }
    }
    prober.stop()?;
    Ok(times)
}

/// The largest of the agents.
fn agents_bytes(lab: &mut Lab) -> Result<u64> {
    let sizes = lab.agents().iter().map(|agent| agent.process().resident_bytes());
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    sizes.into_iter().max().context("the lab has no agent")
}

fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}
