//! Host endpoints: kept in step with profiles, nodes and settings, and compiled stage by stage.

use bulkhead_api::ObjectKey;
use bulkhead_api::object::Kind;

use super::{Engine, MemberKey};
use crate::facts::TouchedHosts;

impl Engine {
    pub(super) fn sync_hosts(&mut self, touched: TouchedHosts) {
        if touched.by_node {
            self.derived.touch_nodes();
        }
        for node in &touched.nodes {
            self.touch_node(node);
        }
        if touched.all_nodes {
            let nodes: Vec<String> = self.nodes.keys().cloned().collect();
            nodes.iter().for_each(|node| self.touch_node(node));
        }
        for host in touched.endpoints {
            let key = ObjectKey {
                kind: Kind::HostEndpoint,
                namespace: String::new(),
                name: host.name.clone(),
            };
            let said = self.inventory.hosts.diagnostics(&host);
            self.say(key, said);
            self.sync_member(MemberKey::Endpoint(host));
        }
    }
}
