//! What is counted for each connection: that it is open, its bytes, and the bytes that wait for its client.

use super::Series;

/// The connections of a server that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionKind {
    /// A raw WebSocket.
    WebSocket,
    /// A session of Engine.IO over HTTP long-polling.
    EngineIoPolling,
    /// A session of Engine.IO on a WebSocket.
    EngineIoWebSocket,
}

impl ConnectionKind {
    const fn open(self) -> Series {
        match self {
            Self::WebSocket => Series::WebSocketOpen,
            Self::EngineIoPolling => Series::PollingOpen,
            Self::EngineIoWebSocket => Series::EngineWebSocketOpen,
        }
    }

    const fn opened(self) -> Series {
        match self {
            Self::WebSocket => Series::WebSocketOpened,
            Self::EngineIoPolling => Series::PollingOpened,
            Self::EngineIoWebSocket => Series::EngineWebSocketOpened,
        }
    }

    #[cfg(feature = "metrics")]
    const fn received(self) -> Series {
        match self {
            Self::WebSocket => Series::WebSocketReceived,
            Self::EngineIoPolling => Series::PollingReceived,
            Self::EngineIoWebSocket => Series::EngineWebSocketReceived,
        }
    }

    #[cfg(feature = "metrics")]
    const fn sent(self) -> Series {
        match self {
            Self::WebSocket => Series::WebSocketSent,
            Self::EngineIoPolling => Series::PollingSent,
            Self::EngineIoWebSocket => Series::EngineWebSocketSent,
        }
    }

    #[cfg(feature = "metrics")]
    const fn queued(self) -> Series {
        match self {
            Self::WebSocket => Series::WebSocketQueued,
            Self::EngineIoPolling => Series::PollingQueued,
            Self::EngineIoWebSocket => Series::EngineWebSocketQueued,
        }
    }
}

/// Counts a connection as open, until it is closed or dropped.
#[derive(Debug)]
pub struct OpenConnection {
    #[cfg(feature = "metrics")]
    kind: Option<ConnectionKind>,
}

impl OpenConnection {
    /// Counts a connection that has opened.
    #[must_use]
    pub fn new(kind: ConnectionKind) -> Self {
        super::start();
        super::count(kind.opened());
        super::change(kind.open(), 0, 1);
        Self {
            #[cfg(feature = "metrics")]
            kind: Some(kind),
        }
    }

    /// Creates one for a connection that is not counted, because it is that of a client.
    #[must_use]
    pub fn uncounted() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            kind: None,
        }
    }

    /// Counts an upgrade to another transport.
    pub fn upgrade(&mut self, to: ConnectionKind) {
        super::count(Series::Upgrades);
        #[cfg(feature = "metrics")]
        if let Some(kind) = &mut self.kind {
            super::change(kind.open(), 1, 0);
            super::change(to.open(), 0, 1);
            *kind = to;
        }
        #[cfg(not(feature = "metrics"))]
        let _ = to;
    }

    /// Counts the end of the connection. A second call counts nothing.
    pub fn close(&mut self, reason: Series) {
        #[cfg(feature = "metrics")]
        if let Some(kind) = self.kind.take() {
            super::change(kind.open(), 1, 0);
            super::count(reason);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = reason;
    }
}

#[cfg(feature = "metrics")]
impl Drop for OpenConnection {
    /// The runtime has stopped, or a task has panicked.
    fn drop(&mut self) {
        let reason = match self.kind {
            Some(ConnectionKind::WebSocket) => Series::WebSocketClosedAborted,
            _ => Series::EngineClosedAborted,
        };
        self.close(reason);
    }
}

/// Counts the bytes and the messages of a transport. It keeps the numbers of a turn, and [`flush`](Self::flush) passes them
/// on.
#[derive(Debug, Default)]
pub struct Meter {
    #[cfg(feature = "metrics")]
    counts: Counts,
}

#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
struct Counts {
    kind: Option<ConnectionKind>,
    received: u32,
    sent: u32,
    messages_received: u32,
    messages_sent: u32,
    /// The bytes in the queue that are counted. A queue that is longer than 4 GiB counts as 4 GiB.
    queued: u32,
}

impl Meter {
    /// Creates a meter of a server's connection. The default counts nothing.
    #[must_use]
    pub fn new(kind: ConnectionKind) -> Self {
        #[cfg(not(feature = "metrics"))]
        let _ = kind;
        Self {
            #[cfg(feature = "metrics")]
            counts: Counts { kind: Some(kind), ..Counts::default() },
        }
    }

    /// Counts received bytes.
    #[inline]
    pub fn received(&mut self, bytes: usize) {
        #[cfg(feature = "metrics")]
        {
            // A turn handles a few megabytes at most.
            self.counts.received = self.counts.received.wrapping_add(bytes as u32);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = bytes;
    }

    /// Counts sent bytes.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        #[cfg(feature = "metrics")]
        {
            self.counts.sent = self.counts.sent.wrapping_add(bytes as u32);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = bytes;
    }

    /// Counts a message of a raw WebSocket that the program has received.
    #[inline]
    pub fn message_received(&mut self) {
        #[cfg(feature = "metrics")]
        {
            self.counts.messages_received = self.counts.messages_received.wrapping_add(1);
        }
    }

    /// Counts a message of a raw WebSocket that the program has sent.
    #[inline]
    pub fn message_sent(&mut self) {
        #[cfg(feature = "metrics")]
        {
            self.counts.messages_sent = self.counts.messages_sent.wrapping_add(1);
        }
    }

    /// Passes the counts on. Call it at the end of a turn. `queued` is the number of bytes that wait for the client.
    #[inline]
    pub fn flush(&mut self, queued: usize) {
        #[cfg(feature = "metrics")]
        self.counts.flush(queued);
        #[cfg(not(feature = "metrics"))]
        let _ = queued;
    }

    /// Passes the counts on, if the bytes that wait for the client have not changed.
    #[inline]
    pub fn flush_received(&mut self) {
        #[cfg(feature = "metrics")]
        self.counts.flush(self.counts.queued as usize);
    }
}

#[cfg(feature = "metrics")]
impl Counts {
    #[inline]
    fn flush(&mut self, queued: usize) {
        use super::shards;

        let Some(kind) = self.kind else { return };
        if queued != self.queued as usize {
            self.change_queued(kind, queued);
        }
        let Some(shard) = shards::current() else { return };
        shard.add(kind.received(), self.received.into());
        shard.add(kind.sent(), self.sent.into());
        shard.add(Series::WebSocketMessagesReceived, self.messages_received.into());
        shard.add(Series::WebSocketMessagesSent, self.messages_sent.into());
        (self.received, self.sent, self.messages_received, self.messages_sent) = (0, 0, 0, 0);
    }

    #[cold]
    fn change_queued(&mut self, kind: ConnectionKind, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        super::change(kind.queued(), self.queued, bytes);
        self.queued = bytes;
    }
}

#[cfg(feature = "metrics")]
impl Drop for Counts {
    fn drop(&mut self) {
        self.flush(0);
    }
}
