//! How a task that still has work lets others run.

use std::pin::pin;
use std::task::Context;

use tokio::task::yield_now;

/// Schedules the current task to be polled again, after the other tasks that are ready and after the runtime has polled its
/// sockets.
///
/// A task that wakes itself directly keeps the runtime from polling the sockets: Tokio does it when no task is ready, or
/// after 61 polls of tasks. A few tasks that take some milliseconds for each poll would then make all others wait for
/// a second.
#[cold]
pub fn defer_wake(cx: &Context<'_>) {
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(cx.waker()));
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_becomes_readable_is_served_although_a_task_never_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let reader = tokio::spawn(async move { stream.read_u8().await.unwrap() });
        yield_now().await;
        assert!(!reader.is_finished());

        peer.write_all(b"x").unwrap();
        let mut polls = 0;
        poll_fn(|cx| {
            if reader.is_finished() {
                return Poll::Ready(());
            }
            polls += 1;
            defer_wake(cx);
            Poll::Pending
        })
        .await;
        assert!(polls <= 4, "the busy task ran {polls} times meanwhile");
    }
}
