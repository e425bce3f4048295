//! Reads the tables back, as an earlier process left them.

use std::net::{Ipv4Addr, Ipv6Addr};

use bulkhead_enforce_abi::{CONFIG_EPOCH, CONFIG_NEXT_SLOT, CONFIG_REVISION};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::kernel::linux::Linux;
use crate::node::EnforceError;
use crate::realized::{SlotKind, Slots, Tables, extent_of};

impl Linux {
    pub(super) fn read_tables(&mut self) -> Result<Tables, EnforceError> {
        let mut tables = Tables {
            epoch: self.config.get(&CONFIG_EPOCH)?.unwrap_or(0),
            revision: self.config.get(&CONFIG_REVISION)?.unwrap_or(0),
            slots: self.read_slots()?,
            endpoints: self.endpoints.all()?.into_iter().collect(),
            interfaces: self.interfaces.all()?.into_iter().map(|(ifindex, _)| ifindex).collect(),
            entries: self.entries.all()?.into_iter().collect(),
            names: self.names.all()?.into_iter().collect(),
            name_entries: self.name_entries.all()?.into_iter().collect(),
            ..Tables::default()
        };
        self.read_classes(&mut tables)?;
        let named: Vec<u32> = tables.slots.all(SlotKind::Row).map(|(slot, _)| slot).collect();
        for slot in named {
            let Some(row) = self.rows.get(&slot)? else { continue };
            if let Some((start, length)) = extent_of(&row) {
                tables.spans.take(start, length);
            }
            tables.rows.insert(slot, row);
        }
        Ok(tables)
    }

    fn read_slots(&self) -> Result<Slots, EnforceError> {
        let mut slots = Slots::default();
        for (key, content) in self.slots.all()? {
            if let Some(kind) = SlotKind::from_number(key.kind) {
                slots.set(kind, key.slot, content);
            }
        }
        for kind in SlotKind::ALL {
            let next = self.config.get(&(CONFIG_NEXT_SLOT + kind as u32))?.unwrap_or(0);
            slots.set_next(kind, u32::try_from(next).unwrap_or(u32::MAX));
        }
        Ok(slots)
    }

    fn read_classes(&self, tables: &mut Tables) -> Result<(), EnforceError> {
        for (octets, value) in self.classes4.all()? {
            tables.classes.insert(IpNet::from(Ipv4Net::from(Ipv4Addr::from(octets))), value);
        }
        for (address, value) in self.classes6.all()? {
            tables.classes.insert(IpNet::from(Ipv6Net::from(Ipv6Addr::from(address.0))), value);
        }
        for (key, value) in self.prefixes4.all()? {
            let length = u8::try_from(key.length).unwrap_or(32);
            if let Ok(net) = Ipv4Net::new(Ipv4Addr::from(key.octets), length) {
                tables.classes.insert(IpNet::from(net), value);
            }
        }
        for (key, value) in self.prefixes6.all()? {
            let length = u8::try_from(key.length).unwrap_or(128);
            if let Ok(net) = Ipv6Net::new(Ipv6Addr::from(key.address.0), length) {
                tables.classes.insert(IpNet::from(net), value);
            }
        }
        Ok(())
    }
}
