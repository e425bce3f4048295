//! Every label in use, once: which personas have it, and which selectors are filed under it.
//!
//! INVARIANT(labels): between calls of `Selectors` a label is here exactly as long as a persona has it
//! or a selector is filed under it, and a key exactly as long as it has labels or selectors.

use super::anchors::Anchor;
use super::finder::Finder;
use super::ids::Ids;
use super::personas::PersonaId;
use super::selectors::SelectorId;
use super::slab::Slab;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelId(u32);

/// A label with its key at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: KeyId,
    pub label: LabelId,
}

#[derive(Debug, Default)]
pub struct LabelIndex {
    keys: Slab<Key>,
    labels: Slab<Label>,
    key_by_text: Finder<KeyId>,
    label_by_text: Finder<LabelId>,
    /// Selectors that everybody may match.
    loose: Vec<SelectorId>,
}

/// Lists of selectors are sorted: their ids only grow.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    labels: Ids,
    n_personas: usize,
    /// Filed under the key, whatever the value.
    filed: Vec<SelectorId>,
    /// Loose selectors that look at the key.
    looking: Vec<SelectorId>,
}

#[derive(Debug)]
struct Label {
    key: KeyId,
    value: Box<str>,
    personas: Ids,
    filed: Vec<SelectorId>,
}

impl LabelIndex {
    pub fn intern_key(&mut self, text: &str) -> KeyId {
        self.find_key(text).unwrap_or_else(|| {
            let key = Key {
                text: text.into(),
                labels: Ids::default(),
                n_personas: 0,
                filed: Vec::new(),
                looking: Vec::new(),
            };
            let id = KeyId(self.keys.insert(key));
            self.key_by_text.insert(&text, id);
            id
        })
    }

    pub fn intern(&mut self, key: &str, value: &str) -> Tag {
        let key = self.intern_key(key);
        let found = self.find_value(key, value);
        let label = found.unwrap_or_else(|| {
            let label =
                Label { key, value: value.into(), personas: Ids::default(), filed: Vec::new() };
            let id = LabelId(self.labels.insert(label));
            self.label_by_text.insert(&(key.0, value), id);
            if let Some(key) = self.keys.get_mut(key.0) {
                key.labels.insert(id.0);
            }
            id
        });
        Tag { key, label }
    }

    pub fn find_key(&self, text: &str) -> Option<KeyId> {
        let is_same = |id: KeyId| self.keys.get(id.0).is_some_and(|key| *key.text == *text);
        self.key_by_text.find(&text, is_same)
    }

    pub fn find(&self, key: &str, value: &str) -> Option<LabelId> {
        self.find_value(self.find_key(key)?, value)
    }

    fn find_value(&self, key: KeyId, value: &str) -> Option<LabelId> {
        let is_same = |id: LabelId| {
            self.labels.get(id.0).is_some_and(|label| label.key == key && *label.value == *value)
        };
        self.label_by_text.find(&(key.0, value), is_same)
    }

    pub fn value(&self, label: LabelId) -> &str {
        self.labels.get(label.0).map_or("", |label| &label.value)
    }

    pub fn texts(&self, tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
        tags.iter().map(|tag| {
            let key = self.keys.get(tag.key.0).map_or("", |key| &key.text);
            (key, self.value(tag.label))
        })
    }

    /// From now on the persona has the labels.
    pub fn tie(&mut self, persona: PersonaId, tags: &[Tag]) {
        for tag in tags {
            if let Some(key) = self.keys.get_mut(tag.key.0) {
                key.n_personas += 1;
            }
            if let Some(label) = self.labels.get_mut(tag.label.0) {
                label.personas.insert(persona.0);
            }
        }
    }

    pub fn untie(&mut self, persona: PersonaId, tags: &[Tag]) {
        for tag in tags {
            if let Some(key) = self.keys.get_mut(tag.key.0) {
                key.n_personas -= 1;
            }
            if let Some(label) = self.labels.get_mut(tag.label.0) {
                label.personas.remove(persona.0);
            }
            self.drop_if_unused(tag.label);
        }
    }

