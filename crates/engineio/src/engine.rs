//! The HTTP side of the engine. It handles every request of every transport.

mod close;
mod open;
mod polling;
mod refusals;
mod response;
mod websocket;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use net::{AddressLimiter, LogRateLimit, PendingUpgrade, TaskTracker};
use tokio::sync::Semaphore;
use tower::BoxError;

use self::open::OpenResponse;
use self::polling::close_with;
use self::refusals::RefusalLogs;
use self::response::{empty_response, is_session_response, rejection_response};
use crate::compression::{CompressionCapacity, Encoding};
use crate::half_open::HalfOpenSessions;
use crate::handler::Application;
use crate::options::Options;
use crate::registry::Registry;
use crate::request::{RequestKind, check_request};
use crate::session::{PendingPoll, PostGuard};

pub(crate) use self::close::deadline_in;
pub(crate) use self::open::{HeadSize, SessionGuard};

/// An Engine.IO server for one application. It is cheap to clone, and all clones share the same sessions.
#[derive(Debug)]
pub struct Engine<A>(Arc<Shared<A>>);

/// A handle to an [`Engine`] that does not keep it alive.
#[derive(Debug)]
pub struct WeakEngine<A>(Weak<Shared<A>>);

impl<A> WeakEngine<A> {
    /// Returns the engine, if it still exists.
    #[must_use]
    pub fn upgrade(&self) -> Option<Engine<A>> {
        self.0.upgrade().map(Engine)
    }
}

/// The state that the tasks of all sessions share.
#[derive(Debug)]
struct Shared<A> {
    /// The engine handles the requests whose paths begin with this.
    path_prefix: String,
    options: Options,
    application: A,
    /// [`Engine::respond`]. The crate that creates the engine therefore contains the compiled code of all requests, and not
    /// the crate that mounts it, which is the program: its builds are faster.
    respond: fn(&Engine<A>, Request<RequestBody>) -> ResponseFuture,
    registry: Registry,
    half_open: HalfOpenSessions,
    address_limiter: AddressLimiter,
    compression_capacity: CompressionCapacity,
    closing: AtomicBool,
    /// Held by the one that closes the sessions in batches.
    closing_turn: tokio::sync::Mutex<()>,
    /// The tasks of all sessions, including sessions that are over but still have data to send or work to finish.
    tasks: TaskTracker,
    /// One permit for each check of `allow_request` that may still wait.
    pending_allow_requests: Arc<Semaphore>,
    /// These limit the log lines about rejected sessions.
    max_sessions_log: LogRateLimit,
    allow_request_timeout_log: LogRateLimit,
    max_pending_allow_requests_log: LogRateLimit,
    memory_budget_log: LogRateLimit,
    refusal_logs: RefusalLogs,
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
            address_limiter: AddressLimiter::new(options.address_limits.clone()),
            options,
            application,
            respond: Self::respond,
            registry: Registry::default(),
            half_open: HalfOpenSessions::default(),
            compression_capacity: CompressionCapacity::default(),
            closing: AtomicBool::new(false),
            closing_turn: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            pending_allow_requests: Arc::new(Semaphore::new(max_pending_allow_requests)),
            max_sessions_log: LogRateLimit::new(),
            allow_request_timeout_log: LogRateLimit::new(),
            max_pending_allow_requests_log: LogRateLimit::new(),
            memory_budget_log: LogRateLimit::new(),
            refusal_logs: RefusalLogs::default(),
        }))
    }

    /// Returns the application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.0.application
    }

    /// Returns the options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the path of the engine's URLs, with a slash at its start and none at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_prefix.strip_suffix('/').unwrap_or(&self.0.path_prefix)
    }

    /// Returns a handle that does not keep the engine alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakEngine<A> {
        WeakEngine(Arc::downgrade(&self.0))
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

    /// Returns the number of bytes that are queued for the clients of all sessions and not yet written. The time that this
    /// takes grows with the number of sessions.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.0.registry.buffered()
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
        request: Request<B>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<A, B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = self.begin_response(request);
        async move {
            let Ok(response) = response.await;
            response
        }
    }

    /// Does what [`handle`](Self::handle) does.
    pub(crate) fn begin_response<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let erase_type = |body: B| {
            let body =
                body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())));
            body.map_err(Into::into).boxed_unsync()
        };
        (self.0.respond)(self, request.map(erase_type))
    }

    fn respond(&self, mut request: Request<RequestBody>) -> ResponseFuture {
        let upgrade = net::is_websocket_request(request.method(), request.headers(), request.extensions())
            .then(|| PendingUpgrade::from_request(&mut request));
        let (mut parts, body) = request.into_parts();
        let options = &self.0.options;
        let mut retained = options.keeps_request_heads().then(|| Box::new(parts.clone()));
        let mut opens_session = false;
        let mut cors_headers = HeaderMap::new();
        let mut preflight = None;
        if let Some(cors) = &options.cors {
            preflight = cors.preflight(&parts);
            cors_headers = cors.headers(&parts);
        }
        let encoding =
            if options.http_compression.is_some() { Encoding::negotiate(&parts.headers) } else { None };
        let file = match upgrade {
            None => options.static_files.find(&options.path, parts.uri.path()),
            Some(_) => None,
        };
        let pending = match (preflight, file) {
            (Some(preflight), _) => {
                cors_headers.clear();
                PendingResponse::Ready(preflight.map(|()| Full::default()))
            }
            (None, Some(file)) => {
                // The hooks are for sessions.
                retained = None;
                let response = file.response(&parts.headers);
                if let Some(vary) = response.headers().get(VARY) {
                    cors_headers.append(VARY, vary.clone());
                }
                PendingResponse::Ready(response)
            }
            (None, None) => {
                match check_request(&mut parts, upgrade.is_some(), self.options(), self.registry()) {
                    Ok(request_kind) => {
                        opens_session =
                            matches!(request_kind, RequestKind::Open(_) | RequestKind::OpenIfAllowed(_));
                        self.dispatch(request_kind, parts, upgrade)
                    }
                    Err(error) => {
                        self.report_refused_request(&error, Some(&parts));
                        PendingResponse::Ready(rejection_response(&error, upgrade.is_some()))
                    }
                }
            }
        };
        let engine = self.clone();
        Box::pin(async move {
            let response = match pending {
                PendingResponse::Ready(response) => Ok(response),
                PendingResponse::Open(opened) => Ok(engine.respond_to_open(opened, encoding).await),
                PendingResponse::OpenIfAllowed(opening) => {
                    Ok(engine.respond_to_open(opening.await, encoding).await)
                }
                PendingResponse::Poll(polling) => engine.respond_to_poll(polling, encoding).await,
                PendingResponse::Post(posting, is_binary) => {
                    engine.handle_post(posting, body, is_binary).await
                }
            };
            let mut response = response.unwrap_or_else(|error| {
                engine.report_refused_request(&error, retained.as_deref());
                rejection_response(&error, false)
            });
            response.headers_mut().extend(cors_headers);
            if let Some(request) = retained
                && is_session_response(&request, response.status())
            {
                engine.options().call_on_headers(response.headers_mut(), &request, opens_session);
            }
            Ok(response)
        })
    }
}

