//! Ranges and nets without others.

use bulkhead_types::PortRange;
use ipnet::IpNet;

use super::PIECES_MAX;

/// Sorted where `own` is; ranges that nothing is taken from stay as they are.
pub(super) fn minus_ranges(own: &[PortRange], by: &[PortRange]) -> Vec<PortRange> {
    let mut left = own.to_vec();
    for taken in by {
        let mut next = Vec::with_capacity(left.len());
        for range in left {
            if range.end() < taken.start() || taken.end() < range.start() {
                next.push(range);
                continue;
            }
            let before = taken.start().checked_sub(1);
            next.extend(before.and_then(|end| PortRange::new(range.start(), end)));
            let after = taken.end().checked_add(1);
            next.extend(after.and_then(|start| PortRange::new(start, range.end())));
        }
        left = next;
    }
    left
}

/// Halves what is only partly taken. Stops cutting, and leaves the rest whole, where it would come to
/// too many pieces.
pub(super) fn minus_nets(own: &[IpNet], by: &[IpNet]) -> Vec<IpNet> {
    let mut left = own.to_vec();
    for taken in by {
        let mut next = Vec::with_capacity(left.len());
        for net in left {
            if taken.contains(&net) {
                continue;
            }
            if !net.contains(taken) || next.len() > PIECES_MAX {
                next.push(net);
                continue;
            }
            let mut inner = net;
            while inner != *taken {
                let Some([one, other]) = halves(inner) else { break };
                let (with, without) = if one.contains(taken) { (one, other) } else { (other, one) };
                next.push(without);
                inner = with;
            }
        }
        left = next;
    }
    left
}

fn halves(net: IpNet) -> Option<[IpNet; 2]> {
    let mut halves = net.subnets(net.prefix_len().checked_add(1)?).ok()?;
    Some([halves.next()?, halves.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lose_what_is_taken_and_nothing_else() {
        let range = |a, b| PortRange::new(a, b).expect("range");
        let left = minus_ranges(&[range(0, 10), range(20, 30)], &[range(5, 22), range(30, 30)]);
        assert_eq!(left, [range(0, 4), range(23, 29)]);
        assert_eq!(minus_ranges(&[PortRange::ALL], &[PortRange::ALL]), []);
        let ends = minus_ranges(&[PortRange::ALL], &[range(0, 0), range(65535, 65535)]);
        assert_eq!(ends, [range(1, 65534)]);
    }

    #[test]
    fn nets_lose_what_is_taken_and_nothing_else() {
        let nets = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().expect("net")).collect()
        };
        let left = minus_nets(&nets(&["10.0.0.0/8"]), &nets(&["10.128.0.0/10"]));
        assert_eq!(left, nets(&["10.0.0.0/9", "10.192.0.0/10"]));
        assert_eq!(minus_nets(&left, &nets(&["10.0.0.0/9", "10.0.0.0/8"])), []);
        assert_eq!(minus_nets(&nets(&["10.0.0.0/8"]), &nets(&["fd00::/8"])), nets(&["10.0.0.0/8"]));
        assert_eq!(minus_nets(&nets(&["10.0.0.0/8"]), &nets(&["10.1.2.3/32"])).len(), 24);
    }
}
