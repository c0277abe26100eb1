//! The members of an object, in the order in which they came.

use std::iter::FusedIterator;
use std::{slice, vec};

use super::Value;

/// The members of an object, in the order in which they came.
///
/// A search takes time in proportion to the number of members. If a peer sends a key twice, both members stay, and the
/// last one counts, as in JavaScript.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    members: Vec<(String, Value)>,
}

impl Object {
    /// Creates an object without members.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Returns the number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.members.iter().rfind(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// Returns the value of a key, to change it.
    #[must_use]
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.members.iter_mut().rfind(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// Sets the value of a key. A new key becomes the last one. Returns the previous value if there was one.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(place) = self.get_mut(&key) {
            return Some(std::mem::replace(place, value));
        }
        self.members.push((key, value));
        None
    }

    /// Removes a key. Returns its value if there was one.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let mut removed = None;
        for (_, value) in self.members.extract_if(.., |(found, _)| found == key) {
            removed = Some(value);
        }
        removed
    }

    /// Returns the members in their order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator + FusedIterator {
        self.members.iter().map(|(key, value)| (&**key, value))
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Object {
    /// Keeps every member, even if two have the same key. [`Object::insert`] replaces the first one.
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        Self { members: members.into_iter().map(|(key, value)| (key.into(), value)).collect() }
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (String, Value);
    type IntoIter = slice::Iter<'a, (String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_of_a_key_that_comes_twice_the_last_one_counts() {
        let mut object: Object = [("z", 1.into()), ("a", 2.into()), ("z", 3.into())].into_iter().collect();
        assert_eq!(object.get("z"), Some(&3.into()));
        assert_eq!(object.insert("z", 4), Some(3.into()));
        assert_eq!(object.insert("m", "new"), None);
        assert_eq!(object.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "a", "z", "m"]);
        assert_eq!(object.remove("z"), Some(4.into()));
        assert_eq!((object.get("z"), object.len()), (None, 2));
    }
}
