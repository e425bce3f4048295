//! Follows the flows that the server tells, and adds them up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bulkhead_api::flow::{self, Flow, FlowEvent, FlowLine, FlowRule};
use bulkhead_types::Decision;
use futures::{AsyncBufReadExt, StreamExt};
use kube::Client;
use tokio::task::JoinHandle;

/// Sums over all flows since the follower began.
#[derive(Clone, Debug, Default)]
pub struct FlowSums {
    pub n_allowed: u64,
    pub n_denied: u64,
    pub n_late_denied: u64,
    pub n_missed: u64,
    /// How many flows each rule denied.
    pub denied_by: BTreeMap<String, u64>,
    /// Source, destination, protocol and destination port of denied flows.
    pub denied: BTreeSet<(IpAddr, IpAddr, String, u16)>,
}

/// A task that follows; it ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    sums: Arc<Mutex<FlowSums>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Returns once the server has begun to answer, so no later flow is missed.
    pub async fn start(client: &Client) -> Result<Self> {
        let path = format!("{}?follow=true&limit=0", flow::PATH);
        let request = hyper::Request::get(path).body(Vec::new())?;
        let stream = client.request_stream(request).await.context("cannot follow the flows")?;
        let sums = Arc::new(Mutex::new(FlowSums::default()));
        let into = Arc::clone(&sums);
        let task = tokio::spawn(async move {
            let mut lines = Box::pin(stream.lines());
            while let Some(Ok(line)) = lines.next().await {
                match serde_json::from_str(&line) {
                    Ok(line) => into.lock().unwrap_or_else(PoisonError::into_inner).add(line),
                    Err(error) => tracing::warn!("the flow line `{line}` cannot be read: {error}"),
                }
            }
        });
        Ok(Self { sums, task })
    }

    pub fn sums(&self) -> FlowSums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FlowSums {
    fn add(&mut self, line: FlowLine) {
        match line {
            FlowLine::Gap(gap) => self.n_missed += gap.missed,
            FlowLine::Flow(flow) => self.add_flow(&flow),
        }
    }

    fn add_flow(&mut self, flow: &Flow) {
        match flow.event {
            FlowEvent::New => self.n_allowed += 1,
            FlowEvent::Denied => self.n_denied += 1,
            FlowEvent::LateDenied => self.n_late_denied += 1,
            FlowEvent::Ended | FlowEvent::Update => return,
        }
        if flow.verdict == Decision::Deny {
            *self.denied_by.entry(rule_text(&flow.rule)).or_default() += 1;
            let port = flow.dst.port.unwrap_or_default();
            self.denied.insert((flow.src.address, flow.dst.address, flow.protocol.clone(), port));
        }
    }
}

/// A rule in words, such as `platform: GlobalNetworkPolicy platform.metrics, ingress rule 1`.
pub fn rule_text(rule: &FlowRule) -> String {
    let mut text = String::new();
    if let Some(tier) = &rule.tier {
        let _ = write!(text, "{tier}: ");
    }
    match (&rule.policy, &rule.profile) {
        (Some(policy), _) => {
            let namespace = &policy.namespace;
            let slash = if namespace.is_empty() { "" } else { "/" };
            let _ = write!(text, "{} {namespace}{slash}{}", policy.kind, policy.name);
            if let (Some(direction), Some(index)) = (rule.direction, rule.index) {
                let _ = write!(text, ", {direction} rule {index}");
            }
        }
        (None, Some(profile)) => {
            let _ = write!(text, "profile {profile}");
        }
        (None, None) if rule.tier.is_some() => text.push_str("end of the tier"),
        (None, None) => text.push_str("no program could say"),
    }
    text
}
