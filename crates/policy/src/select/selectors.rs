//! Every selector in use, with its members, kept exact by deltas.
//!
//! Each selector is *anchored* under the label test that fewest members pass and that every match
//! must pass; only what passes the anchor is tried. Selectors that no positive test restricts are
//! *loose*: tried when a label changes that they mention.

use std::collections::{BTreeSet, HashMap};

use bulkhead_types::selector::Restrictions;
use bulkhead_types::{Labels, Selector};
use roaring::RoaringBitmap;

use super::MemberId;
use super::labels::LabelIndex;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectorId(pub u32);

#[derive(Debug, Default)]
pub struct Selectors {
    index: LabelIndex,
    members: HashMap<MemberId, Member>,
    selectors: HashMap<SelectorId, Entry>,
    by_text: HashMap<Selector, SelectorId>,
    anchored: HashMap<String, Anchors>,
    loose: BTreeSet<SelectorId>,
    loose_by_key: HashMap<String, BTreeSet<SelectorId>>,
    next: u32,
    /// Single (selector, member) tests since the beginning; for tests of incrementality.
    pub n_tests: u64,
}

#[derive(Debug, Default)]
struct Member {
    labels: Labels,
    matches: BTreeSet<SelectorId>,
}

#[derive(Debug)]
struct Entry {
    selector: Selector,
    members: RoaringBitmap,
    anchor: Anchor,
    n_uses: usize,
}

/// Selectors anchored under one label key.
#[derive(Debug, Default)]
struct Anchors {
    present: BTreeSet<SelectorId>,
    by_value: HashMap<String, BTreeSet<SelectorId>>,
}

#[derive(Clone, Debug)]
enum Anchor {
    /// Matches nobody, ever.
    Never,
    Values(String, BTreeSet<String>),
    Present(String),
    Loose,
}

/// How one member's matches moved.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub joined: Vec<SelectorId>,
    pub left: Vec<SelectorId>,
}

impl Delta {
    pub fn each(&self) -> impl Iterator<Item = SelectorId> + '_ {
        self.joined.iter().chain(&self.left).copied()
    }
}

impl Selectors {
    /// Counts one more use; evaluates the selector if it is the first.
    pub fn acquire(&mut self, selector: &Selector) -> SelectorId {
        if let Some(&id) = self.by_text.get(selector) {
            if let Some(entry) = self.selectors.get_mut(&id) {
                entry.n_uses += 1;
            }
            return id;
        }
        let id = SelectorId(self.next);
        self.next += 1;
        let members = self.index.evaluate(selector.expr());
        for member in &members {
            if let Some(member) = self.members.get_mut(&MemberId(member)) {
                member.matches.insert(id);
            }
        }
        let anchor = self.anchor_of(selector);
        self.file(id, &anchor, selector, true);
        self.by_text.insert(selector.clone(), id);
        self.selectors.insert(id, Entry { selector: selector.clone(), members, anchor, n_uses: 1 });
        id
    }

    /// Counts one use less; forgets the selector if it was the last.
    pub fn release(&mut self, id: SelectorId) {
        let Some(entry) = self.selectors.get_mut(&id) else { return };
        entry.n_uses -= 1;
        if entry.n_uses > 0 {
            return;
        }
        let Some(entry) = self.selectors.remove(&id) else { return };
        for member in &entry.members {
            if let Some(member) = self.members.get_mut(&MemberId(member)) {
                member.matches.remove(&id);
            }
        }
        self.file(id, &entry.anchor, &entry.selector, false);
        self.by_text.remove(&entry.selector);
    }

