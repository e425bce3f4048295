//! Reads the tables back, as an earlier process left them.

use std::net::{Ipv4Addr, Ipv6Addr};

use bulkhead_enforce_abi::{CONFIG_EPOCH, CONFIG_NEXT_SLOT, CONFIG_REVISION, CONFIG_TO_HOST};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::kernel::linux::Linux;
use crate::node::EnforceError;
use crate::realized::{SlotKind, Slots, Tables, extent_of};

impl Linux {
    /// Epoch, revision and the next slots only.
    pub fn read_numbers(&mut self) -> Result<Tables, EnforceError> {
        let mut tables = Tables {
            epoch: self.config.get(&CONFIG_EPOCH)?.unwrap_or(0),
            revision: self.config.get(&CONFIG_REVISION)?.unwrap_or(0),
            ..Tables::default()
        };
        self.read_next_slots(&mut tables.slots)?;
        Ok(tables)
    }

    /// Endpoints and their interfaces only.
    pub fn read_endpoints(&mut self) -> Result<Tables, EnforceError> {
        Ok(Tables {
            endpoints: self.endpoints.all()?.into_iter().collect(),
            interfaces: self.interfaces.all()?.into_iter().collect(),
            hosts: self.hosts.all()?.into_iter().collect(),
            locals: self.locals.all()?.into_iter().collect(),
            failsafes: self.failsafes.all()?.into_iter().map(|(key, _)| key).collect(),
            closes_host: self.config.get(&CONFIG_TO_HOST)?.unwrap_or(0) != 0,
            ..Tables::default()
        })
    }

    /// Memory that some of the maps take.
    pub fn bytes_of(&self, maps: &[&str]) -> u64 {
        let bytes = |name: &str| match name {
            "slots" => self.slots.bytes_used(),
            "entries" => self.entries.bytes_used(),
            "names" => self.names.bytes_used(),
            "name_entries" => self.name_entries.bytes_used(),
            "classes4" => self.classes4.bytes_used(),
            "classes6" => self.classes6.bytes_used(),
            "prefixes4" => self.prefixes4.bytes_used(),
            "prefixes6" => self.prefixes6.bytes_used(),
            _ => None,
        };
        maps.iter().filter_map(|name| bytes(name)).sum()
    }

    pub(super) fn read_tables(&mut self) -> Result<Tables, EnforceError> {
        let slots = self.read_slots()?;
        let (entries, names, rows) =
            (self.read_entries()?, self.read_names()?, self.read_rows(&slots)?);
        let numbers = self.read_numbers()?;
        Ok(Tables {
            slots,
            entries: entries.entries,
            names: names.names,
            name_entries: names.name_entries,
            rows: rows.rows,
            spans: rows.spans,
            classes: self.read_classes()?.classes,
            epoch: numbers.epoch,
            revision: numbers.revision,
            ..self.read_endpoints()?
        })
    }

    pub fn read_entries(&self) -> Result<Tables, EnforceError> {
        Ok(Tables { entries: self.entries.all()?.into_iter().collect(), ..Tables::default() })
    }

    pub fn read_names(&self) -> Result<Tables, EnforceError> {
        Ok(Tables {
            names: self.names.all()?.into_iter().collect(),
            name_entries: self.name_entries.all()?.into_iter().collect(),
            ..Tables::default()
        })
    }

    /// The rows that have a slot, and where their spans lie.
    pub fn read_rows(&self, slots: &Slots) -> Result<Tables, EnforceError> {
        let mut tables = Tables::default();
        for (slot, _) in slots.all(SlotKind::Row) {
            let Some(row) = self.rows.get(&slot)? else { continue };
            if let Some((start, length)) = extent_of(&row) {
                tables.spans.take(start, length);
            }
            tables.rows.insert(slot, row);
        }
        Ok(tables)
    }

    pub fn read_slots(&self) -> Result<Slots, EnforceError> {
        let mut slots = Slots::default();
        for (key, content) in self.slots.all()? {
            if let Some(kind) = SlotKind::from_number(key.kind) {
                slots.set(kind, key.slot, content);
            }
        }
        self.read_next_slots(&mut slots)?;
        Ok(slots)
    }

    fn read_next_slots(&self, slots: &mut Slots) -> Result<(), EnforceError> {
        for kind in SlotKind::ALL {
            let next = self.config.get(&(CONFIG_NEXT_SLOT + kind as u32))?.unwrap_or(0);
            slots.set_next(kind, u32::try_from(next).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    pub fn read_classes(&self) -> Result<Tables, EnforceError> {
        let mut classes = Vec::new();
        self.classes4.for_each(|octets, value| {
            classes.push((IpNet::from(Ipv4Net::from(Ipv4Addr::from(octets))), value));
        })?;
        self.classes6.for_each(|address, value| {
            classes.push((IpNet::from(Ipv6Net::from(Ipv6Addr::from(address.0))), value));
        })?;
        self.prefixes4.for_each(|key, value| {
            let length = u8::try_from(key.length).unwrap_or(32);
            let net = Ipv4Net::new(Ipv4Addr::from(key.octets), length);
            classes.extend(net.ok().map(|net| (IpNet::from(net), value)));
        })?;
        self.prefixes6.for_each(|key, value| {
            let length = u8::try_from(key.length).unwrap_or(128);
            let net = Ipv6Net::new(Ipv6Addr::from(key.address.0), length);
            classes.extend(net.ok().map(|net| (IpNet::from(net), value)));
        })?;
        Ok(Tables { classes: classes.into_iter().collect(), ..Tables::default() })
    }
}
