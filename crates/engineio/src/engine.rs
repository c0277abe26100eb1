//! The HTTP side of the engine. It handles every request of every transport.

use std::future::{Future, Ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use engineio_proto::{
    CloseReason, Framing, LengthDelimitedPackets, Packet, Payload, RequestError, SessionId, Transport,
    encode_payload, handshake_json, open_packet,
};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use net::{LogRateLimit, PeerTimeout, PendingUpgrade};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use ws_proto::{DeflateAgreement, HandshakeError, VerifiedRequest};

use crate::compression::{CompressionCapacity, Encoding};
use crate::connection_error::ConnectionError;
use crate::driver::Driver;
use crate::half_open::HalfOpenSessions;
use crate::handler::Application;
use crate::options::Options;
use crate::registry::Registry;
use crate::request::{RequestKind, check_request};
use crate::session::{Command, PendingPoll, PollReply, PostGuard, Session};
use crate::transport::{PostRequest, WebSocket};

/// An Engine.IO server for one application. It is cheap to clone, and all clones share the same sessions.
#[derive(Debug)]
pub struct Engine<A>(Arc<Shared<A>>);

/// The state that the tasks of all sessions share.
#[derive(Debug)]
struct Shared<A> {
    /// The engine handles the requests whose paths begin with this.
    path_prefix: String,
    options: Options,
    application: A,
    registry: Registry,
    half_open: HalfOpenSessions,
    compression_capacity: CompressionCapacity,
    closing: AtomicBool,
    /// The tasks of all sessions, including sessions that are over but still have data to send or work to finish.
    tasks: TaskTracker,
    /// One permit for each check of `allow_request` that may still wait.
    pending_allow_requests: Arc<Semaphore>,
    /// These limit the log lines about rejected sessions.
    max_sessions_log: LogRateLimit,
    allow_request_timeout_log: LogRateLimit,
    max_pending_allow_requests_log: LogRateLimit,
}

impl<A> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Application> Engine<A> {
    /// Creates an engine without sessions.
    pub fn new(options: Options, application: A) -> Self {
        let max_pending_allow_requests = options.max_pending_allow_requests.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            path_prefix: options.path_prefix(),
            options,
            application,
            registry: Registry::default(),
            half_open: HalfOpenSessions::default(),
            compression_capacity: CompressionCapacity::default(),
            closing: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            pending_allow_requests: Arc::new(Semaphore::new(max_pending_allow_requests)),
            max_sessions_log: LogRateLimit::new(),
            allow_request_timeout_log: LogRateLimit::new(),
            max_pending_allow_requests_log: LogRateLimit::new(),
        }))
    }

    /// Returns the application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.0.application
    }

    /// Returns whether the engine handles requests for `path`.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with(&self.0.path_prefix)
    }

    /// Returns the number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.0.registry.len()
    }

    /// Closes every session, and from now on rejects new ones with status 503. The engine does not wait for the next
    /// poll of a polling client, because the server may be gone by then.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        for session in self.0.registry.all() {
            session.send_command(Command::Discard(CloseReason::ServerShuttingDown));
        }
    }

    /// Waits until no session is left and their handlers have finished, at most for `limit`. This method is cancel
    /// safe.
    pub async fn closed(&self, limit: Duration) {
        // This `close` only allows `wait` to return. Unless the engine is closed, new sessions may still start, and
        // `wait` includes them.
        self.0.tasks.close();
        let _ = tokio::time::timeout(limit, self.0.tasks.wait()).await;
    }

    /// Handles one HTTP request.
    ///
    /// The request takes effect when this method is called, even if the future is never polled. The exception is a
    /// request that opens a session while [`AllowRequest::new_async`](crate::AllowRequest::new_async) decides: it takes
    /// effect once the check has allowed it. Drop the future if the client disconnects: this closes the session of a
    /// waiting poll, or of a POST whose body has not been read to its end. Once the future is ready, the session treats
    /// the response as delivered.
    pub fn handle<B>(
        &self,
        mut request: Request<B>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<A, B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let upgrade = net::is_websocket_request(request.method(), request.headers(), request.extensions())
            .then(|| PendingUpgrade::from_request(&mut request));
        let (parts, body) = request.into_parts();
        let options = &self.0.options;
        let retained = options.keeps_request_heads().then(|| Box::new(parts.clone()));
        let mut opens_session = false;
        let mut cors_headers = HeaderMap::new();
        let mut preflight = None;
        if let Some(cors) = &options.cors {
            preflight = cors.preflight(&parts);
            cors_headers = cors.headers(&parts);
        }
        let encoding =
            if options.http_compression.is_some() { Encoding::negotiate(&parts.headers) } else { None };
        let pending = match preflight {
            Some(preflight) => {
                cors_headers.clear();
                PendingResponse::Ready(preflight.map(|()| Full::default()))
            }
            None => match check_request(&parts, upgrade.is_some(), self.options(), self.registry()) {
                Ok(request_kind) => {
                    opens_session =
                        matches!(request_kind, RequestKind::Open(..) | RequestKind::OpenIfAllowed(_));
                    self.dispatch(request_kind, parts, upgrade)
                }
                Err(error) => {
                    options.call_on_connection_error(&error, &parts);
                    PendingResponse::Ready(rejection_response(&error, upgrade.is_some()))
                }
            },
        };
        let engine = self.clone();
        async move {
            let response = match pending {
                PendingResponse::Ready(response) => Ok(response),
                PendingResponse::Open(opened) => Ok(engine.respond_to_open(opened, encoding).await),
                PendingResponse::OpenIfAllowed(opening) => {
                    Ok(engine.respond_to_open(opening.await, encoding).await)
                }
                PendingResponse::Poll(polling) => engine.respond_to_poll(polling, encoding).await,
                PendingResponse::Post(posting) => engine.handle_post(posting, body).await,
            };
            let mut response = response.unwrap_or_else(|error| {
                if let Some(request) = &retained {
                    engine.options().call_on_connection_error(&error, request);
                }
                rejection_response(&error, false)
            });
            response.headers_mut().extend(cors_headers);
            if let Some(request) = retained
                && is_session_response(&request, response.status())
            {
                engine.options().call_on_headers(response.headers_mut(), &request, opens_session);
            }
            response
        }
    }
}

