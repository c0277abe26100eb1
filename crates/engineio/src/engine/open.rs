//! Opens sessions.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use engineio_proto::{
    CloseReason, Framing, Packet, ResponseBody, SessionId, Transport, WireFormat, handshake_json,
};
use http::Response;
use http::header::{HeaderValue, SET_COOKIE};
use http::request::Parts;
use http_body_util::Full;
use net::metrics::{self, Series};
use net::{
    AddressPermit, ClientAddress, LogRateLimit, PeerTimeout, PendingUpgrade, RetainedMemory, TaskToken,
};
use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use super::response::rejection_response;
use crate::compression::Encoding;
use crate::connection_error::ConnectionError;
use crate::driver::{Driver, MovableDriver};
use crate::half_open::HalfOpenLimits;
use crate::handler::Application;
use crate::request::SessionRequest;
use crate::session::{Command, Session};
use crate::session_refusal::SessionRefusal;

/// The request heads of one address may take this share of the memory budget: a quarter of what all heads may take. One
/// client cannot stop the sessions of all others. With the default budget of a machine of 8 GiB, ten thousand clients of
/// an office behind one address may have heads of 50 KiB each.
const ADDRESS_SHARE: usize = 8;

/// Keeps a session registered, so that requests find it by its id. The handshake holds the guard first, and then the
/// session's task.
#[derive(Debug)]
pub(crate) struct SessionGuard<A> {
    pub(crate) engine: Engine<A>,
    pub(crate) session: Session,
    /// What the handler keeps of the request that opened the session.
    head: RetainedMemory,
    /// Dropped last, after everything that `drop` does.
    _token: TaskToken,
}

impl<A> Drop for SessionGuard<A> {
    /// Removes the session, so that no session id outlives its session. This happens even if the connection is lost or
    /// the handler panics.
    fn drop(&mut self) {
        self.session.set_closed();
        self.session.outbox().close();
        self.session.release_address();
        self.engine.0.registry.remove(self.session.id());
        self.session.close_commands();
    }
}

/// The result of a request for a new session.
pub(super) enum OpenResponse {
    /// A session on WebSocket, or a rejection.
    Response(Response<Full<Bytes>>),
    /// A polling session: the body of the first response, and its `Set-Cookie` header.
    Polling { session: Session, body: ResponseBody, cookie: Option<HeaderValue> },
}

impl<A: Application> Engine<A> {
    pub(super) fn open(
        &self,
        requested: SessionRequest,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
        address: Option<AddressPermit>,
    ) -> OpenResponse {
        match (requested.transport, upgrade) {
            (Transport::WebSocket, Some(upgrade)) => {
                OpenResponse::Response(self.open_websocket(parts, requested.format, upgrade, address))
            }
            _ => self.open_polling(parts, requested.format, address),
        }
    }

    /// Admits one more session of the client's address. Returns `None` if the address is not limited.
    pub(super) fn admit_address(&self, request: &Parts) -> Result<Option<AddressPermit>, SessionRefusal> {
        let admitted = self.0.address_limiter.admit(request, self.0.application.authenticates());
        admitted.map_err(SessionRefusal::AddressLimit)
    }

    /// Returns the permit for a check that waits. Returns an error if too many checks wait already, or if no session
    /// could open now: a check would then only be work for the service that it asks.
    pub(super) fn admit_check(&self) -> Result<OwnedSemaphorePermit, SessionRefusal> {
        if self.0.closing.load(Ordering::Acquire) {
            return Err(SessionRefusal::Closing);
        }
        if self.has_max_sessions() {
            return Err(SessionRefusal::TooManySessions);
        }
        let permit = Arc::clone(&self.0.pending_allow_requests).try_acquire_owned().ok();
        if permit.is_none() {
            self.0.max_pending_allow_requests_log.try_log(|suppressed| {
                let limit = self.0.options.max_pending_allow_requests;
                tracing::warn!(
                    max_pending_allow_requests = limit,
                    suppressed,
                    "rejected a new session: `max_pending_allow_requests` is reached"
                );
            });
        }
        permit.ok_or(SessionRefusal::TooManyChecks { timeout: self.0.options.allow_request_timeout })
    }

    /// Opens the session if the application allows it. If the client disconnects before, nothing has happened.
    pub(super) async fn open_if_allowed(
        self,
        decision: impl Future<Output = Result<(), String>> + Send,
        requested: Result<SessionRequest, ConnectionError>,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
        address: Option<AddressPermit>,
    ) -> OpenResponse {
        let limit = self.0.options.allow_request_timeout;
        let Some(decision) = PeerTimeout::limit(limit, decision).await else {
            self.0.allow_request_timeout_log.try_log(|suppressed| {
                let seconds = limit.as_secs_f64();
                tracing::warn!(seconds, suppressed, "rejected a new session: `allow_request` took too long");
            });
            return OpenResponse::Response(self.refuse_session(SessionRefusal::CheckTimedOut, &parts));
        };
        let allowed = decision.map_err(|message| ConnectionError::Forbidden { message });
        match allowed.and(requested) {
            Ok(requested) => self.open(requested, parts, upgrade, address),
            Err(error) => {
                self.report_refused_request(&error, Some(&parts));
                OpenResponse::Response(rejection_response(&error, upgrade.is_some()))
            }
        }
    }

    /// Returns whether the engine has as many sessions as it may have. If so, it logs that it rejects one.
    pub(super) fn has_max_sessions(&self) -> bool {
        let is_full = self.0.registry.len() >= self.0.options.max_sessions;
        if is_full {
            self.0.max_sessions_log.try_log(|suppressed| {
                let max_sessions = self.0.options.max_sessions;
                tracing::warn!(max_sessions, suppressed, "rejected a new session: `max_sessions` is reached");
            });
        }
        is_full
    }

