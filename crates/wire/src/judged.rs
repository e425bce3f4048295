//! Which programs judge which address of an endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::ProgramId;

/// The two programs that judge one address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judges {
    pub ingress: ProgramId,
    pub egress: ProgramId,
}

/// Addresses with what judges each. A sorted list and no map: nearly every endpoint has one or two,
/// and there are very many endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<IpAddr, Judges>", into = "BTreeMap<IpAddr, Judges>")]
pub struct JudgedAddresses(Box<[(IpAddr, Judges)]>);

impl JudgedAddresses {
    pub fn get(&self, address: &IpAddr) -> Option<&Judges> {
        let place = self.0.binary_search_by_key(address, |(known, _)| *known).ok()?;
        self.0.get(place).map(|(_, judges)| judges)
    }

    pub fn contains_key(&self, address: &IpAddr) -> bool {
        self.get(address).is_some()
    }

    /// By address.
    pub fn iter(&self) -> impl Iterator<Item = (&IpAddr, &Judges)> {
        self.0.iter().map(|(address, judges)| (address, judges))
    }

    pub fn keys(&self) -> impl Iterator<Item = &IpAddr> {
        self.0.iter().map(|(address, _)| address)
    }

    pub fn values(&self) -> impl Iterator<Item = &Judges> {
        self.0.iter().map(|(_, judges)| judges)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Judges> {
        self.0.iter_mut().map(|(_, judges)| judges)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of an address that comes more than once the last counts.
impl FromIterator<(IpAddr, Judges)> for JudgedAddresses {
    fn from_iter<I: IntoIterator<Item = (IpAddr, Judges)>>(judged: I) -> Self {
        let mut judged: Vec<(IpAddr, Judges)> = judged.into_iter().collect();
        if !judged.is_sorted_by(|(a, _), (b, _)| a < b) {
            judged = judged.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        Self(judged.into())
    }
}

impl From<BTreeMap<IpAddr, Judges>> for JudgedAddresses {
    fn from(judged: BTreeMap<IpAddr, Judges>) -> Self {
        judged.into_iter().collect()
    }
}

impl From<JudgedAddresses> for BTreeMap<IpAddr, Judges> {
    fn from(judged: JudgedAddresses) -> Self {
        judged.0.into_iter().collect()
    }
}

impl<const N: usize> From<[(IpAddr, Judges); N]> for JudgedAddresses {
    fn from(judged: [(IpAddr, Judges); N]) -> Self {
        judged.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a JudgedAddresses {
    type Item = (&'a IpAddr, &'a Judges);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judges(number: u64) -> Judges {
        Judges { ingress: ProgramId(number), egress: ProgramId(number) }
    }

    #[test]
    fn an_address_is_found_whatever_the_order_and_the_last_of_it_counts() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (one, two, six) = (address("10.0.0.1"), address("10.0.0.2"), address("fd00::1"));
        let judged = JudgedAddresses::from([
            (six, judges(6)),
            (two, judges(2)),
            (one, judges(9)),
            (one, judges(1)),
        ]);
        assert_eq!(judged.get(&one), Some(&judges(1)));
        assert_eq!(judged.get(&six), Some(&judges(6)));
        assert_eq!(judged.get(&address("10.0.0.3")), None);
        assert_eq!(judged.keys().collect::<Vec<_>>(), [&one, &two, &six]);
    }
}