/// Keeps a session registered, so that requests find it by its id. The handshake holds the guard first, and then the
/// session's task.
#[derive(Debug)]
pub(crate) struct SessionGuard<A> {
    pub(crate) engine: Engine<A>,
    pub(crate) session: Session,
    /// Dropped last, after everything that `drop` does.
    _token: TaskTrackerToken,
}

impl<A> Drop for SessionGuard<A> {
    /// Removes the session, so that no session id outlives its session. This happens even if the connection is lost or
    /// the handler panics.
    fn drop(&mut self) {
        self.session.set_closed();
        self.session.outbox().close();
        self.engine.0.registry.remove(self.session.id());
        self.session.close_commands();
    }
}

/// The result of [`Engine::handle`] before its future is first polled: a response, or a GET or POST that must wait.
enum PendingResponse {
    Ready(Response<Full<Bytes>>),
    Open(Opened),
    /// The application decides whether a session may open.
    OpenIfAllowed(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Poll(PendingPoll),
    Post(PostGuard),
}

/// The result of a request for a new session.
enum Opened {
    /// A session on WebSocket, or a rejection.
    Response(Response<Full<Bytes>>),
    /// A polling session: the payload of the first response, and its `Set-Cookie` header.
    Polling { packets: Vec<u8>, cookie: Option<HeaderValue> },
}

impl<A: Application> Engine<A> {
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn dispatch(
        &self,
        request_kind: RequestKind,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
    ) -> PendingResponse {
        if let RequestKind::Poll(session) | RequestKind::Post(session) | RequestKind::Upgrade(session, _) =
            &request_kind
        {
            session.set_has_sent_request();
        }
        PendingResponse::Ready(match (request_kind, upgrade) {
            (RequestKind::Open(transport, framing), upgrade) => {
                return PendingResponse::Open(self.open(transport, framing, parts, upgrade));
            }
            (RequestKind::OpenIfAllowed(pending), upgrade) => {
                let Some(permit) = self.admit_check() else {
                    return PendingResponse::Ready(empty_response(StatusCode::SERVICE_UNAVAILABLE));
                };
                let decision = (pending.check)(parts.clone());
                let decision = async move {
                    let _permit = permit;
                    decision.await
                };
                let opening = self.clone().open_if_allowed(decision, pending.transport, parts, upgrade);
                return PendingResponse::OpenIfAllowed(Box::pin(opening));
            }
            (RequestKind::Upgrade(session, framing), Some(upgrade)) => {
                self.open_candidate(session, &parts, framing, upgrade)
            }
            (RequestKind::Poll(session), _) => return PendingResponse::Poll(PendingPoll::begin(session)),
            (RequestKind::Post(session), _) => {
                let binary =
                    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
                match session.begin_post() {
                    Some(posting) if !binary => return PendingResponse::Post(posting),
                    _ => close_with(&session, StatusCode::BAD_REQUEST),
                }
            }
            (RequestKind::Upgrade(..) | RequestKind::UnsupportedMethod, _) => {
                empty_response(StatusCode::INTERNAL_SERVER_ERROR)
            }
        })
    }

