//! First match wins, worked out ahead of time: ordered rules to disjoint spans.
//!
//! A canvas covers one key space (all destination ports of TCP, say). Rules are painted on it in
//! order and each takes only what no earlier rule took. Keys are destination ports, ICMP type and
//! code, or protocol numbers; within a key, source ports may still divide the answer.
//!
//! A Log rule takes nothing: it writes itself down at every key that nobody took yet.
//!
//! Invariant: each key is taken at most once, so painting n rules that decide costs
//! O((n + spans) log spans), source ports aside.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bulkhead_wire::RuleId;
use bulkhead_wire::row::{Leaf, Outcome, Span, Spans};

use super::logs::{LogLists, Logs};

/// Inclusive.
pub type Interval = (u16, u16);

pub const EVERYTHING: Interval = (0, u16::MAX);

/// A rule's or a tier's answer, or none: the next tier's counts.
pub type Word = Option<Leaf>;

/// What a tier says about one key: its word, and what it has logged before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Say {
    pub word: Word,
    pub logs: Logs,
}

/// A total function over the key space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// One word for every key; most layers are so.
    Uniform(Say),
    /// `(first key, what is said from there on)`.
    Steps(Vec<(u16, Says)>),
}

/// What is said of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Whatever the source port; nearly always.
    One(Say),
    /// `(first source port, what is said from there on)`; the first is 0, neighbours differ.
    BySource(Vec<(u16, Say)>),
}

impl Default for Layer {
    fn default() -> Self {
        Self::Uniform(Say::default())
    }
}

#[derive(Debug)]
pub struct Canvas {
    /// Undecided keys: first key to cell. Disjoint.
    open: BTreeMap<u16, Cell>,
    done: Vec<(u16, Says)>,
}

#[derive(Clone, Debug)]
struct Cell {
    end: u16,
    /// What was logged of all of it. Where there are halves it is they who know.
    logs: Logs,
    /// Where only some source ports are decided.
    half: Option<Box<Half>>,
}

#[derive(Clone, Debug)]
struct Half {
    /// Source ports still undecided, sorted and disjoint, with what was logged of them.
    open: Vec<(Interval, Logs)>,
    taken: Vec<(Interval, Say)>,
}

impl Default for Canvas {
    /// Nothing is decided yet.
    fn default() -> Self {
        let cell = Cell { end: u16::MAX, logs: Logs::NONE, half: None };
        Self { open: BTreeMap::from([(0, cell)]), done: Vec::new() }
    }
}

impl Canvas {
    /// Whether every key is decided: whatever is painted now stays unseen.
    pub fn is_full(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives `word` to the keys and source ports that nobody took yet.
    pub fn paint(&mut self, (start, end): Interval, sources: &[Interval], word: Word) {
        if sources.is_empty() {
            return;
        }
        self.split_at(start, end);
        let mut from = start;
        while let Some((&key, cell)) = self.open.range_mut(from..=end).next() {
            let last = cell.end;
            if let Some(says) = cell.take(sources, word) {
                self.open.remove(&key);
                self.done.push((key, says));
            }
            match last.checked_add(1) {
                Some(next) if next <= end => from = next,
                _ => break,
            }
        }
    }

    /// Writes the rule down at the keys and source ports that nobody took yet.
    pub fn log(
        &mut self,
        (start, end): Interval,
        sources: &[Interval],
        rule: RuleId,
        lists: &mut LogLists,
    ) {
        if sources.is_empty() {
            return;
        }
        self.split_at(start, end);
        self.open.range_mut(start..=end).for_each(|(_, cell)| cell.log(sources, rule, lists));
    }

    /// What nobody took gets `rest`.
    pub fn finish(mut self, rest: Word) -> Layer {
        self.paint(EVERYTHING, &[EVERYTHING], rest);
        self.done.sort_unstable_by_key(|(start, _)| *start);
        self.done.dedup_by(|(_, next), (_, kept)| next == kept);
        Layer::of(self.done)
    }

    /// No cell lies across an end of the interval.
    fn split_at(&mut self, start: u16, end: u16) {
        self.split_before(start);
        if let Some(after) = end.checked_add(1) {
            self.split_before(after);
        }
    }

    /// Makes `key` the first of its cell, if it is within one.
    fn split_before(&mut self, key: u16) {
        let Some((&start, cell)) = self.open.range_mut(..key).next_back() else { return };
        if cell.end < key || start == key {
            return;
        }
        let right = cell.clone();
        cell.end = key.saturating_sub(1);
        self.open.insert(key, right);
    }
}

impl Cell {
    /// What is said of the cell's keys, once nothing of it is undecided.
    fn take(&mut self, sources: &[Interval], word: Word) -> Option<Says> {
        if self.half.is_none() && sources == [EVERYTHING] {
            return Some(Says::One(Say { word, logs: self.logs }));
        }
        let half = self.halved();
        half.take(sources, word);
        if half.open.is_empty() { self.half.take().map(|half| half.says()) } else { None }
    }

