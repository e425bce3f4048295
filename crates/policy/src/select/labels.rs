//! The inverted label index: which personas have a label, and with which value.

use hashbrown::HashMap;

use super::ids::Ids;
use super::personas::{PersonaId, Sight};
use crate::facts::Word;

#[derive(Debug, Default)]
pub struct LabelIndex {
    by_key: HashMap<Word, Values>,
}

#[derive(Debug, Default)]
struct Values {
    /// Personas that have the key.
    n_present: usize,
    by_value: HashMap<Word, Ids>,
}

impl LabelIndex {
    pub fn insert(&mut self, persona: PersonaId, sight: &Sight) {
        for (key, value) in sight.iter() {
            let values = match self.by_key.get_mut(key) {
                Some(values) => values,
                None => self.by_key.entry(Word::clone(key)).or_default(),
            };
            values.n_present += 1;
            match values.by_value.get_mut(value) {
                Some(ids) => {
                    ids.insert(persona.0);
                }
                None => {
                    values.by_value.entry(Word::clone(value)).or_default().insert(persona.0);
                }
            }
        }
    }

    pub fn remove(&mut self, persona: PersonaId, sight: &Sight) {
        for (key, value) in sight.iter() {
            let Some(values) = self.by_key.get_mut(key) else { continue };
            values.n_present -= 1;
            if let Some(ids) = values.by_value.get_mut(value) {
                ids.remove(persona.0);
                if ids.is_empty() {
                    values.by_value.remove(value);
                }
            }
            if values.n_present == 0 {
                self.by_key.remove(key);
            }
        }
    }

    /// How many personas have the label with the value.
    pub fn count(&self, key: &str, value: &str) -> usize {
        let values = self.by_key.get(key);
        values.and_then(|values| values.by_value.get(value)).map_or(0, Ids::len)
    }

    /// How many personas have the label.
    pub fn n_present(&self, key: &str) -> usize {
        self.by_key.get(key).map_or(0, |values| values.n_present)
    }

    pub fn with_value(&self, key: &str, value: &str) -> impl Iterator<Item = PersonaId> + '_ {
        let ids = self.by_key.get(key).and_then(|values| values.by_value.get(value));
        ids.into_iter().flat_map(Ids::iter).map(PersonaId)
    }

    pub fn present(&self, key: &str) -> impl Iterator<Item = PersonaId> + '_ {
        let values = self.by_key.get(key).into_iter().flat_map(|values| values.by_value.values());
        values.flat_map(Ids::iter).map(PersonaId)
    }

    pub fn is_idle(&self) -> bool {
        self.by_key.is_empty()
    }
}
