//! The header fields of a request or a response, as hyper passes them on.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::grammar::trim;

/// The most fields that hyper accepts.
pub(crate) const MAX_FIELDS: usize = 100;

/// Fields in the order in which they arrived.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// Returns `None` for fields that hyper would have rejected.
    pub(crate) fn new(parsed: &[httparse::Header<'_>]) -> Option<Self> {
        let fields = parsed.iter().map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(field.value).ok()?))
        });
        fields.collect::<Option<_>>().map(Self)
    }

    /// Returns the fields as a map. If `reordered` is true, the last name goes first, but fields with the same name
    /// keep their order.
    pub(crate) fn map(&self, reordered: bool) -> HeaderMap {
        let mut list: Vec<_> = self.0.iter().collect();
        if reordered {
            list.sort_by(|(one, _), (other, _)| other.as_str().cmp(one.as_str()));
        }
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(name, value.clone());
        }
        map
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| trim(value.as_bytes()))
    }

    /// Returns the value of a field that must occur exactly once.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the elements of a list field. Several fields with one name are one list, separated by commas (RFC 9110
    /// §5.3).
    pub(crate) fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let values: Vec<_> = self.values(name).collect();
        if values.is_empty() {
            return Vec::new();
        }
        values.join(&b',').split(|&byte| byte == b',').map(|element| trim(element).to_vec()).collect()
    }

    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}
