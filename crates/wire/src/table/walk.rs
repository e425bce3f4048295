//! The way through a table when it is compared with another one.

use std::slice;
use std::sync::Arc;

use super::Chunk;

/// Where a comparison is.
pub struct Walk<'a, K, V> {
    chunks: slice::Iter<'a, Chunk<K, V>>,
    chunk: Option<&'a Chunk<K, V>>,
    at: usize,
}

impl<'a, K, V> Walk<'a, K, V> {
    pub fn through(chunks: &'a [Chunk<K, V>]) -> Self {
        let mut chunks = chunks.iter();
        Self { chunk: chunks.next(), chunks, at: 0 }
    }

    pub fn here(&self) -> Option<(&'a K, &'a V)> {
        self.chunk?.get(self.at).map(|(key, value)| (key, value))
    }

    pub fn step(&mut self) {
        self.at += 1;
        if self.chunk.is_some_and(|chunk| self.at >= chunk.len()) {
            (self.chunk, self.at) = (self.chunks.next(), 0);
        }
    }

    pub fn skips_what_is_shared(&mut self, other: &mut Self) -> bool {
        let (Some(one), Some(two)) = (self.chunk, other.chunk) else { return false };
        let is_shared = self.at == 0 && other.at == 0 && Arc::ptr_eq(one, two);
        if is_shared {
            (self.chunk, other.chunk) = (self.chunks.next(), other.chunks.next());
        }
        is_shared
    }
}
