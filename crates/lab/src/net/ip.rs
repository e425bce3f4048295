//! Runs iproute2 and sets kernel switches.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::netns::{NetNs, Walker};

/// Runs many `ip` commands in one process; `netns` is where they act, else the root namespace.
pub async fn batch(netns: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    command.args(["-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run `ip` (Debian package iproute2)")?;
    let mut stdin = child.stdin.take().context("`ip` has no standard input")?;
    let (written, output) = tokio::join!(
        async move { stdin.write_all(lines.as_bytes()).await },
        child.wait_with_output()
    );
    let output = output?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let at = netns.unwrap_or("the root namespace");
        let line = stderr.rsplit(':').next().and_then(|n| n.trim().parse::<usize>().ok());
        let line = line.and_then(|n| lines.lines().nth(n.saturating_sub(1))).unwrap_or_default();
        bail!("`ip {line}` in {at}: {}", stderr.trim());
    }
    written.context("`ip` stopped reading its commands")
}

/// Switches of every namespace of a lab: no duplicate address detection, no ICMP rate limits.
const COMMON: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

const ROUTER: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
];

pub fn set_switches(walker: &Walker, netns: &NetNs, router: bool) -> Result<()> {
    walker.within(netns, move || {
        let router = if router { ROUTER } else { &[] };
        for (name, value) in COMMON.iter().chain(router) {
            let path = format!("/proc/sys/{name}");
            std::fs::write(&path, value).with_context(|| format!("cannot set `{path}`"))?;
        }
        Ok(())
    })
}
