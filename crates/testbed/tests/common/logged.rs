//! What a table says of Log rules, held against the flows that nodes tell.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_api::flow::{Flow, FlowEnd, FlowEvent, FlowLine, FlowRule};
use bulkhead_lab::Lab;
use bulkhead_testbed::cases::Row;
use bulkhead_types::{Decision, Direction};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Where the flows of the packets that come now begin.
pub fn mark(lab: &Lab) -> Result<usize> {
    Ok(flows(lab)?.len())
}

/// Waits for a flow of each row at each end that says something of it. Returns what does not come.
pub async fn faults(lab: &Lab, rows: &[Row], mark: usize) -> Result<Vec<String>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let flows = flows(lab)?.split_off(mark);
        let missing: Vec<String> = rows.iter().filter_map(|row| missing(row, &flows)).collect();
        if missing.is_empty() || Instant::now() > until {
            return Ok(missing);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Those that tell how a flow was judged.
fn flows(lab: &Lab) -> Result<Vec<Flow>> {
    let mut command = Command::new(&lab.programs().cli);
    command.args(["flows", "--output", "json"]).env("KUBECONFIG", lab.kubeconfig());
    let output = command.output().context("`bulkhead flows` does not start")?;
    if !output.status.success() {
        bail!("`bulkhead flows`: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut flows = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match serde_json::from_str(line)? {
            FlowLine::Flow(flow) if matches!(flow.event, FlowEvent::New | FlowEvent::Denied) => {
                flows.push(*flow);
            }
            FlowLine::Flow(_) => {}
            FlowLine::Gap(_) => bail!("flows were missed"),
        }
    }
    Ok(flows)
}

fn missing(row: &Row, flows: &[Flow]) -> Option<String> {
    let wants = |direction: Direction| {
        let logged = logged(row, direction);
        // An end that the packet reaches and that logs nothing is told too.
        let is_told = direction == Direction::Ingress && row.verdict == Decision::Allow;
        (is_told || !logged.is_empty()).then_some((direction, logged))
    };
    let mut wanted = Direction::BOTH.into_iter().filter_map(wants);
    let (direction, logged) = wanted.find(|(direction, logged)| {
        let of_row = flows.iter().filter(|flow| is_of(row, *direction, flow));
        !of_row.into_iter().any(|flow| words(&flow.logged) == *logged)
    })?;
    let told: Vec<Vec<String>> = flows
        .iter()
        .filter(|flow| is_of(row, direction, flow))
        .map(|flow| words(&flow.logged))
        .collect();
    let Row { line, from, to, traffic, .. } = row;
    Some(format!(
        "{line}: {from} -> {to} {traffic:?}: {direction} logged {logged:?}, told {told:?}"
    ))
}

/// From `…; ingress logged: GlobalNetworkPolicy db rule 0, GlobalNetworkPolicy db rule 2; …`.
fn logged(row: &Row, direction: Direction) -> Vec<String> {
    let head = format!("{direction} logged: ");
    let part = row.decided_by.split("; ").find_map(|part| part.strip_prefix(&head));
    part.into_iter().flat_map(|rules| rules.split(", ")).map(str::to_owned).collect()
}

fn words(rules: &[FlowRule]) -> Vec<String> {
    let words = |rule: &FlowRule| match (&rule.policy, rule.index) {
        (Some(policy), Some(index)) if policy.namespace.is_empty() => {
            format!("{} {} rule {index}", policy.kind, policy.name)
        }
        (Some(policy), Some(index)) => {
            format!("{} {}/{} rule {index}", policy.kind, policy.namespace, policy.name)
        }
        _ => "profile".to_owned(),
    };
    rules.iter().map(words).collect()
}

fn is_of(row: &Row, direction: Direction, flow: &Flow) -> bool {
    let traffic = row.traffic;
    let is = |end: &FlowEnd, name: &str| {
        end.endpoint.as_ref().is_some_and(|id| format!("{}/{}", id.namespace, id.name) == name)
            || end.address.to_string() == name
    };
    let is_kind = flow.icmp.is_none_or(|icmp| icmp.icmp_type == traffic.icmp_type);
    flow.direction == direction
        && is(&flow.src, &row.from)
        && is(&flow.dst, &row.to)
        && flow.protocol == traffic.protocol.to_string()
        && flow.dst.port.is_none_or(|port| port == traffic.port)
        && flow.dst.address.is_ipv6() == traffic.v6
        && is_kind
}