    pub fn members(&self, id: SelectorId) -> impl Iterator<Item = MemberId> + '_ {
        self.selectors.get(&id).into_iter().flat_map(|entry| &entry.members).map(MemberId)
    }

    pub fn selector(&self, id: SelectorId) -> Option<&Selector> {
        self.selectors.get(&id).map(|entry| &entry.selector)
    }

    /// Every selector that matches the member.
    pub fn matches(&self, member: MemberId) -> impl Iterator<Item = SelectorId> + '_ {
        self.members.get(&member).into_iter().flat_map(|member| member.matches.iter().copied())
    }

    pub fn is_match(&self, member: MemberId, selector: SelectorId) -> bool {
        self.members.get(&member).is_some_and(|member| member.matches.contains(&selector))
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.selectors.is_empty() && self.loose_by_key.is_empty()
    }

    /// Adds a member, or gives it new labels.
    pub fn put(&mut self, id: MemberId, labels: Labels) -> Delta {
        let Some(member) = self.members.get(&id) else {
            self.index.insert(id, &labels);
            let candidates = self.candidates(&labels, self.loose.clone());
            self.members.insert(id, Member { labels, matches: BTreeSet::new() });
            return self.rematch(id, candidates);
        };
        if member.labels == labels {
            return Delta::default();
        }
        let mut candidates = self.candidates(&labels, BTreeSet::new());
        candidates.extend(&member.matches);
        let old = member.labels.clone();
        for (key, value) in &old {
            if labels.get(key) != Some(value) {
                self.index.unset(id, key, value);
                candidates.extend(self.loose_by_key.get(key).into_iter().flatten());
            }
        }
        for (key, value) in &labels {
            if old.get(key) != Some(value) {
                self.index.set(id, key, value);
                candidates.extend(self.loose_by_key.get(key).into_iter().flatten());
            }
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.labels = labels;
        }
        self.rematch(id, candidates)
    }

    pub fn remove(&mut self, id: MemberId) -> Delta {
        let Some(member) = self.members.remove(&id) else { return Delta::default() };
        self.index.remove(id, &member.labels);
        for selector in &member.matches {
            if let Some(entry) = self.selectors.get_mut(selector) {
                entry.members.remove(id.0);
            }
        }
        Delta { joined: Vec::new(), left: member.matches.into_iter().collect() }
    }

    /// The selectors whose anchor the labels pass, added to `more`.
    fn candidates(&self, labels: &Labels, mut more: BTreeSet<SelectorId>) -> BTreeSet<SelectorId> {
        for (key, value) in labels {
            let Some(anchors) = self.anchored.get(key) else { continue };
            more.extend(&anchors.present);
            more.extend(anchors.by_value.get(value).into_iter().flatten());
        }
        more
    }

    fn rematch(&mut self, id: MemberId, candidates: BTreeSet<SelectorId>) -> Delta {
        let mut delta = Delta::default();
        let Some(member) = self.members.get_mut(&id) else { return delta };
        for selector in candidates {
            let Some(entry) = self.selectors.get_mut(&selector) else { continue };
            self.n_tests += 1;
            let matched = entry.selector.matches(&member.labels);
            if matched && member.matches.insert(selector) {
                entry.members.insert(id.0);
                delta.joined.push(selector);
            } else if !matched && member.matches.remove(&selector) {
                entry.members.remove(id.0);
                delta.left.push(selector);
            }
        }
        delta
    }

    /// The restriction that fewest members meet today; values before mere presence.
    fn anchor_of(&self, selector: &Selector) -> Anchor {
        let Restrictions::Labels(restrictions) = selector.restrictions() else {
            return Anchor::Never;
        };
        let count = |key: &str, values: &BTreeSet<String>| -> u64 {
            values.iter().map(|value| self.index.count(key, value)).sum()
        };
        let with_values = restrictions
            .iter()
            .filter_map(|(key, r)| Some((key, r.must_have_one_of.as_ref()?)))
            .min_by_key(|(key, values)| (count(key, values), values.len()));
        if let Some((key, values)) = with_values {
            return Anchor::Values(key.clone(), values.clone());
        }
        let present = restrictions.iter().find(|(_, r)| r.must_be_present);
        present.map_or(Anchor::Loose, |(key, _)| Anchor::Present(key.clone()))
    }

    /// Enters the selector under its anchor, or strikes it out.
    fn file(&mut self, id: SelectorId, anchor: &Anchor, selector: &Selector, enter: bool) {
        let edit = |set: &mut BTreeSet<SelectorId>| {
            if enter {
                set.insert(id)
            } else {
                set.remove(&id)
            };
        };
        match anchor {
            Anchor::Never => {}
            Anchor::Present(key) => {
                edit(&mut self.anchored.entry(key.clone()).or_default().present);
            }
            Anchor::Values(key, values) => {
                let anchors = self.anchored.entry(key.clone()).or_default();
                for value in values {
                    let set = anchors.by_value.entry(value.clone()).or_default();
                    edit(set);
                    if set.is_empty() {
                        anchors.by_value.remove(value);
                    }
                }
            }
            Anchor::Loose => {
                edit(&mut self.loose);
                selector.expr().each_key(&mut |key| {
                    let set = self.loose_by_key.entry(key.to_owned()).or_default();
                    edit(set);
                    if set.is_empty() {
                        self.loose_by_key.remove(key);
                    }
                });
            }
        }
    }
}