    fn log(&mut self, sources: &[Interval], rule: RuleId, lists: &mut LogLists) {
        if self.half.is_none() && sources == [EVERYTHING] {
            self.logs = lists.add(self.logs, rule);
        } else {
            self.halved().log(sources, rule, lists);
        }
    }

    fn halved(&mut self) -> &mut Half {
        let open = (EVERYTHING, self.logs);
        self.half.get_or_insert_with(|| Box::new(Half { open: vec![open], taken: Vec::new() }))
    }
}

impl Half {
    fn take(&mut self, sources: &[Interval], word: Word) {
        let mut taken = std::mem::take(&mut self.taken);
        self.divide(sources, |interval, logs, _| taken.push((interval, Say { word, logs })));
        self.taken = taken;
    }

    fn log(&mut self, sources: &[Interval], rule: RuleId, lists: &mut LogLists) {
        self.divide(sources, |interval, logs, left| left.push((interval, lists.add(logs, rule))));
        self.open.sort_unstable_by_key(|(interval, _)| *interval);
    }

    /// Hands what is open of the sources to `meet`, which may put it among what is left.
    fn divide(
        &mut self,
        sources: &[Interval],
        mut meet: impl FnMut(Interval, Logs, &mut Vec<(Interval, Logs)>),
    ) {
        let mut left = Vec::new();
        for (open, logs) in std::mem::take(&mut self.open) {
            let mut next = open.0;
            let mut exhausted = false;
            for &(start, end) in sources {
                let (start, end) = (start.max(next), end.min(open.1));
                if start > end {
                    continue;
                }
                if next < start {
                    left.push(((next, start - 1), logs));
                }
                meet((start, end), logs, &mut left);
                match end.checked_add(1).filter(|after| *after <= open.1) {
                    Some(after) => next = after,
                    None => {
                        exhausted = true;
                        break;
                    }
                }
            }
            if !exhausted {
                left.push(((next, open.1), logs));
            }
        }
        self.open = left;
    }

    fn says(mut self) -> Says {
        self.taken.sort_unstable_by_key(|((start, _), _)| *start);
        Says::of(self.taken.into_iter().map(|((start, _), say)| (start, say)).collect())
    }
}

impl Say {
    fn over(self, below: Say, lists: &mut LogLists) -> Say {
        match self.word {
            Some(_) => self,
            None => Say { word: below.word, logs: lists.join(self.logs, below.logs) },
        }
    }
}

impl Says {
    fn of(mut steps: Vec<(u16, Say)>) -> Self {
        steps.dedup_by(|(_, next), (_, kept)| next == kept);
        match steps.as_slice() {
            [(_, say)] => Says::One(*say),
            _ => Says::BySource(steps),
        }
    }

    fn over(&self, below: &Self, lists: &mut LogLists) -> Self {
        if let (Says::One(upper), Says::One(lower)) = (self, below) {
            return Says::One(upper.over(*lower, lists));
        }
        let mut merged = Vec::new();
        join(&self.steps(), &below.steps(), |port, upper, lower| {
            merged.push((port, upper.over(*lower, lists)));
        });
        Says::of(merged)
    }

    fn steps(&self) -> Cow<'_, [(u16, Say)]> {
        match self {
            Says::One(say) => Cow::Owned(vec![(0, *say)]),
            Says::BySource(steps) => Cow::Borrowed(steps),
        }
    }
}

