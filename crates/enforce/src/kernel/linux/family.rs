//! A map in two: IPv4 has short keys, which are quicker to hash and to compare.

use std::hash::Hasher;
use std::path::Path;

use bulkhead_enforce_abi::{Address, Endpoint4Key, EndpointKey, Flow4Key, FlowKey, Plain};

use crate::kernel::linux::map::Map;
use crate::node::EnforceError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// A key that has a short form where its addresses are IPv4.
pub trait Narrow: Plain {
    type Short: Plain;

    fn narrow(&self) -> Option<Self::Short>;
    fn widen(short: &Self::Short) -> Self;
}

/// `NAME4` and `NAME6`, as one map of long keys.
#[derive(Debug)]
pub struct ByFamily<K: Narrow, V> {
    v4: Map<K::Short, V>,
    v6: Map<K, V>,
}

impl<K: Narrow, V: Plain> ByFamily<K, V> {
    pub fn open(folder: &Path, v4: &'static str, v6: &'static str) -> Result<Self, EnforceError> {
        Ok(Self { v4: Map::open(folder, v4)?, v6: Map::open(folder, v6)? })
    }

    /// `false` where the key was there already; then nothing is written.
    pub fn set_new(&self, key: &K, value: &V) -> Result<bool, EnforceError> {
        match key.narrow() {
            Some(short) => self.v4.set_new(&short, value),
            None => self.v6.set_new(key, value),
        }
    }

    pub fn get(&self, key: &K) -> Result<Option<V>, EnforceError> {
        match key.narrow() {
            Some(short) => self.v4.get(&short),
            None => self.v6.get(key),
        }
    }

    /// Removes and returns the element, at once.
    pub fn take(&self, key: &K) -> Result<Option<V>, EnforceError> {
        match key.narrow() {
            Some(short) => self.v4.take(&short),
            None => self.v6.take(key),
        }
    }

    pub fn set_all(&self, elements: &[(K, V)]) -> Result<(), EnforceError> {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for (key, value) in elements {
            match key.narrow() {
                Some(key) => short.push((key, *value)),
                None => long.push((*key, *value)),
            }
        }
        self.v4.set_all(&short)?;
        self.v6.set_all(&long)
    }

    /// Keys that are not there are no error.
    pub fn unset_all(&self, keys: &[K]) -> Result<(), EnforceError> {
        let short: Vec<K::Short> = keys.iter().filter_map(Narrow::narrow).collect();
        let long: Vec<K> = keys.iter().filter(|key| key.narrow().is_none()).copied().collect();
        self.v4.unset_all(&short)?;
        self.v6.unset_all(&long)
    }

    /// Every element. Elements that come and go meanwhile may or may not be among them.
    pub fn all(&self) -> Result<Vec<(K, V)>, EnforceError> {
        let mut elements = Vec::new();
        self.for_each(|key, value| elements.push((key, value)))?;
        Ok(elements)
    }

    /// Takes in everything as it lies there.
    pub fn print(&self, hasher: &mut impl Hasher) -> Result<(), EnforceError> {
        self.v4.print(hasher)?;
        self.v6.print(hasher)
    }

    pub fn for_each(&self, mut visit: impl FnMut(K, V)) -> Result<(), EnforceError> {
        Family::ALL.into_iter().try_for_each(|family| self.for_each_of(family, &mut visit))
    }

    pub fn for_each_of(
        &self,
        family: Family,
        mut visit: impl FnMut(K, V),
    ) -> Result<(), EnforceError> {
        match family {
            Family::V4 => self.v4.for_each(|key, value| visit(K::widen(&key), value)),
            Family::V6 => self.v6.for_each(visit),
        }
    }
}

impl Narrow for EndpointKey {
    type Short = Endpoint4Key;

    fn narrow(&self) -> Option<Endpoint4Key> {
        Some(Endpoint4Key { ifindex: self.ifindex, local: self.local.as_v4()? })
    }

    fn widen(short: &Endpoint4Key) -> Self {
        Self { ifindex: short.ifindex, local: Address::from_v4(short.local) }
    }
}

impl Narrow for FlowKey {
    type Short = Flow4Key;

    fn narrow(&self) -> Option<Flow4Key> {
        Some(Flow4Key {
            endpoint: self.endpoint,
            local: self.local.as_v4()?,
            remote: self.remote.as_v4()?,
            local_port: self.local_port,
            remote_port: self.remote_port,
            protocol: self.protocol,
            lane: self.lane,
            zero: 0,
        })
    }

    fn widen(short: &Flow4Key) -> Self {
        Self {
            endpoint: short.endpoint,
            local: Address::from_v4(short.local),
            remote: Address::from_v4(short.remote),
            local_port: short.local_port,
            remote_port: short.remote_port,
            protocol: short.protocol,
            lane: short.lane,
            zero: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_ipv4_comes_back_from_its_short_form_and_one_of_ipv6_has_none() {
        let mapped = |last| Address([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, last]);
        let (local, remote) = (mapped(1), mapped(2));
        let endpoint = EndpointKey { ifindex: 7, local };
        assert_eq!(endpoint.narrow().map(|short| EndpointKey::widen(&short)), Some(endpoint));
        let flow = FlowKey {
            endpoint: 1,
            local,
            remote,
            local_port: 2,
            remote_port: 3,
            protocol: 6,
            lane: 4,
            zero: 0,
        };
        assert_eq!(flow.narrow().map(|short| FlowKey::widen(&short)), Some(flow));
        let v6 = Address([0xfd; 16]);
        assert_eq!(EndpointKey { local: v6, ..endpoint }.narrow(), None);
        assert_eq!(FlowKey { local: v6, remote: v6, ..flow }.narrow(), None);
    }
}
