//! Adapts a tower service to hyper and calls it as soon as there is a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::service::Service as HyperService;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

/// Calls a ready service at once, before hyper polls the future of the response. hyper-util's adapter calls the service
/// only in the first poll of the future. Before that poll, hyper checks whether the client has closed the connection,
/// and if so, drops the future. The service would then never see the request of a client that disconnects at once.
/// Nearly all services are always ready.
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
        // If the service is not ready, the future polls it again, with the waker of the task.
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
    fn a_ready_service_is_called_even_if_its_future_is_never_polled() {
        let calls = Arc::new(AtomicUsize::new(0));
        let service = service_fn(|()| {
            calls.fetch_add(1, Ordering::Relaxed);
            pending::<Result<(), Infallible>>()
        });
        let _given_up = EagerService(service).call(());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    /// Ready at the third poll.
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
    async fn a_service_that_is_not_ready_is_polled_until_it_is() {
        assert_eq!(EagerService(Slow(0)).call(()).await, Ok(3));
    }
}