impl Layer {
    pub fn uniform(word: Word) -> Self {
        Self::Uniform(Say { word, logs: Logs::NONE })
    }

    fn of(steps: Vec<(u16, Says)>) -> Self {
        match steps.as_slice() {
            [(_, Says::One(say))] => Self::Uniform(*say),
            _ => Self::Steps(steps),
        }
    }

    /// This layer's word where it has one, else that of the layer below, behind what both logged.
    #[must_use]
    pub fn over(self, below: Layer, lists: &mut LogLists) -> Layer {
        let upper = match self {
            Layer::Uniform(Say { word: None, logs: Logs::NONE }) => return below,
            Layer::Uniform(Say { word: Some(_), .. }) => return self,
            upper => upper.steps(),
        };
        let lower = below.steps();
        let mut merged: Vec<(u16, Says)> = Vec::with_capacity(upper.len() + lower.len());
        join(&upper, &lower, |key, upper, lower| {
            let says = upper.over(lower, lists);
            if merged.last().is_none_or(|(_, last)| *last != says) {
                merged.push((key, says));
            }
        });
        Layer::of(merged)
    }

    fn steps(self) -> Vec<(u16, Says)> {
        match self {
            Layer::Steps(steps) => steps,
            Layer::Uniform(say) => vec![(0, Says::One(say))],
        }
    }

    pub fn as_uniform(&self) -> Option<Say> {
        match self {
            Layer::Uniform(say) => Some(*say),
            Layer::Steps(_) => None,
        }
    }

    /// `leaf`: of a word behind what was logged. `None` where some key is still without a word.
    pub fn into_spans(self, mut leaf: impl FnMut(Say) -> Word) -> Option<Spans> {
        let steps = match self {
            Layer::Uniform(say) => return leaf(say).map(Spans::uniform),
            Layer::Steps(steps) => steps,
        };
        let mut spans = Vec::with_capacity(steps.len());
        for (start, says) in steps {
            let outcome = match says {
                Says::One(say) => Outcome::Leaf(leaf(say)?),
                Says::BySource(steps) => {
                    let leaves = steps.into_iter().map(|(port, say)| Some((port, leaf(say)?)));
                    Outcome::BySource(leaves.collect::<Option<_>>()?)
                }
            };
            spans.push(Span { start, outcome });
        }
        Spans::new(spans)
    }
}

/// Walks two total step functions together: calls `visit` at each step of either with both values.
fn join<A, B>(left: &[(u16, A)], right: &[(u16, B)], mut visit: impl FnMut(u16, &A, &B)) {
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    let (Some(mut a), Some(mut b)) = (l.next(), r.next()) else { return };
    loop {
        visit(a.0.max(b.0), &a.1, &b.1);
        let (next_a, next_b) = (l.peek().map(|step| step.0), r.peek().map(|step| step.0));
        let Some(next) = next_a.into_iter().chain(next_b).min() else { return };
        if next_a == Some(next)
            && let Some(step) = l.next()
        {
            a = step;
        }
        if next_b == Some(next)
            && let Some(step) = r.next()
        {
            b = step;
        }
    }
}

/// Sorted and disjoint, with touching neighbours joined.
pub fn normalise(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for (start, end) in intervals {
        match joined.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What is in `from` and not in `holes`; both normalised.
pub fn subtract(from: &[Interval], holes: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    for &(start, end) in from {
        let mut next = u32::from(start);
        let end = u32::from(end);
        for &(hole_start, hole_end) in holes {
            let (hole_start, hole_end) = (u32::from(hole_start), u32::from(hole_end));
            if hole_end < next || hole_start > end {
                continue;
            }
            if hole_start > next {
                push(&mut left, next, hole_start - 1);
            }
            next = hole_end + 1;
        }
        if next <= end {
            push(&mut left, next, end);
        }
    }
    left
}

fn push(list: &mut Vec<Interval>, start: u32, end: u32) {
    if let (Ok(start), Ok(end)) = (u16::try_from(start), u16::try_from(end)) {
        list.push((start, end));
    }
}
