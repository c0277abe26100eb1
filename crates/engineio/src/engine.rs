//! The HTTP side of the engine: every request of every transport.

use std::future::{Future, Ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use engineio_proto::{
    CloseReason, Packet, Payload, RequestError, SessionId, Transport, handshake_json, open_packet,
};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use net::{LogRateLimit, PendingUpgrade};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use ws_proto::{HandshakeError, VerifiedRequest};

use crate::driver::Driver;
use crate::half_open::HalfOpenSessions;
use crate::handler::Application;
use crate::options::Options;
use crate::registry::Registry;
use crate::request::{Rejection, RequestKind, check_request};
use crate::session::{Command, PendingPoll, PollReply, PostGuard, Session};
use crate::transport::{PostRequest, WebSocket};

/// An Engine.IO server for one application. Cheap to clone; all clones are the same engine.
#[derive(Debug)]
pub struct Engine<A>(Arc<Shared<A>>);

/// What the tasks of all sessions share.
#[derive(Debug)]
struct Shared<A> {
    options: Options,
    application: A,
    registry: Registry,
    half_open: HalfOpenSessions,
    closing: AtomicBool,
    /// Tasks of sessions, also of those that are over and still have something to say or to finish.
    tasks: TaskTracker,
    /// Log lines of handshakes that found no place.
    max_sessions_log: LogRateLimit,
}

impl<A> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Application> Engine<A> {
    /// An engine without sessions yet.
    pub fn new(options: Options, application: A) -> Self {
        Self(Arc::new(Shared {
            options,
            application,
            registry: Registry::default(),
            half_open: HalfOpenSessions::default(),
            closing: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            max_sessions_log: LogRateLimit::new(),
        }))
    }

    /// The application that sessions are opened for.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.0.application
    }

    /// Whether a request for `path` is the engine's.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with(&self.0.options.path)
    }

    /// Sessions that are open now.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.0.registry.len()
    }

    /// Closes every session, and refuses new ones with 503 from now on. A polling client that is between two polls is
    /// not waited for: its next one may have nowhere to go.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        for session in self.0.registry.all() {
            session.command(Command::Discard(CloseReason::ServerShuttingDown));
        }
    }

    /// Waits until no session is left and their handlers have finished, at most for `limit`. Cancel safe.
    pub async fn closed(&self, limit: Duration) {
        // It only lets `wait` end. Sessions may still begin, unless the engine is closed, and are waited for as well.
        self.0.tasks.close();
        let _ = tokio::time::timeout(limit, self.0.tasks.wait()).await;
    }

    /// Answers one request. Dropping the future is what happens when the client goes away: a waiting poll or a POST
    /// that was not read to its end then closes the session. That holds from this call on, whether or not the future
    /// was ever polled, and until it is ready: a response counts as delivered, as far as the session can know.
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
        let mut cors_headers = HeaderMap::new();
        let mut preflight = None;
        if let Some(cors) = &self.0.options.cors {
            preflight = cors.preflight(&parts.method, &parts.headers);
            cors.apply(&parts.headers, &mut cors_headers);
        }
        let begun = match preflight {
            Some(preflight) => {
                cors_headers.clear();
                PendingResponse::Ready(preflight.map(|()| Full::default()))
            }
            None => match check_request(&parts, upgrade.is_some(), self.options(), self.registry()) {
                Ok(asked) => self.dispatch(asked, parts, upgrade),
                Err(refused) => PendingResponse::Ready(rejection_response(&refused, upgrade.is_some())),
            },
        };
        let engine = self.clone();
        async move {
            let mut response = match begun {
                PendingResponse::Ready(response) => response,
                PendingResponse::Poll(polling) => poll_response(polling).await,
                PendingResponse::Post(posting) => engine.post(posting, body).await,
            };
            response.headers_mut().extend(cors_headers);
            response
        }
    }
}

/// A session that can be found by its id, for as long as this lives: through the handshake, and then in the session's
/// task.
#[derive(Debug)]
pub(crate) struct SessionGuard<A> {
    pub(crate) engine: Engine<A>,
    pub(crate) session: Session,
    /// Dropped after all else that `drop` does.
    _token: TaskTrackerToken,
}