    fn open(
        &self,
        transport: Transport,
        framing: Framing,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
    ) -> Opened {
        match (transport, upgrade) {
            (Transport::WebSocket, Some(upgrade)) => {
                Opened::Response(self.open_websocket(parts, framing, upgrade))
            }
            _ => self.open_polling(parts),
        }
    }

    /// Returns the permit for a check that waits. Returns `None` if too many checks wait already, or if no session could
    /// open now: a check would then only be work for the service that it asks.
    fn admit_check(&self) -> Option<OwnedSemaphorePermit> {
        if self.0.closing.load(Ordering::Acquire) || self.has_max_sessions() {
            return None;
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
        permit
    }

    /// Opens the session if the application allows it. If the client disconnects before, nothing has happened.
    async fn open_if_allowed(
        self,
        decision: impl Future<Output = Result<(), String>> + Send,
        transport: Result<(Transport, Framing), ConnectionError>,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
    ) -> Opened {
        let limit = self.0.options.allow_request_timeout;
        let Ok(decision) = tokio::time::timeout(limit, decision).await else {
            self.0.allow_request_timeout_log.try_log(|suppressed| {
                let seconds = limit.as_secs_f64();
                tracing::warn!(seconds, suppressed, "rejected a new session: `allow_request` took too long");
            });
            return Opened::Response(empty_response(StatusCode::SERVICE_UNAVAILABLE));
        };
        let allowed = decision.map_err(|message| ConnectionError::Forbidden { message });
        match allowed.and(transport) {
            Ok((transport, framing)) => self.open(transport, framing, parts, upgrade),
            Err(error) => {
                self.0.options.call_on_connection_error(&error, &parts);
                Opened::Response(rejection_response(&error, upgrade.is_some()))
            }
        }
    }

    /// Returns whether the engine has as many sessions as it may have. If so, it logs that it rejects one.
    fn has_max_sessions(&self) -> bool {
        let is_full = self.0.registry.len() >= self.0.options.max_sessions;
        if is_full {
            self.0.max_sessions_log.try_log(|suppressed| {
                let max_sessions = self.0.options.max_sessions;
                tracing::warn!(max_sessions, suppressed, "rejected a new session: `max_sessions` is reached");
            });
        }
        is_full
    }

    /// Registers a new session with an id of its own. Returns `None` if there are too many sessions, if the engine is
    /// closing, or if the system has no random bytes.
    fn new_session(&self, transport: Transport, framing: Framing) -> Option<SessionGuard<A>> {
        if self.has_max_sessions() {
            return None;
        }
        let mut random = [0; 15];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "rejected a new session: the system returned no random bytes for its id");
            return None;
        }
        let session = Session::new(
            SessionId::from_random(random),
            transport,
            framing,
            self.0.options.max_write_buffer_size,
        );
        // The token is taken before the registration, so `closed` waits for every session that `close` finds.
        let registered = SessionGuard { engine: self.clone(), session, _token: self.0.tasks.token() };
        self.0.registry.insert(registered.session.clone());
        // Checked after the registration: either `close` finds the session, or this load sees that the engine is
        // closing.
        (!self.0.closing.load(Ordering::Acquire)).then_some(registered)
    }

