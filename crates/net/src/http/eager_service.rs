//! A tower service for hyper, called as soon as there is a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::service::Service as HyperService;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

/// hyper-util's adapter calls the service when its future is first polled. hyper looks for the end of the connection
/// before that, and drops the future: the service would never learn of a request whose client hung up at once. Here, a
/// service that is ready (nearly all are, at all times) is called at once, so that it can notice that the client is gone.
#[derive(Debug, Clone)]
pub(crate) struct EagerService<S>(pub(crate) S);

impl<S, R> HyperService<R> for EagerService<S>
where
    S: Service<R> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EagerFuture<S, R>;

    fn call(&self, request: R) -> Self::Future {
        let mut service = self.0.clone();
        // A service that is not ready is polled again by the future, which has a task to wake.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => EagerFuture::Called { future: service.call(request) },
            Poll::Ready(Err(_)) | Poll::Pending => EagerFuture::Waiting { future: service.oneshot(request) },
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum EagerFuture<S: Service<R>, R> {
        Called { #[pin] future: S::Future },
        Waiting { #[pin] future: Oneshot<S, R> },
    }
}

impl<S: Service<R>, R> Future for EagerFuture<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Called { future } => future.poll(cx),
            Projected::Waiting { future } => future.poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::service_fn;

    use super::*;

    #[test]
    fn a_service_that_is_ready_knows_of_a_request_whose_future_is_never_polled() {
        let calls = Arc::new(AtomicUsize::new(0));
        let service = service_fn(|()| {
            calls.fetch_add(1, Ordering::Relaxed);
            pending::<Result<(), Infallible>>()
        });
        let _given_up = EagerService(service).call(());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    /// Ready when it has been asked for the third time.
    #[derive(Clone)]
    struct Slow(usize);

    impl Service<()> for Slow {
        type Response = usize;
        type Error = Infallible;
        type Future = Ready<Result<usize, Infallible>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0 += 1;
            if self.0 == 3 {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok(self.0))
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_ready_is_waited_for() {
        assert_eq!(EagerService(Slow(0)).call(()).await, Ok(3));
    }
}
