//! The packets that Socket.IO 4 has in another form, for a server. All other packets are the same in both revisions.

use engineio_proto::{EncodedMessage, MessageEncoder};
use serde::Serialize;

use super::{begin, finish};
use crate::error::EncodeError;
use crate::packet::PacketType;
use crate::serializer::write_value;

/// Encodes the response of a server that accepts a connect request, or connects the client to `/`. It has no data: the
/// client computes the id of its socket itself.
pub fn connect<'e>(encoder: &'e mut MessageEncoder, namespace: &str) -> EncodedMessage<'e> {
    begin(encoder, namespace, None);
    finish(encoder, PacketType::Connect, PacketType::Connect)
}

/// Encodes the response of a server whose middleware rejects a connect request. `reason` is what the `error` event of
/// the client receives: an object, an array or a text.
///
/// The packet has no attachments. Bytes in `reason` are written as lists of numbers.
///
/// # Errors
/// Returns an error if the reason cannot be encoded.
pub fn error<'e, T: Serialize + ?Sized>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    reason: &T,
) -> Result<EncodedMessage<'e>, EncodeError> {
    begin(encoder, namespace, None);
    write_value(encoder.text(), None, reason)?;
    Ok(finish(encoder, PacketType::ConnectError, PacketType::ConnectError))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_packets_have_the_form_that_node_sends() {
        let encoder = &mut MessageEncoder::new();
        assert_eq!(connect(encoder, "/").text(), "0");
        assert_eq!(connect(encoder, "/admin").text(), "0/admin,");
        assert_eq!(error(encoder, "/", "no").unwrap().text(), r#"4"no""#);
        assert_eq!(error(encoder, "/mw", &json!({"code": 1})).unwrap().text(), r#"4/mw,{"code":1}"#);
    }
}