    fn open_polling(&self, parts: Parts) -> Opened {
        let Some(registered) = self.new_session(Transport::Polling, Framing::LengthDelimited) else {
            return Opened::Response(empty_response(StatusCode::SERVICE_UNAVAILABLE));
        };
        let limit = self.0.options.max_half_open_sessions;
        if let Some(silent) = self.0.half_open.push(&registered.session, limit, &self.0.registry) {
            tracing::debug!(
                max_half_open_sessions = limit,
                "closed the oldest half-open session: `max_half_open_sessions` is reached"
            );
            silent.send_command(Command::Discard(CloseReason::ForcedClose));
        }
        let open = open_packet(registered.session.id(), Transport::Polling, &self.0.options.protocol);
        let cookie = self.0.options.cookie.as_ref().map(|cookie| cookie.set_cookie(registered.session.id()));
        tokio::spawn(Driver::polling(registered, parts));
        let mut packets = open.into_bytes();
        if let Some(initial) = &self.0.options.initial_packet {
            let mut packet = Vec::new();
            Framing::LengthDelimited.write_packet(&initial.as_packet(), &mut packet);
            encode_payload(LengthDelimitedPackets::new(&packet), &mut packets);
        }
        Opened::Polling { packets, cookie }
    }

    fn open_websocket(
        &self,
        parts: Parts,
        framing: Framing,
        upgrade: PendingUpgrade,
    ) -> Response<Full<Bytes>> {
        let accepted = match verify_handshake(&parts) {
            Ok(accepted) => accepted,
            Err(error) => return self.refuse_handshake(&error, &parts),
        };
        let deflate = self.negotiate_deflate(&accepted);
        let outbox_framing = WebSocket::outbox_framing_for(framing, deflate.is_some());
        let Some(registered) = self.new_session(Transport::WebSocket, outbox_framing) else {
            return empty_response(StatusCode::SERVICE_UNAVAILABLE);
        };
        spawn_upgrade(&accepted, deflate, upgrade, move |upgraded, deflate| {
            let websocket = WebSocket::new(upgraded, framing, deflate.as_ref(), registered.engine.options());
            let settings = &registered.engine.options().protocol;
            let handshake = handshake_json(registered.session.id(), Transport::WebSocket, settings);
            Some(Driver::websocket(registered, parts, websocket, &Packet::Open(&handshake)))
        })
    }

    fn open_candidate(
        &self,
        session: Session,
        parts: &Parts,
        framing: Framing,
        upgrade: PendingUpgrade,
    ) -> Response<Full<Bytes>> {
        match verify_handshake(parts) {
            Ok(accepted) => {
                let deflate = self.negotiate_deflate(&accepted);
                spawn_upgrade(&accepted, deflate, upgrade, move |upgraded, deflate| {
                    session.send_command(Command::Candidate(upgraded, framing, deflate));
                    None::<Ready<()>>
                })
            }
            Err(error) => self.refuse_handshake(&error, parts),
        }
    }

    fn refuse_handshake(&self, error: &HandshakeError, request: &Parts) -> Response<Full<Bytes>> {
        let reported = ConnectionError::TransportHandshakeError { error: error.to_string() };
        self.0.options.call_on_connection_error(&reported, request);
        error.response().map(|body| Full::new(Bytes::from(body)))
    }

    async fn respond_to_open(&self, opened: Opened, encoding: Option<Encoding>) -> Response<Full<Bytes>> {
        match opened {
            Opened::Response(response) => response,
            Opened::Polling { packets, cookie } => {
                let mut response = self.payload_response(packets, encoding).await;
                if let Some(cookie) = cookie {
                    response.headers_mut().insert(SET_COOKIE, cookie);
                }
                response
            }
        }
    }

    fn negotiate_deflate(&self, request: &VerifiedRequest) -> Option<DeflateAgreement> {
        self.0.options.per_message_deflate.as_ref().and_then(|options| request.deflate(options))
    }

