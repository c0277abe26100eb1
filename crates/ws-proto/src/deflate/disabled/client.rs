//! What replaces the offer of a client.

use http::{HeaderMap, HeaderValue};

use super::{DeflateAgreement, DeflateOptions};
use crate::handshake::HandshakeError;

impl DeflateOptions {
    pub(crate) fn offer_header(&self) -> HeaderValue {
        match self.0 {}
    }

    pub(crate) fn accept_response(
        &self,
        _headers: &HeaderMap,
    ) -> Result<Option<DeflateAgreement>, HandshakeError> {
        match self.0 {}
    }
}
