//! `bulkhead blast`: how far a compromised workload reaches, hop by hop, and by which rules.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use bulkhead_api::reach::{AllowedTraffic, NotComputed};
use bulkhead_policy::explain::RuleNames;
use bulkhead_policy::reach::{Blast, End, NOT_COMPUTED, Origin, Way, allowed, not_computed};
use bulkhead_types::EndpointId;
use serde::Serialize;

use crate::args::{self, Picture};
use crate::output::{self, Paint};
use crate::reach::graph::Graph;
use crate::reach::words::{GroundJson, because};
use crate::reach::{Asked, table};

pub fn run(command: &args::Blast) -> anyhow::Result<ExitCode> {
    let mut asked = Asked::read(&command.manifests, false, &command.when)?;
    let origin = origin(&asked, &command.from)?;
    let matrix = asked.matrix(None);
    let members = asked.members();
    let hops_max = command.depth.unwrap_or(u32::MAX);
    let blast = asked.reach.blast(&asked.engine, &matrix, &members, &origin, hops_max);
    let from = match &origin {
        Origin::Workload(name) => name.to_string(),
        Origin::Address(address) => address.to_string(),
    };
    let names = RuleNames::of(&asked.objects);
    let mut out = output::answers();
    let hosts = &matrix.not_computed;
    match command.output {
        Picture::Json => write_json(&mut out, &from, (&blast, &names), hosts)?,
        Picture::Table => {
            let paint = Paint::for_stdout();
            write_text(&mut out, &from, (&blast, &names), paint)?;
            table::write_not_computed(&mut out, hosts, paint)?;
        }
        Picture::Dot => graph(&origin, &blast).write_dot(&mut out)?,
        Picture::Mermaid => graph(&origin, &blast).write_mermaid(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// An address that a workload has is that workload.
fn origin(asked: &Asked, from: &str) -> anyhow::Result<Origin> {
    let Ok(address) = from.parse::<IpAddr>() else {
        let name = asked.owners.find(from)?;
        let mut hosts = asked.reach.hosts().map(|host| asked.owners.name_of(host));
        if hosts.any(|host| host == name) {
            bail!("`{name}` is a host: {NOT_COMPUTED}");
        }
        return Ok(Origin::Workload(name.into()));
    };
    let has_it = |host: &&EndpointId| {
        asked.engine.host_addresses(host).is_some_and(|all| all.contains(&address))
    };
    if let Some(host) = asked.reach.hosts().find(has_it) {
        bail!("{address} is an address of `{}`: {NOT_COMPUTED}", asked.owners.name_of(host));
    }
    Ok(match asked.engine.endpoint_at(address) {
        Some(endpoint) => Origin::Workload(asked.owners.name_of(&endpoint.id).into()),
        None => Origin::Address(address),
    })
}

/// Names and order of the keys are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlastJson<'a> {
    from: &'a str,
    reached: Vec<ReachedJson>,
    outside: Vec<WayJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_computed: Vec<NotComputed>,
}

#[derive(Debug, Serialize)]
struct ReachedJson {
    workload: String,
    hop: u32,
    ways: Vec<WayJson>,
}

#[derive(Debug, Serialize)]
struct WayJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    hop: Option<u32>,
    src: String,
    dst: String,
    allowed: Vec<AllowedTraffic>,
    rules: Vec<GroundJson>,
}

impl WayJson {
    fn of(hop: Option<u32>, way: &Way, names: &RuleNames) -> Self {
        Self {
            hop,
            src: way.src.to_string(),
            dst: way.dst.to_string(),
            allowed: allowed(&way.allowed, None),
            rules: way.grounds.iter().map(|ground| GroundJson::of(ground, names)).collect(),
        }
    }
}

fn write_json(
    out: &mut impl Write,
    from: &str,
    (blast, names): (&Blast, &RuleNames),
    hosts: &BTreeSet<Arc<str>>,
) -> anyhow::Result<()> {
    let reached = blast.reached.iter().map(|reached| ReachedJson {
        workload: reached.workload.to_string(),
        hop: reached.hop,
        ways: reached.ways.iter().map(|way| WayJson::of(None, way, names)).collect(),
    });
    let outside = blast.outside.iter().map(|(hop, way)| WayJson::of(Some(*hop), way, names));
    let blast = BlastJson {
        from,
        reached: reached.collect(),
        outside: outside.collect(),
        not_computed: not_computed(hosts),
    };
    serde_json::to_writer(&mut *out, &blast)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn write_text(
    out: &mut impl Write,
    from: &str,
    (blast, names): (&Blast, &RuleNames),
    paint: Paint,
) -> anyhow::Result<()> {
    if blast.reached.is_empty() && blast.outside.is_empty() {
        writeln!(out, "{from} reaches nothing")?;
        return Ok(());
    }
    let n_hops = blast.reached.iter().map(|reached| reached.hop).max().unwrap_or_default();
    for hop in 1..=n_hops.max(blast.outside.iter().map(|(hop, _)| *hop).max().unwrap_or_default()) {
        writeln!(out, "{}", paint.strong(&format!("hop {hop}")))?;
        for reached in blast.reached.iter().filter(|reached| reached.hop == hop) {
            for way in &reached.ways {
                write_way(out, way, names, paint)?;
            }
        }
        for (_, way) in blast.outside.iter().filter(|(at, _)| *at == hop) {
            write_way(out, way, names, paint)?;
        }
    }
    let n_out = blast.outside.len();
    writeln!(
        out,
        "{from} reaches {} in up to {}, with {}",
        counted(blast.reached.len(), "workload"),
        counted(usize::try_from(n_hops).unwrap_or(usize::MAX), "hop"),
        counted(n_out, "way") + " out"
    )?;
    Ok(())
}

fn counted(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

fn write_way(
    out: &mut impl Write,
    way: &Way,
    names: &RuleNames,
    paint: Paint,
) -> anyhow::Result<()> {
    let (src, dst) = (way.src.to_string(), way.dst.to_string());
    let dst = if table::is_outside(&way.dst) { paint.bad(&dst) } else { dst };
    writeln!(out, "  {src} -> {dst}: {}", way.allowed.in_short())?;
    for ground in &way.grounds {
        let what = match way.grounds.len() {
            1 => String::new(),
            _ => format!("{}: ", ground.allowed.in_short()),
        };
        for (name, rule) in [("egress", &ground.egress), ("ingress", &ground.ingress)] {
            if let Some(rule) = rule {
                let line = format!("    {what}{name} {}", because(rule, names));
                writeln!(out, "{}", paint.faint(&line))?;
            }
        }
    }
    Ok(())
}

fn graph(origin: &Origin, blast: &Blast) -> Graph {
    let mut graph = Graph::default();
    if let Origin::Workload(name) = origin {
        graph.mark(&End::Workload(Arc::clone(name)), "red");
    }
    let ways = blast.reached.iter().flat_map(|reached| &reached.ways);
    for way in ways.chain(blast.outside.iter().map(|(_, way)| way)) {
        graph.connect(&way.src, &way.dst, way.allowed.in_short(), None);
    }
    graph
}