impl<A> Drop for SessionGuard<A> {
    /// However the handshake or the task ends (a connection that is lost, a handler that panics), no session id outlives
    /// its session.
    fn drop(&mut self) {
        self.session.set_closed();
        self.session.outbox().close();
        self.engine.0.registry.remove(self.session.id());
        self.session.close_commands();
    }
}

/// How far [`Engine::handle`] gets with a request before it waits for anything.
enum PendingResponse {
    Ready(Response<Full<Bytes>>),
    Poll(PendingPoll),
    Post(PostGuard),
}

impl<A: Application> Engine<A> {
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn dispatch(&self, asked: RequestKind, parts: Parts, upgrade: Option<PendingUpgrade>) -> PendingResponse {
        if let RequestKind::Poll(session) | RequestKind::Post(session) | RequestKind::Upgrade(session) =
            &asked
        {
            session.clear_half_open();
        }
        PendingResponse::Ready(match (asked, upgrade) {
            (RequestKind::Open(Transport::WebSocket), Some(upgrade)) => self.open_websocket(parts, upgrade),
            (RequestKind::Open(_), _) => self.open_polling(parts),
            (RequestKind::Upgrade(session), Some(upgrade)) => Self::open_candidate(session, &parts, upgrade),
            (RequestKind::Poll(session), _) => return PendingResponse::Poll(PendingPoll::begin(session)),
            (RequestKind::Post(session), _) => {
                let binary =
                    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
                match session.begin_post() {
                    Some(posting) if !binary => return PendingResponse::Post(posting),
                    _ => close_with_bad_request(&session),
                }
            }
            (RequestKind::Upgrade(_) | RequestKind::UnsupportedMethod, _) => {
                empty_response(StatusCode::INTERNAL_SERVER_ERROR)
            }
        })
    }

