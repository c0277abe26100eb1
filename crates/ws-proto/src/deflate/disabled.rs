//! What replaces permessage-deflate in a build without the feature `deflate`. The types have no values, so nothing is
//! offered, accepted or compressed, and the compiler removes what would be.

#[cfg(feature = "client")]
mod client;

use std::convert::Infallible;

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use crate::error::ProtocolError;
use crate::handshake::{HandshakeError, parse_extension_list};

/// Options for permessage-deflate. Without the feature `deflate` there are none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateOptions(Infallible);

impl DeflateOptions {
    pub(crate) fn negotiate(&self, _offers: &[DeflateParams]) -> Option<DeflateAgreement> {
        match self.0 {}
    }
}

/// The negotiated permessage-deflate parameters. Without the feature `deflate` there are none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeflateAgreement(Infallible);

impl DeflateAgreement {
    pub(crate) fn response_header(&self) -> HeaderValue {
        match self.0 {}
    }
}

/// Compresses the messages of one endpoint of a connection. Without the feature `deflate` there is none.
#[derive(Debug)]
pub struct Deflater(Infallible);

impl Deflater {
    /// Creates a deflater for the messages that the endpoint of this agreement sends.
    #[must_use]
    pub fn new(agreement: &DeflateAgreement) -> Self {
        match agreement.0 {}
    }

    /// Compresses a message into `out`. Returns whether to send `out` instead of `payload`.
    #[must_use = "the returned value tells whether to send the compressed message"]
    pub fn compress(&mut self, _payload: &[u8], _out: &mut Vec<u8>) -> bool {
        match self.0 {}
    }

    /// Returns the window size if the compressed messages do not depend on earlier messages.
    #[must_use]
    pub fn no_takeover_window_bits(&self) -> Option<u8> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Inflater(Infallible);

impl Inflater {
    pub(crate) fn new(agreement: &DeflateAgreement) -> Self {
        match agreement.0 {}
    }

    pub(crate) fn inflate<T>(
        &mut self,
        _payload: &[u8],
        _limit: usize,
        _take: impl FnOnce(&[u8]) -> Result<T, ProtocolError>,
    ) -> Result<T, ProtocolError> {
        match self.0 {}
    }

    pub(crate) fn start_stream(&self) -> Result<InflateStream, ProtocolError> {
        match self.0 {}
    }

    pub(crate) fn finish(&mut self, _stream: InflateStream) {
        match self.0 {}
    }

    pub(crate) fn no_context_takeover(&self) -> bool {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct InflateStream(Infallible);

impl InflateStream {
    pub(crate) const MEMORY: usize = 0;

    pub(crate) fn with_input(self, _input: Vec<u8>) -> Self {
        match self.0 {}
    }

    pub(crate) fn push(&mut self, _payload: &[u8], _is_last: bool) {
        match self.0 {}
    }

    pub(crate) fn has_more(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn next(&mut self) -> Result<Vec<u8>, ProtocolError> {
        match self.0 {}
    }
}

/// The parameters of an offer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeflateParams(Infallible);

/// Checks the syntax of the header, and ignores what it offers.
pub(crate) fn parse_offers(headers: &HeaderMap) -> Result<Vec<DeflateParams>, HandshakeError> {
    let mut values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let are_lists = values.all(|value| parse_extension_list(value.as_bytes(), |_| {}));
    if are_lists { Ok(Vec::new()) } else { Err(HandshakeError::InvalidExtensions) }
}
