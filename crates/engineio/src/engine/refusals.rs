//! What the log and the application learn of refused requests.

use bytes::Bytes;
use engineio_proto::RequestError;
use http::Response;
use http::header::ORIGIN;
use http::request::Parts;
use http_body_util::Full;
use net::metrics::{self, Series};
use net::{ClientAddress, LogRateLimit, print_if_unlogged};
use ws_proto::Excerpt;

use super::Engine;
use super::response::text_response;
use crate::connection_error::ConnectionError;
use crate::handler::Application;
use crate::session_refusal::SessionRefusal;

/// Limits the log lines about refused requests, each reason separately.
#[derive(Debug, Default)]
pub(super) struct RefusalLogs {
    unknown_transport: LogRateLimit,
    unknown_sid: LogRateLimit,
    bad_handshake_method: LogRateLimit,
    bad_request: LogRateLimit,
    forbidden: LogRateLimit,
    unsupported_protocol_version: LogRateLimit,
    head_too_long: LogRateLimit,
    closing: LogRateLimit,
    /// For standard error: the log lines of the other reasons are written where the limits are.
    other: LogRateLimit,
}

impl RefusalLogs {
    fn of_request(&self, error: RequestError) -> &LogRateLimit {
        match error {
            RequestError::UnknownTransport => &self.unknown_transport,
            RequestError::UnknownSid => &self.unknown_sid,
            RequestError::BadHandshakeMethod => &self.bad_handshake_method,
            RequestError::Forbidden => &self.forbidden,
            RequestError::UnsupportedProtocolVersion => &self.unsupported_protocol_version,
            // `BadRequest`, and what other versions add.
            _ => &self.bad_request,
        }
    }
}

impl<A: Application> Engine<A> {
    /// Logs that a request is refused, and tells the application. The head of a request that has waited is kept only if
    /// the application has a hook.
    pub(super) fn report_refused_request(&self, error: &ConnectionError, request: Option<&Parts>) {
        metrics::count(error.series());
        let hook = &self.0.options.on_connection_error;
        self.0.refusal_logs.of_request(error.kind()).try_log(|suppressed| {
            let reason = Excerpt(error);
            let address = request.and_then(|request| request.extensions.get::<ClientAddress>());
            // A forbidden request often comes from a page whose origin is not allowed.
            let origin = request.filter(|_| error.kind() == RequestError::Forbidden);
            let origin = origin.and_then(|request| request.headers.get(ORIGIN));
            let origin = origin.map(|origin| Excerpt(String::from_utf8_lossy(origin.as_bytes())));
            tracing::warn!(
                address = address.map(|address| tracing::field::display(address.ip())),
                path = self.path(),
                origin = origin.as_ref().map(tracing::field::display),
                error = %reason,
                suppressed,
                "refused a request"
            );
            if hook.is_none() {
                print_if_unlogged(
                    format_args!("refused a request for {}: {reason}", self.path()),
                    suppressed,
                );
            }
        });
        if let (Some(hook), Some(request)) = (hook, request) {
            hook.call(error, request);
        }
    }

    /// Returns the response to a client that gets no session, and tells the application. The reasons that are not logged
    /// here are logged where the limit is.
    pub(super) fn refuse_session(&self, refusal: SessionRefusal, request: &Parts) -> Response<Full<Bytes>> {
        metrics::count(refused_series(refusal));
        let logs = &self.0.refusal_logs;
        let address = request.extensions.get::<ClientAddress>().map(|address| address.ip());
        let address = address.map(tracing::field::display);
        match refusal {
            SessionRefusal::HeadTooLong => logs.head_too_long.try_log(|suppressed| {
                let max_handshake_size = self.0.options.max_handshake_size;
                tracing::warn!(
                    address,
                    max_handshake_size,
                    suppressed,
                    "rejected a new session: the head of its request exceeds `max_handshake_size`"
                );
            }),
            // A normal event of each restart.
            SessionRefusal::Closing => logs.closing.try_log(|suppressed| {
                tracing::info!(address, suppressed, "rejected a new session: the server is closing");
            }),
            _ => {}
        }
        match &self.0.options.on_session_refused {
            Some(hook) => hook.call(refusal, request),
            None => logs.other.try_log(|suppressed| {
                print_if_unlogged(format_args!("rejected a new session: {refusal}"), suppressed);
            }),
        }
        text_response(refusal.status(), format!("{refusal}\n"), refusal.retry_after())
    }
}

fn refused_series(refusal: SessionRefusal) -> Series {
    match refusal {
        SessionRefusal::HeadTooLong => Series::EngineHeadTooLong,
        SessionRefusal::TooManySessions => Series::EngineMaxSessions,
        SessionRefusal::HeadMemory | SessionRefusal::HeadMemoryOfAddress => Series::EngineHeadMemory,
        SessionRefusal::AddressLimit(_) => Series::EngineAddressLimit,
        SessionRefusal::Closing => Series::EngineClosing,
        SessionRefusal::NoRandomBytes => Series::EngineNoRandomBytes,
        SessionRefusal::TooManyChecks { .. } => Series::EngineTooManyChecks,
        SessionRefusal::CheckTimedOut => Series::EngineCheckTimedOut,
    }
}