    fn drop_if_unused(&mut self, id: LabelId) {
        let is_unused = |label: &&Label| label.personas.is_empty() && label.filed.is_empty();
        if self.labels.get(id.0).filter(is_unused).is_none() {
            return;
        }
        let Some(label) = self.labels.remove(id.0) else { return };
        self.label_by_text.remove(&(label.key.0, &*label.value), id);
        if let Some(key) = self.keys.get_mut(label.key.0) {
            key.labels.remove(id.0);
        }
        self.drop_key_if_unused(label.key);
    }

    fn drop_key_if_unused(&mut self, id: KeyId) {
        let is_unused =
            |key: &&Key| key.labels.is_empty() && key.filed.is_empty() && key.looking.is_empty();
        if self.keys.get(id.0).filter(is_unused).is_some()
            && let Some(key) = self.keys.remove(id.0)
        {
            self.key_by_text.remove(&&*key.text, id);
        }
    }

    /// How many personas have the label, and how many selectors are filed under it.
    pub fn weight(&self, label: LabelId) -> usize {
        self.labels.get(label.0).map_or(0, |label| label.personas.len() + label.filed.len())
    }

    pub fn weight_of_key(&self, key: KeyId) -> usize {
        self.keys.get(key.0).map_or(0, |key| key.n_personas + key.filed.len())
    }

    pub fn with_label(&self, label: LabelId) -> impl Iterator<Item = PersonaId> + '_ {
        self.labels.get(label.0).into_iter().flat_map(|label| label.personas.iter()).map(PersonaId)
    }

    pub fn with_key(&self, key: KeyId) -> impl Iterator<Item = PersonaId> + '_ {
        let labels = self.keys.get(key.0).into_iter().flat_map(|key| key.labels.iter());
        labels.flat_map(|label| self.with_label(LabelId(label)))
    }

    pub fn file(&mut self, id: SelectorId, anchor: &Anchor) {
        self.each_file(anchor, |file| file.push(id));
    }

    pub fn strike(&mut self, id: SelectorId, anchor: &Anchor) {
        self.each_file(anchor, |file| {
            if let Ok(place) = file.binary_search(&id) {
                file.remove(place);
            }
        });
        match anchor {
            Anchor::Never => {}
            Anchor::Values(labels) => labels.iter().for_each(|id| self.drop_if_unused(*id)),
            Anchor::Present(key) => self.drop_key_if_unused(*key),
            Anchor::Loose(keys) => keys.iter().for_each(|id| self.drop_key_if_unused(*id)),
        }
    }

    fn each_file(&mut self, anchor: &Anchor, mut visit: impl FnMut(&mut Vec<SelectorId>)) {
        match anchor {
            Anchor::Never => {}
            Anchor::Values(labels) => {
                for id in labels {
                    self.labels.get_mut(id.0).into_iter().for_each(|l| visit(&mut l.filed));
                }
            }
            Anchor::Present(key) => {
                self.keys.get_mut(key.0).into_iter().for_each(|key| visit(&mut key.filed));
            }
            Anchor::Loose(keys) => {
                visit(&mut self.loose);
                for id in keys {
                    self.keys.get_mut(id.0).into_iter().for_each(|key| visit(&mut key.looking));
                }
            }
        }
    }

    /// Selectors that are filed under one of the labels or its key.
    pub fn filed<'a>(&'a self, tags: &'a [Tag]) -> impl Iterator<Item = SelectorId> + 'a {
        tags.iter().flat_map(|tag| {
            let by_key = self.keys.get(tag.key.0).into_iter().flat_map(|key| &key.filed);
            let by_value = self.labels.get(tag.label.0).into_iter().flat_map(|label| &label.filed);
            by_key.chain(by_value).copied()
        })
    }

    pub fn loose(&self) -> &[SelectorId] {
        &self.loose
    }

    /// Loose selectors that look at the key.
    pub fn looking(&self, key: KeyId) -> &[SelectorId] {
        self.keys.get(key.0).map_or(&[], |key| &key.looking)
    }

    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.labels.is_empty() && self.loose.is_empty()
    }
}
