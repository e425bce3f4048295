//! Which stretches of the spans array are free.

use std::collections::BTreeMap;

/// Free stretches by start, never adjacent, never empty; beyond `end` everything is free.
///
/// INVARIANT(extents-disjoint): what is taken was free, what is given back was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    free: BTreeMap<u32, u32>,
    end: u32,
}

impl Extents {
    /// The first stretch that holds `length`, without taking it.
    pub fn find(&self, length: u32) -> u32 {
        self.free.iter().find(|(_, free)| **free >= length).map_or(self.end, |(start, _)| *start)
    }

    pub fn take(&mut self, start: u32, length: u32) {
        if length == 0 {
            return;
        }
        let stop = start.saturating_add(length);
        if start >= self.end {
            if start > self.end {
                self.free.insert(self.end, start - self.end);
            }
            self.end = stop;
            return;
        }
        let Some((from, free)) = self.free.range(..=start).next_back().map(|(s, n)| (*s, *n))
        else {
            return;
        };
        self.free.remove(&from);
        if from < start {
            self.free.insert(from, start - from);
        }
        let until = from.saturating_add(free);
        if until > stop {
            self.free.insert(stop, until - stop);
        }
    }

    pub fn give_back(&mut self, start: u32, length: u32) {
        if length == 0 {
            return;
        }
        let mut from = start;
        let mut until = start.saturating_add(length);
        if let Some((before, free)) = self.free.range(..start).next_back().map(|(s, n)| (*s, *n))
            && before.saturating_add(free) == start
        {
            self.free.remove(&before);
            from = before;
        }
        if let Some(after) = self.free.remove(&until) {
            until = until.saturating_add(after);
        }
        if until >= self.end {
            self.end = from;
        } else {
            self.free.insert(from, until - from);
        }
    }

    /// One past the highest index that is taken.
    pub fn end(&self) -> u32 {
        self.end
    }

    pub fn n_taken(&self) -> u32 {
        self.end - self.free.values().sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_found_again() {
        let mut extents = Extents::default();
        for _ in 0..3 {
            let at = extents.find(10);
            extents.take(at, 10);
        }
        assert_eq!((extents.end(), extents.n_taken()), (30, 30));
        extents.give_back(10, 10);
        assert_eq!(extents.find(11), 30);
        assert_eq!(extents.find(4), 10);
        extents.take(10, 4);
        assert_eq!(extents.find(6), 14);
        extents.give_back(0, 10);
        extents.give_back(10, 4);
        assert_eq!(extents.find(20), 0);
        extents.give_back(20, 10);
        assert_eq!(extents, Extents::default());
    }

    #[test]
    fn taking_beyond_the_end_leaves_the_gap_free() {
        let mut extents = Extents::default();
        extents.take(5, 5);
        assert_eq!(extents.find(5), 0);
        assert_eq!(extents.n_taken(), 5);
        extents.take(0, 5);
        assert_eq!(extents.find(1), 10);
    }
}
