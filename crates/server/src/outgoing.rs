//! Sends packets in the form of the server's parser.
//!
//! Hot path. Packets are encoded in the form of the default parser. Another parser converts them here, when they are
//! sent.

use std::sync::Arc;

use engineio::Session;
use engineio_proto::{EncodedMessage, MessageEncoder};
use handlers::with_converted;
use net::{LogRateLimit, PushOutcome, Pushed, SlowReaderPolicy};
use socketio_proto::parser::encode_shared_with;
use socketio_proto::{EncodeError, EncodedEvent, Excerpt, Parser};

use crate::socket::EmitError;

/// The session to which packets are sent, and the parser for them.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    session: &'a Session,
    /// `None` for the default parser.
    parser: Option<&'a Arc<dyn Parser>>,
}

impl<'a> Outgoing<'a> {
    #[inline]
    pub(crate) fn new(session: &'a Session, parser: Option<&'a Arc<dyn Parser>>) -> Self {
        Self { session, parser }
    }

    /// Must be called before an event or an acknowledgement is encoded.
    #[inline]
    pub(crate) fn prepare(self, encoder: &mut MessageEncoder) {
        if self.parser.is_some() {
            encoder.lift_attachment_limit();
        }
    }

    /// Sends a packet, see [`Session::send_with`].
    #[inline]
    pub(crate) fn send_with(
        self,
        message: EncodedMessage<'_>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, EmitError> {
        let Some(parser) = self.parser else { return Ok(self.session.send_with(message, policy)?) };
        Ok(with_converted(&**parser, message, |_, batch| self.session.send_batch_with(batch, policy))??)
    }

    /// Sends a packet that is no event. If it cannot be encoded, this is logged.
    pub(crate) fn send_or_log(self, message: EncodedMessage<'_>) {
        if let Err(EmitError::Encode(error)) = self.send_with(message, SlowReaderPolicy::Disconnect) {
            log_not_encoded(&error);
        }
    }

    /// Sends a packet, or returns an error, see [`Session::try_send_with`].
    #[inline]
    pub(crate) fn try_send_with(
        self,
        message: EncodedMessage<'_>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, EmitError> {
        let Some(parser) = self.parser else { return Ok(self.session.try_send_with(message, policy)?) };
        Ok(with_converted(&**parser, message, |_, batch| self.session.try_send_batch_with(batch, policy))??)
    }

    /// Like [`try_send_with`](Self::try_send_with), but also returns the size of the packet in bytes with the error.
    pub(crate) fn try_send_sized(
        self,
        message: EncodedMessage<'_>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, (EmitError, usize)> {
        let Some(parser) = self.parser else {
            let length = message.max_framed_len();
            return self.session.try_send_with(message, policy).map_err(|error| (error.into(), length));
        };
        let sent = with_converted(&**parser, message, |_, batch| {
            let length = batch.max_framed_len();
            self.session.try_send_batch_with(batch, policy).map_err(|error| (error.into(), length))
        });
        sent.unwrap_or_else(|error| Err((error.into(), 0)))
    }

    /// Sends an event that many sockets receive. Wake the returned waker after you have released your locks.
    #[inline]
    pub(crate) fn send_shared(self, event: &EncodedEvent, policy: SlowReaderPolicy<'_>) -> Option<Pushed> {
        let Some(parser) = self.parser else { return self.session.send_shared(event.message(), policy).ok() };
        match encode_shared_with(parser, event.message()) {
            Ok(batch) => self.session.send_shared_batch(&batch, policy).ok(),
            Err(error) => {
                log_not_encoded(&error);
                None
            }
        }
    }
}

/// Converts an event of another server. If that fails, this is logged, and the event must not be sent.
pub(crate) fn convert(parser: Option<&Arc<dyn Parser>>, event: &EncodedEvent) -> bool {
    let Some(parser) = parser else { return true };
    encode_shared_with(parser, event.message()).inspect_err(log_not_encoded).is_ok()
}

fn log_not_encoded(error: &EncodeError) {
    static NOT_ENCODED: LogRateLimit = LogRateLimit::new();
    NOT_ENCODED.try_log(|suppressed| {
        tracing::error!(error = %Excerpt(error), suppressed, "a packet was not sent");
    });
}