/// The body of a request. Its type is erased, so that the handling of a request is compiled once, and not for each HTTP server.
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The response to one HTTP request.
pub(crate) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// The result of [`Engine::handle`] before its future is first polled: a response, or a GET or POST that must wait.
enum PendingResponse {
    Ready(Response<Full<Bytes>>),
    Open(OpenResponse),
    /// The application decides whether a session may open.
    OpenIfAllowed(Pin<Box<dyn Future<Output = OpenResponse> + Send>>),
    Poll(PendingPoll),
    /// The second field says whether the content type is `application/octet-stream`.
    Post(PostGuard, bool),
}

impl<A: Application> Engine<A> {
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn dispatch(
        &self,
        request_kind: RequestKind,
        parts: Parts,
        upgrade: Option<PendingUpgrade>,
    ) -> PendingResponse {
        // Not a POST: it would cost a client two requests, and nothing that waits, to keep a session until a pong is due.
        // Every client polls at once, or begins to upgrade.
        if let RequestKind::Poll(session) | RequestKind::Upgrade(session, _) = &request_kind {
            session.set_has_polled();
        }
        PendingResponse::Ready(match (request_kind, upgrade) {
            (RequestKind::Open(requested), upgrade) => {
                return match self.admit_address(&parts) {
                    Ok(address) => PendingResponse::Open(self.open(requested, parts, upgrade, address)),
                    Err(refusal) => PendingResponse::Ready(self.refuse_session(refusal, &parts)),
                };
            }
            (RequestKind::OpenIfAllowed(pending), upgrade) => {
                let permit = match self.admit_check() {
                    Ok(permit) => permit,
                    Err(refusal) => return PendingResponse::Ready(self.refuse_session(refusal, &parts)),
                };
                let address = match self.admit_address(&parts) {
                    Ok(address) => address,
                    Err(refusal) => return PendingResponse::Ready(self.refuse_session(refusal, &parts)),
                };
                let decision = (pending.check)(parts.clone());
                let decision = async move {
                    let _permit = permit;
                    decision.await
                };
                let opening =
                    self.clone().open_if_allowed(decision, pending.requested, parts, upgrade, address);
                return PendingResponse::OpenIfAllowed(Box::pin(opening));
            }
            (RequestKind::Upgrade(session, framing), Some(upgrade)) => {
                self.open_candidate(session, &parts, framing, upgrade)
            }
            (RequestKind::Poll(session), _) => return PendingResponse::Poll(PendingPoll::begin(session)),
            (RequestKind::Post(session), _) => {
                let binary =
                    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
                match PostGuard::begin(session.clone()) {
                    Some(posting) if !binary || session.format().allows_binary_post() => {
                        return PendingResponse::Post(posting, binary);
                    }
                    _ => {
                        session.describe_close(if binary {
                            "the client sent a POST of the type application/octet-stream"
                        } else {
                            "the client sent a POST while another one was active"
                        });
                        close_with(&session, StatusCode::BAD_REQUEST)
                    }
                }
            }
            (RequestKind::Upgrade(..) | RequestKind::UnsupportedMethod, _) => {
                empty_response(StatusCode::INTERNAL_SERVER_ERROR)
            }
        })
    }
}