    /// A new session with an id of its own; `None` when there are too many, or none are wanted.
    fn new_session(&self, transport: Transport) -> Option<SessionGuard<A>> {
        if self.0.registry.len() >= self.0.options.max_sessions {
            self.0.max_sessions_log.try_log(|suppressed| {
                let max_sessions = self.0.options.max_sessions;
                tracing::warn!(max_sessions, suppressed, "too many sessions: a new one is refused");
            });
            return None;
        }
        let mut random = [0; 15];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "no random bytes for a session id");
            return None;
        }
        let session =
            Session::new(SessionId::from_random(random), transport, self.0.options.max_write_buffer_size);
        // The token is taken before the session can be found, so every session that `close` finds is waited for.
        let registered = SessionGuard { engine: self.clone(), session, _token: self.0.tasks.token() };
        self.0.registry.insert(registered.session.clone());
        // Looked at after the session can be found: `close` either finds it, or is seen here.
        (!self.0.closing.load(Ordering::Acquire)).then_some(registered)
    }

    fn open_polling(&self, parts: Parts) -> Response<Full<Bytes>> {
        let Some(registered) = self.new_session(Transport::Polling) else {
            return empty_response(StatusCode::SERVICE_UNAVAILABLE);
        };
        let limit = self.0.options.max_half_open_sessions;
        if let Some(silent) = self.0.half_open.push(&registered.session, limit, &self.0.registry) {
            tracing::debug!(max_silent_sessions = limit, "a session that has said nothing is given up");
            silent.command(Command::Discard(CloseReason::ForcedClose));
        }
        let open = open_packet(registered.session.id(), Transport::Polling, &self.0.options.protocol);
        tokio::spawn(Driver::polling(registered, parts));
        payload_response(open.into_bytes())
    }

    fn open_websocket(&self, parts: Parts, upgrade: PendingUpgrade) -> Response<Full<Bytes>> {
        let accepted = match verify_handshake(&parts) {
            Ok(accepted) => accepted,
            Err(error) => return error.response().map(|body| Full::new(Bytes::from(body))),
        };
        let Some(registered) = self.new_session(Transport::WebSocket) else {
            return empty_response(StatusCode::SERVICE_UNAVAILABLE);
        };
        spawn_upgrade(&accepted, upgrade, move |upgraded| {
            let websocket = WebSocket::new(upgraded, registered.engine.options());
            let settings = &registered.engine.options().protocol;
            let handshake = handshake_json(registered.session.id(), Transport::WebSocket, settings);
            Some(Driver::websocket(registered, parts, websocket, &Packet::Open(&handshake)))
        })
    }

    fn open_candidate(session: Session, parts: &Parts, upgrade: PendingUpgrade) -> Response<Full<Bytes>> {
        match verify_handshake(parts) {
            Ok(accepted) => spawn_upgrade(&accepted, upgrade, move |upgraded| {
                session.command(Command::Candidate(upgraded));
                None::<Ready<()>>
            }),
            Err(error) => error.response().map(|body| Full::new(Bytes::from(body))),
        }
    }

    async fn post<B>(&self, posting: PostGuard, body: B) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let session = posting.session();
        let body = Limited::new(body, self.0.options.protocol.max_payload);
        let body = match tokio::time::timeout(self.0.options.body_timeout, collect(body)).await {
            Ok(Ok(body)) => body,
            // The session lives on: the client decides what to make of a message that is too long.
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                posting.finish();
                return empty_response(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Err(_)) | Err(_) => return close_with_bad_request(session),
        };
        let Ok(payload) = String::from_utf8(body) else { return close_with_bad_request(session) };
        let (done, handled) = oneshot::channel();
        session.command(Command::Post(PostRequest::new(Payload::new(payload), done)));
        let handled = handled.await;
        posting.finish();
        if handled.is_err() {
            return rejection_response(&RequestError::UnknownSid.into(), false);
        }
        let mut response = Response::new(Full::from("ok"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The whole body in one run of bytes. Each chunk is copied as it comes: a list of chunks of one byte each would take
/// forty times the limit, and hold the buffers they were read into.
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

/// Ends a session whose client broke the rules of the transport.
fn close_with_bad_request(session: &Session) -> Response<Full<Bytes>> {
    session.command(Command::Close(CloseReason::TransportError));
    empty_response(StatusCode::BAD_REQUEST)
}

async fn poll_response(mut polling: PendingPoll) -> Response<Full<Bytes>> {
    match polling.reply().await {
        Some(PollReply::Packets(packets)) => payload_response(packets),
        Some(PollReply::Upgraded) => {
            let mut close = Vec::new();
            Packet::Close.encode_into(&mut close);
            payload_response(close)
        }
        Some(PollReply::Overlap) => empty_response(StatusCode::BAD_REQUEST),
        // The session has ended, or moved to WebSocket, while the request was on its way.
        None if polling.session().is_closed() => rejection_response(&RequestError::UnknownSid.into(), false),
        None => rejection_response(&RequestError::BadRequest.into(), false),
    }
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

/// Accepts a handshake, gives the raw connection to `then`, and runs the future that comes back.
fn spawn_upgrade<F: Future<Output = ()> + Unpin + Send + 'static>(
    accepted: &VerifiedRequest,
    upgrade: PendingUpgrade,
    then: impl FnOnce(net::Upgraded) -> Option<F> + Send + 'static,
) -> Response<Full<Bytes>> {
    tokio::spawn(AfterUpgrade::Upgrading(Box::pin(async move {
        match net::finish_upgrade(upgrade).await {
            Ok(upgraded) => then(upgraded),
            Err(error) => {
                tracing::debug!(error = %net::ErrorChain(&error), "a connection ended before its upgrade");
                None
            }
        }
    })));
    accepted.response(None, None).map(|()| Full::default())
}

/// A task that begins when the HTTP server gives the connection away.
///
/// By hand, because an `async` block would keep room for the task twice, and hold what the handshake needs for as long
/// as the connection lives.
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

fn payload_response(packets: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(packets));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn empty_response(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A refusal: JSON for a polling request, plain text and the end of the connection for a WebSocket handshake.
fn rejection_response(refused: &Rejection, upgrade: bool) -> Response<Full<Bytes>> {
    let Rejection { error: refusal, message } = refused;
    let (status, kind, body) = if upgrade {
        let text = message.clone().unwrap_or_else(|| refusal.message().into());
        (StatusCode::BAD_REQUEST, "text/html", text)
    } else {
        let status =
            if *refusal == RequestError::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
        (status, "application/json", refusal.body(message.as_deref()))
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if upgrade {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