    /// Registers a new session with an id of its own. Returns an error if the head of the request is too long, if there
    /// are too many sessions or too little memory, if the engine is closing, or if the system has no random bytes.
    pub(super) fn new_session(
        &self,
        transport: Transport,
        framing: Framing,
        format: WireFormat,
        address: Option<AddressPermit>,
        request: &Parts,
    ) -> Result<SessionGuard<A>, SessionRefusal> {
        if HeadSize::of(request).received > self.0.options.max_handshake_size {
            return Err(SessionRefusal::HeadTooLong);
        }
        if self.has_max_sessions() {
            return Err(SessionRefusal::TooManySessions);
        }
        let kept = self.0.application.request_memory(request);
        let budget = &self.0.options.memory_budget;
        let max_of_address = budget.limit() / ADDRESS_SHARE;
        if address.as_ref().is_some_and(|address| !address.try_retain(kept, max_of_address)) {
            self.0.memory_budget_log.try_log(|suppressed| {
                let address = request.extensions.get::<ClientAddress>().map(|address| address.ip());
                tracing::warn!(
                    address = address.map(tracing::field::display),
                    suppressed,
                    "rejected a new session: the request heads of one address take an eighth of `memory_budget`"
                );
            });
            return Err(SessionRefusal::HeadMemoryOfAddress);
        }
        let Some(head) = budget.try_retain(kept) else {
            self.0.memory_budget_log.try_log(|suppressed| {
                let memory_budget = budget.limit();
                tracing::warn!(
                    memory_budget,
                    suppressed,
                    "rejected a new session: the request heads of the sessions take half of `memory_budget`"
                );
            });
            return Err(SessionRefusal::HeadMemory);
        };
        let mut random = [0; 15];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "rejected a new session: the system returned no random bytes for its id");
            return Err(SessionRefusal::NoRandomBytes);
        }
        let session = Session::new(
            SessionId::from_random(random),
            transport,
            framing,
            format,
            self.0.options.max_write_buffer_size,
            self.0.options.memory_budget.clone(),
            address,
        );
        // The token is taken before the registration, so `closed` waits for every session that `close` finds.
        let registered = SessionGuard { engine: self.clone(), session, head, _token: self.0.tasks.token() };
        self.0.registry.insert(registered.session.clone());
        // Checked after the registration: either `close` finds the session, or this load sees that the engine is
        // closing.
        if self.0.closing.load(Ordering::Acquire) {
            return Err(SessionRefusal::Closing);
        }
        Ok(registered)
    }

    pub(super) fn open_polling(
        &self,
        parts: Parts,
        format: WireFormat,
        address: Option<AddressPermit>,
    ) -> OpenResponse {
        let framing = Framing::LengthDelimited;
        let registered = match self.new_session(Transport::Polling, framing, format, address, &parts) {
            Ok(registered) => registered,
            Err(refusal) => return OpenResponse::Response(self.refuse_session(refusal, &parts)),
        };
        let limits = HalfOpenLimits {
            sessions: self.0.options.max_half_open_sessions,
            bytes: self.0.options.max_half_open_bytes,
        };
        let head = registered.head.bytes();
        for half_open in self.0.half_open.push(&registered.session, head, limits, &self.0.registry) {
            metrics::count(Series::MaxHalfOpenSessions);
            static LOG: LogRateLimit = LogRateLimit::new();
            LOG.try_log(|suppressed| {
                tracing::warn!(
                    max_half_open_sessions = limits.sessions,
                    max_half_open_bytes = limits.bytes,
                    suppressed,
                    "closed the oldest half-open session: a limit of half-open sessions is reached"
                );
            });
            half_open.send_command(Command::CloseWithoutPoll(CloseReason::ForcedClose));
        }
        let session = registered.session.clone();
        let open = handshake_json(session.id(), Transport::Polling, &self.0.options.protocol);
        let cookie = self.0.options.cookie.as_ref().map(|cookie| cookie.set_cookie(registered.session.id()));
        tokio::spawn(MovableDriver::new(Driver::polling(registered, parts)));
        let open = Packet::Open(&open);
        let body = match &self.0.options.initial_packet {
            Some(initial) => session.format().encode_packets(&[open, initial.as_packet()]),
            None => session.format().encode_packets(&[open]),
        };
        OpenResponse::Polling { session, body, cookie }
    }

    pub(super) async fn respond_to_open(
        &self,
        opened: OpenResponse,
        encoding: Option<Encoding>,
    ) -> Response<Full<Bytes>> {
        match opened {
            OpenResponse::Response(response) => response,
            OpenResponse::Polling { session, body, cookie } => {
                let mut response = self.payload_response(body, encoding, &session).await;
                if let Some(cookie) = cookie {
                    response.headers_mut().insert(SET_COOKIE, cookie);
                }
                response
            }
        }
    }
}

/// The size of the head of a request, in bytes: its path, its query, and its headers with their separators.
pub(crate) struct HeadSize {
    received: usize,
    /// As text, in which each byte that is not ASCII may take three.
    pub(crate) kept: usize,
}

impl HeadSize {
    pub(crate) fn of(request: &Parts) -> Self {
        let url = request.uri.path_and_query().map_or(0, |url| url.as_str().len());
        let mut size = Self { received: url, kept: url };
        for (name, value) in &request.headers {
            let length = name.as_str().len() + value.len() + 2;
            let unusual = value.as_bytes().iter().filter(|byte| !byte.is_ascii()).count();
            size.received += length;
            size.kept += length + 2 * unusual;
        }
        size
    }
}
