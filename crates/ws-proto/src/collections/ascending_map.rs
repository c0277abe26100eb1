//! A map whose keys are assigned in order.

/// A map from numbers that are assigned in ascending order. It iterates in the order of the keys.
///
/// A lookup takes logarithmic time. So does a removal, and an insertion of the highest key takes constant time; both are
/// amortized. An insertion of a lower key moves the values of all higher ones. So the keys must come from a counter. They
/// may come a little out of order, for example if several tasks take them from one counter.
#[derive(Debug)]
pub struct AscendingMap<V> {
    /// Sorted by key. A removed value leaves its place empty, until most places are empty.
    places: Vec<(u64, Option<V>)>,
    /// The index of the first value. All places before it are empty.
    first: usize,
    len: usize,
}

/// The number of empty places that the map may have in addition to one for each value.
const MAX_EMPTY: usize = 16;

impl<V> AscendingMap<V> {
    /// Creates an empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), first: 0, len: 0 }
    }

    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if the map has no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&V> {
        self.places[self.find(key).ok()?].1.as_ref()
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let index = self.find(key).ok()?;
        self.places[index].1.as_mut()
    }

    /// Returns the lowest key and its value.
    #[must_use]
    pub fn first(&self) -> Option<(u64, &V)> {
        let (key, value) = self.places.get(self.first)?;
        Some((*key, value.as_ref()?))
    }

    /// Adds a value, or replaces the value of this key.
    pub fn insert(&mut self, key: u64, value: V) {
        let index = if self.places.last().is_none_or(|(last, _)| *last < key) {
            self.places.push((key, Some(value)));
            self.places.len() - 1
        } else {
            match self.find(key) {
                Ok(index) => {
                    if self.places[index].1.replace(value).is_some() {
                        return;
                    }
                    index
                }
                Err(index) => {
                    self.places.insert(index, (key, Some(value)));
                    index
                }
            }
        };
        self.len += 1;
        self.first = self.first.min(index);
    }

    /// Removes the value of a key, and returns it.
    pub fn remove(&mut self, key: u64) -> Option<V> {
        let index = self.find(key).ok()?;
        let value = self.places[index].1.take()?;
        self.len -= 1;
        while let Some((_, None)) = self.places.get(self.first) {
            self.first += 1;
        }
        if self.places.len() > 2 * self.len + MAX_EMPTY {
            self.drop_empty_places();
        }
        Some(value)
    }

    /// Iterates over the keys and their values.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.places[self.first..].iter().filter_map(|(key, value)| Some((*key, value.as_ref()?)))
    }

    /// Iterates over the values.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.places.into_iter().filter_map(|(_, value)| value)
    }

    /// Returns the index of the place of a key, or where it would be.
    fn find(&self, key: u64) -> Result<usize, usize> {
        self.places.binary_search_by(|(other, _)| other.cmp(&key))
    }

    fn drop_empty_places(&mut self) {
        let mut end = 0;
        for index in self.first..self.places.len() {
            if self.places[index].1.is_some() {
                self.places.swap(end, index);
                end += 1;
            }
        }
        self.places.truncate(end);
        self.first = 0;
        if self.places.capacity() > 4 * end + MAX_EMPTY {
            self.places.shrink_to(2 * end);
        }
    }
}

impl<V> Default for AscendingMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Checks that both maps have the same entries.
    fn compare(map: &AscendingMap<u64>, expected: &BTreeMap<u64, u64>) {
        assert!(map.iter().eq(expected.iter().map(|(key, value)| (*key, value))));
        assert_eq!(map.first(), expected.first_key_value().map(|(key, value)| (*key, value)));
        assert_eq!((map.len(), map.is_empty()), (expected.len(), expected.is_empty()));
        assert!(map.places.len() <= 2 * map.len() + MAX_EMPTY + 1, "few places are empty");
    }

    #[test]
    fn it_contains_what_a_tree_would() {
        let (mut map, mut expected) = (AscendingMap::new(), BTreeMap::new());
        let mut random = 1_u64;
        for step in 0..4_400_u64 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            // Mostly the next key, and sometimes one of the keys before it.
            let key = if random >> 62 == 0 { step - (random >> 40) % (step + 1).min(9) } else { step };
            map.insert(key, random);
            expected.insert(key, random);
            // It grows and shrinks in turn.
            for shift in 0..=(step / 500 % 2) * 2 {
                let key = (random >> (8 * shift)) % (step + 2);
                assert_eq!(map.get(key), expected.get(&key));
                assert_eq!(map.get_mut(key), expected.get_mut(&key));
                assert_eq!(map.remove(key), expected.remove(&key));
                let first = expected.first_key_value().map_or(0, |(first, _)| *first);
                if shift > 0 {
                    assert_eq!(map.remove(first), expected.remove(&first));
                }
            }
            compare(&map, &expected);
        }
        assert!(!map.is_empty());
        assert!(map.into_values().eq(expected.into_values()));
    }

    #[test]
    fn memory_comes_back_although_one_value_stays() {
        let mut map = AscendingMap::new();
        for key in 0..100_000 {
            map.insert(key, ());
        }
        for key in 1..100_000 {
            assert_eq!(map.remove(key), Some(()));
        }
        assert_eq!(map.first(), Some((0, &())));
        assert!(map.places.capacity() < 100, "{}", map.places.capacity());
    }
}
