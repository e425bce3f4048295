//! Connections as JSON. Names and order of the keys are a promise.

use std::io::Write;

use bulkhead_policy::reach::{Connection, End, Exposure, Extent, Matrix, Pods, Traffic, Within};
use bulkhead_policy::rule::{HttpMatch, HttpPath};
use serde::Serialize;

use super::exposure::ExposureJson;

#[derive(Debug, Serialize)]
struct MatrixJson {
    connections: Vec<ConnectionJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    within: Vec<WithinJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure: Option<Vec<ExposureJson>>,
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
    addresses: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Vec<HttpJson>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct HttpJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<PathJson>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum PathJson {
    Exact(String),
    Prefix(String),
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

pub fn write(
    out: &mut impl Write,
    matrix: &Matrix,
    exposures: Option<&[Exposure]>,
) -> anyhow::Result<()> {
    let exposure = exposures.map(|all| all.iter().map(ExposureJson::of).collect());
    let connections = matrix.connections.iter().map(ConnectionJson::of).collect();
    let within = matrix.within.iter().map(WithinJson::of).collect();
    serde_json::to_writer(&mut *out, &MatrixJson { connections, within, exposure })?;
    out.write_all(b"\n")?;
    Ok(())
}

pub fn allowed_json(traffic: &Traffic, extent: Option<&Extent>) -> Vec<AllowedJson> {
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
        End::Name(name) | End::Entry(name) => name.to_string(),
    }
}

impl ConnectionJson {
    fn of(connection: &Connection) -> Self {
        Self {
            src: end(&connection.src),
            dst: end(&connection.dst),
            allowed: allowed_json(&connection.allowed, None),
            extent: ExtentJson::of(Some(&connection.extent)),
        }
    }
}

impl WithinJson {
    fn of(within: &Within) -> Self {
        Self {
            workload: within.workload.to_string(),
            allowed: allowed_json(&within.allowed, None),
            extent: ExtentJson::of(Some(&within.extent)),
        }
    }
}

impl ExtentJson {
    fn of(extent: Option<&Extent>) -> Self {
        let some = |pods| extent.filter(|extent| extent.pods == pods).map(|_| "some");
        let (pods, addresses) = (some(Pods::Some), some(Pods::SomeAddresses));
        let is_v4 = extent.and_then(|extent| extent.is_v4);
        let requests = extent.and_then(|extent| extent.requests.as_deref());
        let http = requests.map(|requests| requests.iter().map(HttpJson::of).collect());
        Self { pods, addresses, ip_version: is_v4.map(|is_v4| if is_v4 { 4 } else { 6 }), http }
    }
}

impl HttpJson {
    fn of(request: &HttpMatch) -> Self {
        let paths = request.paths.iter().map(|path| match path {
            HttpPath::Exact(path) => PathJson::Exact(path.clone()),
            HttpPath::Prefix(path) => PathJson::Prefix(path.clone()),
        });
        Self { methods: request.methods.clone(), paths: paths.collect() }
    }
}
