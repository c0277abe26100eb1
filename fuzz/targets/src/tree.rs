//! A JSON text that serde_json has parsed, with every name and in the original order.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
    Attachment(Bytes),
}

impl Tree {
    /// Fails for a text that no application can read: nesting beyond 128 levels, an incomplete surrogate pair, a number
    /// beyond `f64`.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Returns which attachment an object stands for, or `Some(None)` if it is a placeholder without a valid number. If
    /// a name occurs twice, the last value counts.
    pub(crate) fn placeholder(&self) -> Option<Option<u64>> {
        let Self::Object(members) = self else { return None };
        let member = |name| members.iter().rev().find(|(other, _)| other == name).map(|(_, tree)| tree);
        let Some(Self::Bool(true)) = member("_placeholder") else { return None };
        match member("num") {
            Some(Self::Unsigned(index)) => Some(Some(*index)),
            _ => Some(None),
        }
    }

    /// Returns whether `holds` is true for this value and everything in it.
    pub(crate) fn all(&self, holds: &impl Fn(&Tree) -> bool) -> bool {
        holds(self)
            && match self {
                Self::List(elements) => elements.iter().all(|element| element.all(holds)),
                Self::Object(members) => members.iter().all(|(_, member)| member.all(holds)),
                _ => true,
            }
    }

    /// Returns the same tree with attachments instead of their placeholders.
    pub(crate) fn resolved(self, attachments: &[Bytes]) -> Self {
        let index = self.placeholder().flatten().and_then(|index| usize::try_from(index).ok());
        if let Some(attachment) = index.and_then(|index| attachments.get(index)) {
            return Self::Attachment(attachment.clone());
        }
        match self {
            Self::List(elements) => {
                Self::List(elements.into_iter().map(|element| element.resolved(attachments)).collect())
            }
            Self::Object(members) => Self::Object(
                members.into_iter().map(|(name, member)| (name, member.resolved(attachments))).collect(),
            ),
            other => other,
        }
    }

    pub(crate) fn attachments(&self) -> usize {
        match self {
            Self::Attachment(_) => 1,
            Self::List(elements) => elements.iter().map(Self::attachments).sum(),
            Self::Object(members) => members.iter().map(|(_, member)| member.attachments()).sum(),
            _ => 0,
        }
    }

    /// Compares two trees. Numbers may have different notations, which serde_json reads to within the last bit.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Attachment(one), Self::Attachment(other)) => one == other,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_alike(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((name, one), (other_name, other))| name == other_name && one.is_alike(other))
            }
            _ => match (self.number(), other.number()) {
                (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-15,
                _ => false,
            },
        }
    }

    fn number(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Tree::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
