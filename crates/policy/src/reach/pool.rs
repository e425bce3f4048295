//! Each set of connections once, under a small number, with what pairs of them have in common.

use std::collections::HashMap;
use std::sync::Arc;

use bulkhead_wire::Row;

use super::traffic::Traffic;

/// Of one [`TrafficPool`]; equal ids are equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficId(u32);

#[derive(Debug)]
pub struct TrafficPool {
    all: Vec<Arc<Traffic>>,
    ids: HashMap<Arc<Traffic>, TrafficId>,
    meets: HashMap<(TrafficId, TrafficId), TrafficId>,
    joins: HashMap<(TrafficId, TrafficId), TrafficId>,
}

impl TrafficId {
    pub const NOTHING: TrafficId = TrafficId(0);
    pub const EVERYTHING: TrafficId = TrafficId(1);
}

impl Default for TrafficPool {
    fn default() -> Self {
        let (meets, joins) = (HashMap::new(), HashMap::new());
        let mut pool = Self { all: Vec::new(), ids: HashMap::new(), meets, joins };
        pool.intern(Traffic::nothing());
        pool.intern(Traffic::everything());
        pool
    }
}

impl TrafficPool {
    pub fn intern(&mut self, traffic: Traffic) -> TrafficId {
        if let Some(&id) = self.ids.get(&traffic) {
            return id;
        }
        let id = TrafficId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let traffic = Arc::new(traffic);
        self.all.push(Arc::clone(&traffic));
        self.ids.insert(traffic, id);
        id
    }

    pub fn of_row(&mut self, row: &Row) -> TrafficId {
        self.intern(Traffic::allowed_by(row))
    }

    pub fn get(&self, id: TrafficId) -> Arc<Traffic> {
        let known = usize::try_from(id.0).ok().and_then(|position| self.all.get(position));
        known.cloned().unwrap_or_default()
    }

    /// What is in both.
    pub fn meet(&mut self, a: TrafficId, b: TrafficId) -> TrafficId {
        match (a.min(b), a.max(b)) {
            (TrafficId::NOTHING, _) => TrafficId::NOTHING,
            (TrafficId::EVERYTHING, other) => other,
            (a, b) if a == b => a,
            pair => self.worked_out(pair, |pool| &mut pool.meets, Traffic::and),
        }
    }

    /// What is in either.
    pub fn join(&mut self, a: TrafficId, b: TrafficId) -> TrafficId {
        match (a.min(b), a.max(b)) {
            (TrafficId::NOTHING, other) => other,
            (TrafficId::EVERYTHING, _) => TrafficId::EVERYTHING,
            (a, b) if a == b => a,
            pair => self.worked_out(pair, |pool| &mut pool.joins, Traffic::or),
        }
    }

    fn worked_out(
        &mut self,
        pair: (TrafficId, TrafficId),
        known: impl Fn(&mut Self) -> &mut HashMap<(TrafficId, TrafficId), TrafficId>,
        op: impl Fn(&Traffic, &Traffic) -> Traffic,
    ) -> TrafficId {
        if let Some(&id) = known(self).get(&pair) {
            return id;
        }
        let id = self.intern(op(&self.get(pair.0), &self.get(pair.1)));
        known(self).insert(pair, id);
        id
    }
}
