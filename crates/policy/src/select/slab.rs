//! Things by number. Numbers of things that are gone are given out again.

/// Kept in pieces, so that growth neither moves what is there nor takes room for as much again.
#[derive(Debug)]
pub struct Slab<T> {
    pieces: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

const PIECE: usize = 1024;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, thing: T) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            if let Some(slot) = self.slot(id) {
                *slot = Some(thing);
            }
            return id;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            // The first may stay small.
            self.pieces.push(Vec::with_capacity(if self.pieces.is_empty() { 0 } else { PIECE }));
        }
        let whole = self.pieces.len().saturating_sub(1) * PIECE;
        let Some(piece) = self.pieces.last_mut() else { return 0 };
        piece.push(Some(thing));
        (whole + piece.len() - 1) as u32
    }

    pub fn remove(&mut self, id: u32) -> Option<T> {
        let thing = self.slot(id)?.take()?;
        self.free.push(id);
        self.len -= 1;
        Some(thing)
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        let id = id as usize;
        self.pieces.get(id / PIECE)?.get(id % PIECE)?.as_ref()
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.slot(id)?.as_mut()
    }

    fn slot(&mut self, id: u32) -> Option<&mut Option<T>> {
        let id = id as usize;
        self.pieces.get_mut(id / PIECE)?.get_mut(id % PIECE)
    }

    /// In order.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let slots = (0u32..).zip(self.pieces.iter().flatten());
        slots.filter(|(_, slot)| slot.is_some()).map(|(id, _)| id)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
