//! The engine in a tower: as a service of its own, or as a layer in front of another one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use tower::{Layer, Service};

use crate::engine::Engine;
use crate::handler::Application;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers the engine's requests, and everything else with 404.
#[derive(Debug)]
pub struct EngineService<A>(Engine<A>);

impl<A: Application> Engine<A> {
    /// The engine as a service that answers 404 to what is not its own.
    #[must_use]
    pub fn service(&self) -> EngineService<A> {
        EngineService(self.clone())
    }

    /// The engine as a layer: its own requests never reach the service behind it.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<A> {
        EngineLayer(self.clone())
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.0.matches(request.uri().path()) {
            let answer = self.0.handle(request);
            return Box::pin(async move { Ok(answer.await) });
        }
        let mut response = Response::new(Full::from("Not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// Puts an engine in front of a service.
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

/// An engine in front of the service `S`.
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.engine.matches(request.uri().path()) {
            let answer = self.engine.handle(request);
            return Box::pin(async move { Ok(answer.await.map(Either::Left)) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(Either::Right)) })
    }
}
