//! What replaces compression in a build without the feature `compression`. An encoding has no values, so the compiler
//! removes what would compress.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// How responses to polling requests are compressed. Without the feature `compression` there is no way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpCompression(Infallible);

impl HttpCompression {
    pub(crate) fn applies_to(self, _len: usize) -> bool {
        match self.0 {}
    }

    pub(crate) fn level(self) -> u8 {
        match self.0 {}
    }
}

#[derive(Debug, Default)]
pub(crate) struct CompressionCapacity(());

/// The compressed forms of files.
#[derive(Clone)]
pub(crate) struct CompressedForms;

impl CompressedForms {
    pub(crate) fn of(_bytes: &Bytes) -> Self {
        Self
    }

    pub(crate) fn get(&self, encoding: Encoding) -> Option<&Bytes> {
        match encoding.0 {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding(Infallible);

impl Encoding {
    pub(crate) fn negotiate(_headers: &HeaderMap) -> Option<Self> {
        None
    }

    pub(crate) fn header_value(self) -> HeaderValue {
        match self.0 {}
    }

    pub(crate) async fn compress(
        self,
        _payload: &[u8],
        _level: u8,
        _capacity: &CompressionCapacity,
    ) -> Option<Vec<u8>> {
        match self.0 {}
    }
}
