//! Connections as they are told: the one form of the offline tools and of the server.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_api::reach::{
    AllowedTraffic, NotComputed, ReachConnection, ReachExtent, ReachPath, ReachReport,
    ReachRequests, ReachUnenforced, ReachWithin,
};

use super::matrix::{Connection, Extent, Matrix, NOT_COMPUTED, Pods, Unenforced, Within};
use super::traffic::Traffic;
use crate::rule::{HttpMatch, HttpPath};

impl Matrix {
    pub fn report(&self) -> ReachReport {
        ReachReport {
            resource_version: None,
            connections: self.connections.iter().map(connection).collect(),
            within: self.within.iter().map(within).collect(),
            unenforced: self.unenforced.iter().map(unenforced).collect(),
            not_computed: not_computed(&self.not_computed),
        }
    }
}

pub fn not_computed(ends: &BTreeSet<Arc<str>>) -> Vec<NotComputed> {
    let because = NOT_COMPUTED.to_owned();
    ends.iter().map(|end| NotComputed { end: end.to_string(), because: because.clone() }).collect()
}

/// The traffic protocol by protocol; each with the extent, if one is given.
pub fn allowed(traffic: &Traffic, extent: Option<&Extent>) -> Vec<AllowedTraffic> {
    let extent = extent.map(self::extent).unwrap_or_default();
    let words = traffic.in_words().into_iter();
    words
        .map(|words| AllowedTraffic {
            protocol: words.protocol,
            ports: words.ports,
            source_ports: words.source_ports,
            types: words.types,
            numbers: words.numbers,
            extent: extent.clone(),
        })
        .collect()
}

fn connection(connection: &Connection) -> ReachConnection {
    ReachConnection {
        src: connection.src.to_string(),
        dst: connection.dst.to_string(),
        allowed: allowed(&connection.allowed, None),
        extent: extent(&connection.extent),
    }
}

fn within(within: &Within) -> ReachWithin {
    ReachWithin {
        workload: within.workload.to_string(),
        allowed: allowed(&within.allowed, None),
        extent: extent(&within.extent),
    }
}

fn unenforced(unenforced: &Unenforced) -> ReachUnenforced {
    ReachUnenforced {
        workload: unenforced.workload.to_string(),
        pods: (unenforced.pods == Pods::Some).then(|| "some".to_owned()),
        because: Unenforced::BECAUSE.to_owned(),
    }
}

fn extent(extent: &Extent) -> ReachExtent {
    let some = |pods| (extent.pods == pods).then(|| "some".to_owned());
    let asked = extent.requests.as_deref();
    ReachExtent {
        pods: some(Pods::Some),
        addresses: some(Pods::SomeAddresses),
        ip_version: extent.is_v4.map(|is_v4| if is_v4 { 4 } else { 6 }),
        http: asked.map(|asked| asked.iter().map(requests).collect()),
    }
}

fn requests(asked: &HttpMatch) -> ReachRequests {
    let paths = asked.paths.iter().map(|path| match path {
        HttpPath::Exact(path) => ReachPath::Exact(path.clone()),
        HttpPath::Prefix(path) => ReachPath::Prefix(path.clone()),
    });
    ReachRequests { methods: asked.methods.clone(), paths: paths.collect() }
}
