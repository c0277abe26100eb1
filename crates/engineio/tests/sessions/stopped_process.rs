//! A process that was stopped: a peer gets its time again, because what it has sent in time is not read yet. Requests are
//! handled without a connection, so that the test decides when they make progress.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::Empty;
use tidewire_engineio::{AllowRequest, CloseReason, Options};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Seen, Server, settings, soon, text};

/// A body whose chunks the test sends.
struct Chunks(mpsc::UnboundedReceiver<&'static [u8]>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))))
    }
}

async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Stops the process for longer than every timeout. The timers fire before anything is read.
async fn stop_process() {
    tokio::time::advance(Duration::from_secs(60)).await;
}

fn handshake() -> Request<Empty<Bytes>> {
    Request::get("/engine.io/?EIO=4&transport=polling").body(Empty::new()).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_not_been_read_yet_gets_its_time_again_once() {
    // Without pings, which a client that is silent for so long would miss.
    let options = settings(|settings| settings.ping_interval = Duration::from_secs(3_600));
    let mut server = Server::start(options).await;
    for is_silent in [false, true] {
        assert_eq!(server.engine.handle(handshake()).await.status(), 200);
        let mut opened = server.opened().await;
        let (sender, chunks) = mpsc::unbounded_channel();
        let url = format!("/engine.io/?EIO=4&transport=polling&sid={}", opened.session.id().as_str());
        let post = Request::post(url).body(Chunks(chunks)).expect("a request");
        let mut response = pin!(server.engine.handle(post));
        sender.send(b"4hel").expect("it is read");
        assert!(is_pending(response.as_mut()).await);
        stop_process().await;
        assert!(is_pending(response.as_mut()).await);
        if is_silent {
            assert_eq!(soon_after(response, Duration::from_secs(30)).await.status(), 408);
            opened.expect([Seen::Closed(CloseReason::TransportError)]).await;
        } else {
            sender.send(b"lo").expect("it is read");
            drop(sender);
            assert_eq!(soon(response).await.status(), 200);
            opened.expect([text("hello")]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_of_a_handshake_gets_its_time_again_once() {
    let permits = Arc::new(Semaphore::new(0));
    let check = {
        let permits = Arc::clone(&permits);
        AllowRequest::new_async(move |_| {
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.expect("open").forget();
                Ok(())
            }
        })
    };
    let options = Options { allow_request: Some(check), ..Options::default() };
    let timeout = options.allow_request_timeout;
    let server = Server::start(options).await;
    for (is_silent, status) in [(false, 200), (true, 503)] {
        let mut response = pin!(server.engine.handle(handshake()));
        assert!(is_pending(response.as_mut()).await);
        stop_process().await;
        assert!(is_pending(response.as_mut()).await);
        if !is_silent {
            permits.add_permits(1);
        }
        assert_eq!(soon_after(response, timeout).await.status(), status);
    }
}

/// Returns the output of a future that takes this long at most.
async fn soon_after<T>(future: impl Future<Output = T>, time: Duration) -> T {
    tokio::time::timeout(time + Duration::from_secs(1), future).await.expect("in time")
}
