//! Carries bytes in one direction of a connection.

use std::collections::VecDeque;
use std::future::pending;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{BUFFER_SIZE, Condition};

/// The most bytes that are read at once.
const CHUNK_SIZE: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// What has been read and waits for its time.
#[derive(Default)]
struct OnTheWay {
    chunks: VecDeque<(Instant, Bytes)>,
    len: usize,
    has_ended: bool,
}

impl OnTheWay {
    fn push(&mut self, due: Instant, chunk: Bytes) {
        // If the delay became shorter, later bytes still arrive after earlier ones.
        let due = self.chunks.back().map_or(due, |(earlier, _)| due.max(*earlier));
        self.len += chunk.len();
        self.chunks.push_back((due, chunk));
    }

    /// Returns the first chunk if its time has come.
    fn pop(&mut self) -> Option<Bytes> {
        // A timer would round up to the next millisecond.
        if self.chunks.front()?.0 > Instant::now() {
            return None;
        }
        let (_, chunk) = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    /// Waits for the time of the first chunk.
    async fn due(&self) {
        match self.chunks.front() {
            Some((due, _)) => sleep_until(*due).await,
            None => pending().await,
        }
    }

    fn has_capacity(&self) -> bool {
        !self.has_ended && self.len < BUFFER_SIZE
    }
}

/// Carries bytes until the end of `from`, and then shuts down `to`. Ends early if `to` does not accept them any more.
pub(super) async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let mut on_the_way = OnTheWay::default();
    let mut buffer = vec![0; CHUNK_SIZE];
    let mut may_change = true;
    loop {
        // Without a client, nobody can end a fault.
        let now = if may_change { *condition.borrow_and_update() } else { Condition::default() };
        let passes = now.passes(direction);
        if passes && let Some(chunk) = on_the_way.pop() {
            to.write_all(&chunk).await?;
            continue;
        }
        if on_the_way.has_ended && on_the_way.chunks.is_empty() {
            return to.shutdown().await;
        }
        tokio::select! {
            biased;
            changed = condition.changed(), if may_change => may_change = changed.is_ok(),
            () = on_the_way.due(), if passes => {}
            read = from.read(&mut buffer), if passes && on_the_way.has_capacity() => match read? {
                0 => on_the_way.has_ended = true,
                len => on_the_way.push(Instant::now() + now.delay, Bytes::copy_from_slice(&buffer[..len])),
            },
        }
    }
}
