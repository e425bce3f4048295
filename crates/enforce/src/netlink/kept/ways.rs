//! Ways to addresses that do not go by an interface of a workload.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::Kept;

impl Kept {
    /// The interface that the host routes an address to, where its other end is in another network
    /// namespace: it is made for whoever has the address, whatever it is called.
    pub fn pair_behind(&self, address: IpAddr) -> Option<u32> {
        let through = self.facts.routes.get(&address)?;
        // Only the best route: the others are not taken.
        let (_, Reverse(ifindex)) = through.first()?;
        self.facts.far.contains_key(ifindex).then_some(*ifindex)
    }
}
