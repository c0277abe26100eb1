//! The engine as a tower service, or as a layer in front of another service, and the listener that serves them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use net::{HttpService, Listener, ListenerSettings};
use tokio::net::ToSocketAddrs;
use tower::{BoxError, Layer, Service};

use crate::engine::{Engine, ResponseFuture, deadline_in};
use crate::handler::Application;
use crate::options::Options;

/// A service that handles the engine's requests. All other requests get status 404.
#[derive(Debug)]
pub struct EngineService<A>(Engine<A>);

impl<A: Application> Engine<A> {
    /// Returns the engine as a service. Requests for other paths get status 404.
    #[must_use]
    pub fn service(&self) -> EngineService<A> {
        EngineService(self.clone())
    }

    /// Returns whether the engine handles a request. If a router has stripped a prefix that belongs to the path of the
    /// engine, the request gets the path back that the client has sent.
    fn claims<B>(&self, request: &mut Request<B>) -> bool {
        if self.matches(request.uri().path()) {
            return true;
        }
        let original = net::original_uri(request.extensions()).filter(|uri| self.matches(uri.path()));
        let Some(original) = original.cloned() else { return false };
        *request.uri_mut() = original;
        true
    }

    /// Returns the engine as a layer. It handles the engine's requests, and passes all others to the inner service.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<A> {
        EngineLayer(self.clone())
    }

    /// Binds a listener to the first of `addresses` that can be bound. It has the [trusted
    /// proxies](crate::Options::trusted_proxies) and the [limits per address](crate::Options::address_limits) of the
    /// engine.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub async fn bind(
        &self,
        addresses: impl ToSocketAddrs,
        settings: &ListenerSettings,
    ) -> io::Result<Listener> {
        let Options { trusted_proxies, address_limits, .. } = self.options();
        settings.bind(addresses, address_limits, trusted_proxies).await
    }

    /// Serves `service`, which contains this engine, on `listener` until `stop` is ready. Then the listener accepts no more
    /// connections, and the engine closes its sessions at its [pace](crate::Options::close_pace). Until all have been told,
    /// the connections that are open take requests, so that polling clients learn of the close in their turn. After
    /// `shutdown_timeout`, the sessions that are left are ended.
    ///
    /// Not cancel safe: if the future is dropped, the listener stops accepting connections, and the sessions go on.
    pub async fn serve<S: HttpService>(
        &self,
        listener: Listener,
        service: S,
        stop: impl Future<Output = ()>,
        shutdown_timeout: Duration,
    ) {
        let mut stopped = (Vec::new(), deadline_in(Duration::ZERO));
        let stop = async {
            stop.await;
            self.reject_new_sessions();
            stopped = (self.registry().all(), deadline_in(shutdown_timeout));
        };
        let told = self.close_in_batches(self.options().close_pace, shutdown_timeout);
        listener.serve_and_drain(service, stop, told).await;
        let (sessions, deadline) = stopped;
        self.finish_close(&sessions, deadline).await;
    }
}

impl<A> Clone for EngineService<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A, B> Service<Request<B>> for EngineService<A>
where
    A: Application,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if self.0.claims(&mut request) {
            return self.0.begin_response(request);
        }
        let path = self.0.path();
        let mut response = Response::new(Full::from(format!("Not found: this service handles {path}/\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// A layer that puts an engine in front of a service.
#[derive(Debug)]
pub struct EngineLayer<A>(Engine<A>);

impl<A> Clone for EngineLayer<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A, S> Layer<S> for EngineLayer<A> {
    type Service = EngineMiddleware<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        EngineMiddleware { engine: self.0.clone(), inner }
    }
}

/// The service of [`EngineLayer`]: an engine in front of the service `S`.
#[derive(Debug)]
pub struct EngineMiddleware<A, S> {
    engine: Engine<A>,
    inner: S,
}

impl<A, S: Clone> Clone for EngineMiddleware<A, S> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), inner: self.inner.clone() }
    }
}

impl<A, S, B, R> Service<Request<B>> for EngineMiddleware<A, S>
where
    A: Application,
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Either<Full<Bytes>, R>>;
    type Error = S::Error;
    type Future = MiddlewareFuture<R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if self.engine.claims(&mut request) {
            return MiddlewareFuture::Engine(self.engine.begin_response(request));
        }
        let response = self.inner.call(request);
        MiddlewareFuture::Inner(Box::pin(async move { Ok(response.await?.map(Either::Right)) }))
    }
}

type InnerFuture<R, E> = Pin<Box<dyn Future<Output = Result<Response<Either<Full<Bytes>, R>>, E>> + Send>>;

/// The future of [`EngineMiddleware`].
pub enum MiddlewareFuture<R, E> {
    Engine(ResponseFuture),
    Inner(InnerFuture<R, E>),
}

impl<R, E> Future for MiddlewareFuture<R, E> {
    type Output = Result<Response<Either<Full<Bytes>, R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Engine(response) => {
                let Ok(response) = ready!(response.as_mut().poll(cx));
                Poll::Ready(Ok(response.map(Either::Left)))
            }
            Self::Inner(response) => response.as_mut().poll(cx),
        }
    }
}

impl<R, E> fmt::Debug for MiddlewareFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiddlewareFuture").finish_non_exhaustive()
    }
}
