//! Everything that is allowed: to workloads, ranges and names, through ways in, and to requests. One
//! answer for the offline tools and for the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_types::EndpointId;

use super::Reach;
use super::matrix::{End, Matrix};
use super::requests::{self, Open};
use crate::engine::Engine;

/// What else is to be told than what packets may do.
pub struct Beyond<'a> {
    /// The same world without requests; `None` where no rule asks for one.
    pub open: Option<&'a mut Open>,
    /// The ways in, with the services that they lead to and what stands behind these; other objects
    /// do not matter.
    pub entries: &'a [Object],
}

impl Reach {
    /// `focus`: only connections with an end that it names. The engine must be as it was when last
    /// followed.
    pub fn whole(
        &mut self,
        engine: &Engine,
        name_of: &dyn Fn(&EndpointId) -> String,
        focus: Option<&BTreeSet<String>>,
        beyond: Beyond<'_>,
    ) -> Matrix {
        let mut matrix = self.matrix(name_of, focus);
        let members = self.members(name_of);
        let mut more = Vec::new();
        if let Some(open) = beyond.open {
            let granted = open.reach.matrix(name_of, focus);
            more = requests::granted(engine, &matrix, (open, &granted), &members);
        }
        self.add_names(engine, &members, &mut matrix);
        more.extend(self.entries(engine, beyond.entries, name_of));
        matrix.connections.extend(more);
        let is_wanted = |end: &End| match (end, focus) {
            (_, None) => true,
            (End::Workload(name), Some(focus)) => focus.contains(name.as_ref()),
            (_, Some(_)) => false,
        };
        matrix.connections.retain(|c| is_wanted(&c.src) || is_wanted(&c.dst));
        matrix.connections.sort_unstable();
        matrix
    }

    /// The endpoints of each workload.
    pub fn members(
        &self,
        name_of: &dyn Fn(&EndpointId) -> String,
    ) -> BTreeMap<Arc<str>, Vec<EndpointId>> {
        let mut members: BTreeMap<Arc<str>, Vec<EndpointId>> = BTreeMap::new();
        for endpoint in self.endpoints() {
            members.entry(name_of(endpoint).into()).or_default().push(endpoint.clone());
        }
        members.values_mut().for_each(|endpoints| endpoints.sort_unstable());
        members
    }
}
