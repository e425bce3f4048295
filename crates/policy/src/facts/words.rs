//! Texts that many objects repeat, kept once.

use std::sync::Arc;

use hashbrown::HashSet;

/// Cheap to clone; the words of one [`Words`] share memory where they are equal.
pub type Word = Arc<str>;

#[derive(Debug, Default)]
pub struct Words {
    known: HashSet<Word>,
    /// How many the last sweep left.
    n_swept: usize,
}

impl Words {
    pub fn intern(&mut self, text: &str) -> Word {
        if let Some(word) = self.known.get(text) {
            return Arc::clone(word);
        }
        let word: Word = text.into();
        self.known.insert(Arc::clone(&word));
        word
    }

    /// Forgets words that nobody holds, when there may be as many of them as of others.
    pub fn sweep(&mut self) {
        if self.known.len() > 2 * self.n_swept + 1024 {
            self.known.retain(|word| Arc::strong_count(word) > 1);
            self.n_swept = self.known.len();
        }
    }
}
