//! Worlds, lives and packets for proptest: drawn by seed, shrunk by structure.
//!
//! What comes out is a list (objects, changes, packets) that remembers nothing of its seed. When it
//! fails, whole pieces of the list go first, then single fields and list items inside of what is
//! left, so that a report shows the few rules that matter and nothing else.
//!
//! Invariant: shrinking never makes up anything: what is left was in the drawn list, and identities
//! stay.

use std::fmt;

use bulkhead_api::Object;
use bulkhead_types::Packet;
use proptest::prelude::Rng as _;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::seq::SliceRandom;
use serde_json::Value;

use super::{Change, Shape, World, rng};

/// Worlds of one of these shapes.
#[derive(Clone, Debug)]
pub struct Worlds(pub Vec<Shape>);

/// Lives of worlds: their objects in any order, mixed with that many other changes.
#[derive(Clone, Debug)]
pub struct Lives {
    pub shapes: Vec<Shape>,
    pub changes: usize,
}

/// Lists of so many packets.
#[derive(Clone, Copy, Debug)]
pub struct Packets(pub usize);

/// A drawn list, printed as JSON, a line an item.
#[derive(Clone, PartialEq)]
pub struct List<T>(pub Vec<T>);

/// Something that a list is made of.
pub trait Item: Clone {
    /// The same with one thing less, the greatest things first.
    fn simpler(&self) -> Vec<Self>;

    fn line(&self) -> String;
}

fn draw(runner: &mut TestRunner, shapes: &[Shape]) -> World {
    let seed = runner.rng().next_u64();
    World::shaped(seed, shapes[(seed % shapes.len() as u64) as usize])
}

impl Strategy for Worlds {
    type Tree = Shrinking<Object>;
    type Value = List<Object>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Ok(Shrinking::new(draw(runner, &self.0).objects))
    }
}

impl Strategy for Lives {
    type Tree = Shrinking<Change>;
    type Value = List<Change>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let world = draw(runner, &self.shapes);
        let mut changes: Vec<Change> = world.objects.iter().cloned().map(Change::Upsert).collect();
        changes.extend(world.changes(self.changes));
        changes.shuffle(&mut rng(world.seed, 3));
        Ok(Shrinking::new(changes))
    }
}

impl Strategy for Packets {
    type Tree = Shrinking<Packet>;
    type Value = List<Packet>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = runner.rng().next_u64();
        Ok(Shrinking::new(super::packets::packets(seed, self.0)))
    }
}

impl<T: Item> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(f, "\n  {}", item.line()))
    }
}

// === the tree ===

/// A list on its way to the smallest one that still fails.
pub struct Shrinking<T: Item> {
    items: Vec<T>,
    /// What failed before the last step.
    before: Option<Vec<T>>,
    step: Step<T>,
    /// Whether this round left anything out.
    shrunk: bool,
}

enum Step<T> {
    /// Leave out `piece` items from `start` on.
    Piece { piece: usize, start: usize },
    /// Take the n-th simpler form of an item; `None` where they are not worked out yet.
    Within { item: usize, nth: usize, simpler: Option<Vec<T>> },
}

impl<T: Item> Shrinking<T> {
    fn new(items: Vec<T>) -> Self {
        let piece = items.len().div_ceil(2).max(1);
        Self { items, before: None, step: Step::Piece { piece, start: 0 }, shrunk: false }
    }

    /// Tries the next thing to leave out; `false` where nothing is left to try.
    fn next(&mut self) -> bool {
        loop {
            match &mut self.step {
                Step::Piece { piece, start } if *start < self.items.len() => {
                    let end = (*start + *piece).min(self.items.len());
                    let mut items = self.items.clone();
                    items.drain(*start..end);
                    self.before = Some(std::mem::replace(&mut self.items, items));
                    return true;
                }
                Step::Piece { piece: 1, start } if self.shrunk => {
                    (*start, self.shrunk) = (0, false);
                }
                Step::Piece { piece: 1, .. } => {
                    self.step = Step::Within { item: 0, nth: 0, simpler: None };
                }
                Step::Piece { piece, start } => (*piece, *start) = (piece.div_ceil(2), 0),
                Step::Within { item, nth, simpler } => {
                    let Some(found) = self.items.get(*item) else {
                        if !self.shrunk {
                            return false;
                        }
                        self.step = Step::Piece { piece: 1, start: 0 };
                        self.shrunk = false;
                        continue;
                    };
                    let forms = simpler.get_or_insert_with(|| found.simpler());
                    let Some(form) = forms.get(*nth).cloned() else {
                        (*item, *nth, *simpler) = (*item + 1, 0, None);
                        continue;
                    };
                    self.before = Some(self.items.clone());
                    self.items[*item] = form;
                    return true;
                }
            }
        }
    }
}

