//! The requests of a polling session: a GET, which waits for packets, and a POST, which delivers packets.

use std::pin::pin;

use bytes::{BufMut, Bytes};
use engineio_proto::{CloseReason, Packet, Transport};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use net::PeerTimeout;
use tokio::sync::oneshot;

use super::Engine;
use super::response::empty_response;
use crate::compression::Encoding;
use crate::connection_error::ConnectionError;
use crate::handler::Application;
use crate::session::{Command, PendingPoll, PollReply, PostGuard, Session};
use crate::transport::PostRequest;

impl<A: Application> Engine<A> {
    pub(super) async fn respond_to_poll(
        &self,
        mut polling: PendingPoll,
        encoding: Option<Encoding>,
    ) -> Result<Response<Full<Bytes>>, ConnectionError> {
        let reply = polling.reply().await;
        let session = polling.session();
        Ok(match reply {
            Some(PollReply::Packets(body)) => {
                let response = self.payload_response(body, encoding).await;
                polling.finish();
                response
            }
            Some(PollReply::Upgraded) => {
                let close = session.format().encode_packets(&[Packet::Close]);
                self.payload_response(close, None).await
            }
            Some(PollReply::Overlap) => empty_response(StatusCode::BAD_REQUEST),
            // The session has ended, or has upgraded to WebSocket, while the request was in flight.
            None if session.is_closed() => {
                return Err(ConnectionError::UnknownSid { sid: session.id().as_str().to_owned() });
            }
            None => {
                let (transport, previous_transport) = (Transport::Polling, session.transport());
                return Err(ConnectionError::TransportMismatch { transport, previous_transport });
            }
        })
    }

    pub(super) async fn handle_post<B>(
        &self,
        guard: PostGuard,
        body: B,
        is_binary: bool,
    ) -> Result<Response<Full<Bytes>>, ConnectionError>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let session = guard.session();
        let max_payload = self.0.options.protocol.max_payload;
        let body = Limited::new(body, max_payload);
        let body = tokio::select! {
            body = collect(body) => body,
            () = PeerTimeout::new(self.0.options.http_request_body_timeout) => {
                session.describe_close("the body of a POST did not arrive in time");
                return Ok(close_with(session, StatusCode::REQUEST_TIMEOUT));
            }
        };
        let payload = match body {
            Ok(body) => session.format().decode_post(body, is_binary, max_payload),
            Err(error) if error.is::<LengthLimitError>() => None,
            Err(_) => {
                session.describe_close("the body of a POST did not arrive completely");
                return Ok(close_with(session, StatusCode::BAD_REQUEST));
            }
        };
        let Some(payload) = payload else {
            session.describe_close("the body of a POST is too long");
            return Ok(close_with(session, StatusCode::PAYLOAD_TOO_LARGE));
        };
        let (done, handled) = oneshot::channel();
        session.send_command(Command::Post(PostRequest::new(payload, done)));
        let handled = handled.await;
        let unknown = ConnectionError::UnknownSid { sid: session.id().as_str().to_owned() };
        guard.finish();
        handled.map_err(|_| unknown)?;
        let mut response = Response::new(Full::from("ok"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Collects the body into one buffer. Each chunk is copied when it arrives. A list of one-byte chunks would take forty
/// times the limit, and would keep their read buffers in memory.
async fn collect<B: Body>(body: B) -> Result<Vec<u8>, B::Error> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.put(data);
        }
    }
    Ok(bytes)
}

/// Closes a session whose client violated the rules of the transport.
pub(super) fn close_with(session: &Session, status: StatusCode) -> Response<Full<Bytes>> {
    session.send_command(Command::Close(CloseReason::TransportError));
    empty_response(status)
}