    async fn respond_to_poll(
        &self,
        mut polling: PendingPoll,
        encoding: Option<Encoding>,
    ) -> Result<Response<Full<Bytes>>, ConnectionError> {
        let reply = polling.reply().await;
        let session = polling.session();
        Ok(match reply {
            Some(PollReply::Packets(packets)) => {
                let response = self.payload_response(packets, encoding).await;
                polling.finish();
                response
            }
            Some(PollReply::Upgraded) => {
                let mut close = Vec::new();
                Packet::Close.encode_into(&mut close);
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

    /// Returns the response to a GET, compressed with `encoding` if it is long enough and the engine has the capacity.
    async fn payload_response(
        &self,
        mut packets: Vec<u8>,
        encoding: Option<Encoding>,
    ) -> Response<Full<Bytes>> {
        let mut content_encoding = None;
        if let (Some(options), Some(encoding)) = (&self.0.options.http_compression, encoding)
            && packets.len() >= options.threshold
            && let Some(compressed) =
                encoding.compress(&packets, options.level, &self.0.compression_capacity).await
        {
            packets = compressed;
            content_encoding = Some(encoding.header_value());
        }
        let mut response = Response::new(Full::from(packets));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        // No `Vary` is needed: no cache stores the response.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(encoding) = content_encoding {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        response
    }

    async fn handle_post<B>(
        &self,
        guard: PostGuard,
        body: B,
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
                return Ok(close_with(session, StatusCode::REQUEST_TIMEOUT));
            }
        };
        let payload = match body {
            Ok(body) => Payload::from_bytes(body, max_payload),
            Err(error) if error.is::<LengthLimitError>() => None,
            Err(_) => return Ok(close_with(session, StatusCode::BAD_REQUEST)),
        };
        let Some(payload) = payload else {
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
fn close_with(session: &Session, status: StatusCode) -> Response<Full<Bytes>> {
    session.send_command(Command::Close(CloseReason::TransportError));
    empty_response(status)
}

fn verify_handshake(request: &Parts) -> Result<VerifiedRequest, HandshakeError> {
    net::verify_handshake(
        &request.method,
        &request.uri,
        request.version,
        &request.headers,
        &request.extensions,
    )
}

/// Accepts a handshake. A new task passes the raw connection to `then`, and runs the future that `then` returns.
fn spawn_upgrade<F: Future<Output = ()> + Unpin + Send + 'static>(
    accepted: &VerifiedRequest,
    deflate: Option<DeflateAgreement>,
    upgrade: PendingUpgrade,
    then: impl FnOnce(net::Upgraded, Option<DeflateAgreement>) -> Option<F> + Send + 'static,
) -> Response<Full<Bytes>> {
    tokio::spawn(AfterUpgrade::Upgrading(Box::pin(async move {
        match net::finish_upgrade(upgrade).await {
            Ok(upgraded) => then(upgraded, deflate),
            Err(error) => {
                tracing::debug!(error = %net::ErrorChain(&error), "the connection ended before its upgrade");
                None
            }
        }
    })));
    // A client that offers subprotocols fails the connection if none is selected (browsers do). None of them means
    // anything to Engine.IO, so the first is selected, as in Node.
    let protocol = accepted.protocols().first().map(String::as_str);
    accepted.response(protocol, deflate.as_ref()).map(|()| Full::default())
}

/// A task that starts when the HTTP server hands over the connection.
///
/// This is written by hand, because an `async` block would reserve memory for the inner task twice, and would keep the
/// data of the handshake as long as the connection lives.
enum AfterUpgrade<F> {
    Upgrading(Pin<Box<dyn Future<Output = Option<F>> + Send>>),
    Running(F),
}

impl<F: Future<Output = ()> + Unpin> Future for AfterUpgrade<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Upgrading(upgrade) = &mut *self {
            match ready!(upgrade.as_mut().poll(cx)) {
                Some(task) => *self = Self::Running(task),
                None => return Poll::Ready(()),
            }
        }
        match &mut *self {
            Self::Running(task) => Pin::new(task).poll(cx),
            Self::Upgrading(_) => Poll::Pending,
        }
    }
}

/// Returns whether a response is one of a session, and neither a refusal nor the response to a preflight request.
fn is_session_response(request: &Parts, status: StatusCode) -> bool {
    request.method != Method::OPTIONS && (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
}

fn empty_response(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Returns the response to a rejected request: JSON for a polling request; plain text and `Connection: close` for a
/// WebSocket handshake.
fn rejection_response(error: &ConnectionError, upgrade: bool) -> Response<Full<Bytes>> {
    let (kind, message) = (error.kind(), error.own_message());
    let (status, content_type, body) = if upgrade {
        (StatusCode::BAD_REQUEST, "text/html", message.unwrap_or(kind.message()).to_owned())
    } else {
        let status =
            if kind == RequestError::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
        (status, "application/json", kind.body(message))
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if upgrade {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
