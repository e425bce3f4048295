//! Sets of small numbers, most of them tiny and some of them huge.

use roaring::RoaringBitmap;

/// Beyond so many a bitmap is smaller and faster.
const FEW_MAX: usize = 32;

#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// Sorted; empty where there is a bitmap.
    few: Vec<u32>,
    many: Option<Box<RoaringBitmap>>,
}

impl Ids {
    /// Says whether it is new.
    pub fn insert(&mut self, id: u32) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(id);
        }
        match self.few.binary_search(&id) {
            Ok(_) => false,
            Err(place) => {
                if self.few.len() < FEW_MAX {
                    self.few.insert(place, id);
                } else {
                    let mut many: RoaringBitmap =
                        std::mem::take(&mut self.few).into_iter().collect();
                    many.insert(id);
                    self.many = Some(Box::new(many));
                }
                true
            }
        }
    }

    /// Says whether it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        if let Some(many) = &mut self.many {
            let was_there = many.remove(id);
            if many.is_empty() {
                self.many = None;
            }
            return was_there;
        }
        let place = self.few.binary_search(&id);
        if let Ok(place) = place {
            self.few.remove(place);
        }
        place.is_ok()
    }

    pub fn len(&self) -> usize {
        let many = self.many.as_ref().map_or(0, |many| many.len());
        self.few.len() + usize::try_from(many).unwrap_or(usize::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_none()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.few.iter().copied().chain(self.many.iter().flat_map(|many| many.iter()))
    }
}
