//! A vector of values. Each value keeps its slot until it is removed.

/// A vector of optional values that reuses free slots before it grows.
///
/// The `slab` crate does not fit here. This type uses slots of 32 bits, because sets of slots take most of the memory
/// of a room index. It also frees memory when the values at the end are removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    values: Vec<Option<T>>,
    /// Free slots, the newest last. The list may also contain slots that do not exist any more or are in use again.
    /// `insert` discards them.
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        while let Some(hole) = self.free.pop() {
            if let Some(free @ None) = self.values.get_mut(hole as usize) {
                *free = Some(value);
                return hole;
            }
        }
        let slot = u32::try_from(self.values.len()).expect("a slab never holds four billion values");
        self.values.push(Some(value));
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.values.get_mut(slot as usize)?.take()?;
        if slot as usize + 1 == self.values.len() {
            while let Some(None) = self.values.last() {
                self.values.pop();
            }
            shrink_if_sparse(&mut self.values);
            if self.values.is_empty() {
                self.free = Vec::new();
            }
        } else {
            self.free.push(slot);
        }
        Some(value)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.values.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.values.get_mut(slot as usize)?.as_mut()
    }

    /// Returns the number of slots: one more than the highest one that is in use.
    pub(crate) fn slots(&self) -> usize {
        self.values.len()
    }

    /// Iterates over the slots and their values, in the order of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.values).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.values.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

/// Shrinks a vector that uses less than a quarter of its capacity. The new capacity is twice the length, so that the
/// vector does not grow again at once.
pub(crate) fn shrink_if_sparse<T>(values: &mut Vec<T>) {
    if values.capacity() > 64 && values.len() < values.capacity() / 4 {
        values.shrink_to(values.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_slot_is_used_before_the_slab_grows() {
        let mut slots = Slab::new();
        assert_eq!([slots.insert('a'), slots.insert('b'), slots.insert('c')], [0, 1, 2]);
        assert_eq!(slots.remove(1), Some('b'));
        assert_eq!(slots.remove(1), None);
        assert_eq!(slots.get(1), None);
        assert_eq!(slots.insert('d'), 1);
        assert_eq!(slots.insert('e'), 3);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(0, &'a'), (1, &'d'), (2, &'c'), (3, &'e')]);
    }

    #[test]
    fn a_truncated_slot_is_used_once() {
        let mut slots = Slab::new();
        for value in 0..4 {
            slots.insert(value);
        }
        slots.remove(1);
        slots.remove(2);
        slots.remove(3);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(0, &0)]);
        let mut given: Vec<_> = (10..14).map(|value| slots.insert(value)).collect();
        given.sort_unstable();
        assert_eq!(given, [1, 2, 3, 4]);
    }

    #[test]
    fn memory_comes_back_after_a_burst() {
        let mut slots = Slab::new();
        for value in 0..100_000_u64 {
            slots.insert(value);
        }
        for slot in 0..100_000 {
            slots.remove(slot);
        }
        assert!(slots.memory() < 2048, "{}", slots.memory());
    }
}