impl<T: Item> ValueTree for Shrinking<T> {
    type Value = List<T>;

    fn current(&self) -> List<T>
    where
        List<T>: fmt::Debug,
    {
        List(self.items.clone())
    }

    /// The current list fails: keep it and leave out more.
    fn simplify(&mut self) -> bool {
        if self.before.take().is_some() {
            self.shrunk = true;
            if let Step::Within { simpler, .. } = &mut self.step {
                *simpler = None;
            }
        }
        self.next()
    }

    /// The current list does not fail: what was left out matters. Try something else.
    fn complicate(&mut self) -> bool {
        let Some(before) = self.before.take() else { return false };
        self.items = before;
        match &mut self.step {
            Step::Piece { piece, start } => *start += *piece,
            Step::Within { nth, .. } => *nth += 1,
        }
        self.next()
    }
}

// === items ===

impl Item for Object {
    fn simpler(&self) -> Vec<Self> {
        let value = self.to_value().expect("objects are JSON");
        let mut found = Vec::new();
        for pointer in removable(&value) {
            let mut less = value.clone();
            remove(&mut less, &pointer);
            found.extend(Object::from_value(less).ok().filter(|less| less.key() == self.key()));
        }
        found
    }

    fn line(&self) -> String {
        self.to_value().expect("objects are JSON").to_string()
    }
}

impl Item for Change {
    fn simpler(&self) -> Vec<Self> {
        match self {
            Change::Upsert(object) => object.simpler().into_iter().map(Change::Upsert).collect(),
            Change::Delete(_) => Vec::new(),
        }
    }

    fn line(&self) -> String {
        match self {
            Change::Upsert(object) => format!("upsert {}", object.line()),
            Change::Delete(key) => format!("delete {key}"),
        }
    }
}

impl Item for Packet {
    fn simpler(&self) -> Vec<Self> {
        Vec::new()
    }

    fn line(&self) -> String {
        format!("{self:?}")
    }
}

/// Places of everything but what names an object, parents before children.
fn removable(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, into: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, child)| (name.replace('~', "~0").replace('/', "~1"), child))
                .collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect()
            }
            _ => return,
        };
        for (name, child) in children {
            let place = format!("{at}/{name}");
            let is_name = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"]
                .contains(&place.as_str());
            if !is_name && place != "/metadata" {
                into.push(place.clone());
            }
            walk(child, &place, into);
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found.sort_by_key(|place| place.matches('/').count());
    found
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("places begin with a slash");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            items.remove(name.parse().expect("an index"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::{Config, RngSeed, TestError};

    use super::*;

    /// The smallest world in which the law fails.
    fn smallest(law: impl Fn(&List<Object>) -> bool) -> List<Object> {
        let config = Config {
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(&Worlds(vec![Shape::default()]), |world| {
            proptest::prop_assert!(law(&world));
            Ok(())
        });
        match run {
            Err(TestError::Fail(_, world)) => world,
            other => panic!("the law was to fail: {other:?}"),
        }
    }

    #[test]
    fn a_world_shrinks_to_the_one_rule_that_matters() {
        let world =
            smallest(|world| !world.0.iter().any(|object| object.line().contains("\"Log\"")));
        assert_eq!(world.0.len(), 1);
        let value = world.0[0].to_value().unwrap();
        let rules = ["ingress", "egress"].map(|list| value["spec"][list].as_array());
        let rules: Vec<&Value> = rules.into_iter().flatten().flatten().collect();
        assert_eq!(rules, [&serde_json::json!({"action": "Log"})]);
    }

    #[test]
    fn a_pair_that_only_fails_together_stays_together() {
        let pods = |world: &List<Object>| {
            world.0.iter().filter(|object| matches!(object, Object::Pod(_))).count()
        };
        assert_eq!(smallest(|world| pods(world) < 2).0.len(), 2);
    }

    #[test]
    fn the_same_runner_draws_the_same_world() {
        let drawn = || {
            let config = Config { rng_seed: RngSeed::Fixed(7), ..Config::default() };
            let mut runner = TestRunner::new(config);
            Worlds(vec![Shape::default()]).new_tree(&mut runner).unwrap().current()
        };
        assert!(drawn() == drawn());
    }
}
