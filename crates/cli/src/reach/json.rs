//! Connections as JSON. Names and order of the keys are a promise.

use std::io::Write;

use bulkhead_policy::reach::{Connection, End, Extent, Matrix, Pods, Traffic, Within};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct MatrixJson {
    connections: Vec<ConnectionJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    within: Vec<WithinJson>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionJson {
    src: String,
    dst: String,
    allowed: Vec<AllowedJson>,
    #[serde(flatten)]
    extent: ExtentJson,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WithinJson {
    workload: String,
    allowed: Vec<AllowedJson>,
    #[serde(flatten)]
    extent: ExtentJson,
}

/// Left out where it holds of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtentJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_version: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedJson {
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ports: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<String>,
    #[serde(flatten)]
    extent: ExtentJson,
}

pub fn write(out: &mut impl Write, matrix: &Matrix) -> anyhow::Result<()> {
    let connections = matrix.connections.iter().map(ConnectionJson::of).collect();
    let within = matrix.within.iter().map(WithinJson::of).collect();
    serde_json::to_writer(&mut *out, &MatrixJson { connections, within })?;
    out.write_all(b"\n")?;
    Ok(())
}

pub fn allowed_json(traffic: &Traffic, extent: Option<Extent>) -> Vec<AllowedJson> {
    let extent = ExtentJson::of(extent);
    let words = traffic.in_words().into_iter();
    words
        .map(|words| AllowedJson {
            protocol: words.protocol,
            ports: words.ports,
            source_ports: words.source_ports,
            types: words.types,
            numbers: words.numbers,
            extent: extent.clone(),
        })
        .collect()
}

pub fn end(end: &End) -> String {
    match end {
        End::Workload(name) => name.to_string(),
        End::Outside(range) => range.to_string(),
    }
}

impl ConnectionJson {
    fn of(connection: &Connection) -> Self {
        Self {
            src: end(&connection.src),
            dst: end(&connection.dst),
            allowed: allowed_json(&connection.allowed, None),
            extent: ExtentJson::of(Some(connection.extent)),
        }
    }
}

impl WithinJson {
    fn of(within: &Within) -> Self {
        Self {
            workload: within.workload.to_string(),
            allowed: allowed_json(&within.allowed, None),
            extent: ExtentJson::of(Some(within.extent)),
        }
    }
}

impl ExtentJson {
    fn of(extent: Option<Extent>) -> Self {
        let pods = extent.filter(|extent| extent.pods == Pods::Some).map(|_| "some");
        let is_v4 = extent.and_then(|extent| extent.is_v4);
        Self { pods, ip_version: is_v4.map(|is_v4| if is_v4 { 4 } else { 6 }) }
    }
}
