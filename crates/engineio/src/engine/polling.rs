//! The requests of a polling session: a GET, which waits for packets, and a POST, which delivers packets.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};

use bytes::Bytes;
use engineio_proto::{CloseReason, Packet, Transport};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{Full, LengthLimitError, Limited};
use net::metrics::{self, Series};
use net::{MEMORY_BUDGET_EXCEEDED, MemoryBudget, MemoryUsage, PeerTimeout};
use tokio::sync::oneshot;

use super::Engine;
use super::RequestBody;
use super::response::{empty_response, text_response};
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
                let response = self.payload_response(body, encoding, session).await;
                polling.finish();
                response
            }
            Some(PollReply::Upgraded) => {
                let close = session.format().encode_packets(&[Packet::Close]);
                self.payload_response(close, None, session).await
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

    pub(super) async fn handle_post(
        &self,
        guard: PostGuard,
        body: RequestBody,
        is_binary: bool,
    ) -> Result<Response<Full<Bytes>>, ConnectionError> {
        let session = guard.session();
        let max_payload = self.0.options.protocol.max_payload;
        let budget = &self.0.options.memory_budget;
        let mut memory = MemoryUsage::default();
        let body = tokio::select! {
            body = collect(Limited::new(body, max_payload), budget, &mut memory) => body,
            () = PeerTimeout::new(self.0.options.http_request_body_timeout) => {
                session.describe_close("the body of a POST did not arrive in time");
                return Ok(close_with(session, StatusCode::REQUEST_TIMEOUT));
            }
        };
        let payload = match body {
            Ok(body) => {
                metrics::add(Series::PollingReceived, body.len());
                session.format().decode_post(body, is_binary, max_payload)
            }
            Err(BodyError::TooMuchMemory) => return Ok(close_for_memory(session)),
            Err(BodyError::TooLong) => None,
            Err(BodyError::Read) => {
                session.describe_close("the body of a POST did not arrive completely");
                return Ok(close_with(session, StatusCode::BAD_REQUEST));
            }
        };
        let Some(payload) = payload else {
            session.report_too_long("the body of a POST is too long", max_payload as u64);
            return Ok(close_with(session, StatusCode::PAYLOAD_TOO_LARGE));
        };
        let held = payload.memory();
        let (done, mut handled) = oneshot::channel();
        session.send_command(Command::Post(PostRequest::new(payload, done)));
        let handled = poll_fn(|cx| match Pin::new(&mut handled).poll(cx) {
            Poll::Ready(handled) => Poll::Ready(Some(handled)),
            // The packets wait for the handler.
            Poll::Pending if memory.report(budget, held.into(), cx, Waker::wake) => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        let Some(handled) = handled.await else {
            return Ok(close_for_memory(session));
        };
        let unknown = ConnectionError::UnknownSid { sid: session.id().as_str().to_owned() };
        guard.finish();
        handled.map_err(|_| unknown)?;
        let mut response = Response::new(Full::from("ok"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Why there is no body.
enum BodyError {
    Read,
    TooLong,
    /// The memory budget is exceeded, and this body is among the largest.
    TooMuchMemory,
}

/// Collects the body into one buffer. Each chunk is copied when it arrives. A list of one-byte chunks would take forty
/// times the limit, and would keep their read buffers in memory.
async fn collect(
    body: Limited<RequestBody>,
    budget: &MemoryBudget,
    memory: &mut MemoryUsage,
) -> Result<Vec<u8>, BodyError> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    let end = poll_fn(|cx| {
        let polled = loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        bytes.extend_from_slice(&data);
                    }
                }
                Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>() => {
                    break Poll::Ready(Err(BodyError::TooLong));
                }
                Poll::Ready(Some(Err(_))) => break Poll::Ready(Err(BodyError::Read)),
                Poll::Ready(None) => break Poll::Ready(Ok(())),
                Poll::Pending => break Poll::Pending,
            }
        };
        if memory.report(budget, bytes.capacity().into(), cx, Waker::wake) {
            polled
        } else {
            Poll::Ready(Err(BodyError::TooMuchMemory))
        }
    });
    end.await?;
    Ok(bytes)
}

/// Closes a session that holds too much of the memory budget.
fn close_for_memory(session: &Session) -> Response<Full<Bytes>> {
    session.describe_close(MEMORY_BUDGET_EXCEEDED);
    let _ = close_with(session, StatusCode::SERVICE_UNAVAILABLE);
    text_response(StatusCode::SERVICE_UNAVAILABLE, "memory budget exceeded\n", None)
}

/// Closes a session whose client violated the rules of the transport.
pub(super) fn close_with(session: &Session, status: StatusCode) -> Response<Full<Bytes>> {
    session.send_command(Command::Close(CloseReason::TransportError));
    empty_response(status)
}
