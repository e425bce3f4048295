//! Ports of bridges pass nothing, in a table of the family of devices that has our table's name.

use std::collections::BTreeMap;

use super::Table;
use crate::nft::expr::{End, Rule};
use crate::nft::objects::{Change, NETDEV};
use crate::node::EnforceError;

/// Of the family of devices.
const HOOK_INGRESS: u32 = 0;
const HOOK_EGRESS: u32 = 1;

impl Table {
    /// What goes over a bridge is out of sight, so nothing may.
    pub fn bar(&mut self, bridged: BTreeMap<u32, String>) -> Result<(), EnforceError> {
        if bridged == self.bridged {
            return Ok(());
        }
        self.bar_again(&bridged)?;
        self.bridged = bridged;
        Ok(())
    }

    /// Names of the interfaces that pass nothing because they are ports of bridges.
    pub fn barred(&self) -> impl Iterator<Item = &String> {
        self.bridged.values()
    }

    pub fn bar_again(&mut self, bridged: &BTreeMap<u32, String>) -> Result<(), EnforceError> {
        let name = self.name.clone();
        let mut change = Change::new(&name, NETDEV);
        change.make_table();
        change.delete_table();
        if !bridged.is_empty() {
            self.make_table(&mut change);
        }
        for (ifindex, device) in bridged {
            for (side, hook) in [("in", HOOK_INGRESS), ("out", HOOK_EGRESS)] {
                let chain = format!("{side}-{ifindex}");
                change.make_base_chain(&chain, hook, 0, Some(device));
                change.add_rule(&chain, Rule::new().end(End::Drop));
            }
        }
        self.socket.commit("close ports of bridges", &change.batch)
    }
}
