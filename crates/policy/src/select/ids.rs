//! Sets of small numbers, most of them tiny and some of them huge.

use roaring::RoaringBitmap;

/// Beyond so many a bitmap is smaller and faster.
const FEW_MAX: usize = 32;

#[derive(Clone, Debug)]
pub enum Ids {
    /// Very many sets are of one.
    One(u32),
    /// Sorted; perhaps empty.
    Few(Vec<u32>),
    Many(Box<RoaringBitmap>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Ids {
    /// Says whether it is new.
    pub fn insert(&mut self, id: u32) -> bool {
        match self {
            Self::One(one) if *one == id => false,
            Self::One(one) => {
                *self = Self::Few(vec![id.min(*one), id.max(*one)]);
                true
            }
            Self::Few(few) if few.is_empty() => {
                *self = Self::One(id);
                true
            }
            Self::Few(few) => {
                let Err(place) = few.binary_search(&id) else { return false };
                if few.len() < FEW_MAX {
                    few.insert(place, id);
                } else {
                    let all = few.iter().copied().chain([id]);
                    *self = Self::Many(Box::new(all.collect()));
                }
                true
            }
            Self::Many(many) => many.insert(id),
        }
    }

    /// Says whether it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        let was_there = match self {
            Self::One(one) if *one != id => return false,
            Self::One(_) => {
                *self = Self::default();
                return true;
            }
            Self::Few(few) => {
                let place = few.binary_search(&id);
                place.is_ok_and(|place| few.remove(place) == id)
            }
            Self::Many(many) => many.remove(id),
        };
        if was_there && self.is_empty() {
            *self = Self::default();
        }
        was_there
    }

    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(few) => few.len(),
            Self::Many(many) => usize::try_from(many.len()).unwrap_or(usize::MAX),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (few, many) = match self {
            Self::One(one) => (std::slice::from_ref(one), None),
            Self::Few(few) => (few.as_slice(), None),
            Self::Many(many) => (&[][..], Some(many)),
        };
        few.iter().copied().chain(many.into_iter().flat_map(|many| many.iter()))
    }
}
