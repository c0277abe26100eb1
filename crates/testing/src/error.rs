//! The errors of test clients.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use client::RawJson;

/// The most messages and the most characters of each that an error shows.
const MAX_SHOWN: usize = 20;
const MAX_SHOWN_LEN: usize = 200;

/// Why a client could not connect.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use server as tidewire_server;
/// use tidewire_server::{ConnectError, Server};
/// use tidewire_testing as testing;
///
/// let io = Server::new();
/// io.middleware(async || Err::<(), _>(ConnectError::new("not authorized").data(42)));
/// let rejected = testing::connect(&io).await.unwrap_err();
/// assert_eq!(rejected.to_string(), r#"the server has rejected the connection: "not authorized", data: 42"#);
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server has rejected the connection to the namespace, usually in a middleware.
    #[error("the server has rejected the connection: {message:?}{}", Data(.data.as_ref()))]
    Rejected {
        /// The message of the server.
        message: String,
        /// The data that the server has added, if any: `data.deserialize::<T>()`. A server of Tidewire sends the data of its
        /// error, or `{"code": …, "data": …}` if the error has a code.
        data: Option<RawJson<'static>>,
    },
    /// The client could not connect for another reason, for instance the HTTP status of a response.
    #[error(transparent)]
    Failed(client::ConnectError),
    /// The WebSocket could not connect. [`status`](ws::ConnectError::status) returns the HTTP status of a refusal.
    #[error(transparent)]
    WebSocket(#[from] ws::ConnectError),
    /// The client was not connected in time, see [`Builder::timeout`](crate::Builder::timeout).
    #[error("the client was not connected within {0:?}")]
    TimedOut(Duration),
}

struct Data<'a>(Option<&'a RawJson<'static>>);

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |data| write!(f, ", data: {}", data.as_str()))
    }
}

impl From<client::ConnectError> for ConnectError {
    fn from(error: client::ConnectError) -> Self {
        match error {
            client::ConnectError::Rejected { message, data } => Self::Rejected { message, data },
            error => Self::Failed(error),
        }
    }
}

/// Why a client has not received what it waited for, or has not sent something.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use server as tidewire_server;
/// use tidewire_server::{Server, Socket};
/// use tidewire_testing as testing;
///
/// let io = Server::new();
/// io.on_connection(async |socket: Socket| socket.emit("welcome", "Alice"));
/// let mut alice = testing::connect(&io).await?;
/// let error = alice.recv::<String>("message").await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"the event "message" did not arrive within 5s; instead, this arrived: "welcome" ["Alice"]"#
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The time is over, see [`Builder::timeout`](crate::Builder::timeout).
    #[error("{awaited} did not arrive within {timeout:?}; {}", Arrived(.arrived))]
    TimedOut {
        /// What the test has waited for.
        awaited: String,
        /// How long it has waited.
        timeout: Duration,
        /// What has arrived and was not received by the test.
        arrived: Vec<String>,
    },
    /// The connection has ended, or there is none.
    #[error("{awaited} did not arrive, because the connection has ended: {reason}; {}", Arrived(.arrived))]
    Disconnected {
        /// What the test has waited for.
        awaited: String,
        /// Why the connection has ended.
        reason: String,
        /// What has arrived and was not received by the test.
        arrived: Vec<String>,
    },
    /// Something has arrived, and the test expected nothing.
    #[error("nothing should have arrived, but this did: {}", .arrived.join(", "))]
    Unexpected {
        /// What has arrived.
        arrived: Vec<String>,
    },
    /// What has arrived is not of the requested type.
    #[error("{awaited} has another type: {reason}; received: {received}")]
    WrongType {
        /// What the test has waited for.
        awaited: String,
        /// What has arrived.
        received: String,
        /// What does not fit.
        reason: String,
    },
    /// The client cannot send this.
    #[error("{what} was not sent: {reason}")]
    NotSent {
        /// What the test wanted to send.
        what: String,
        /// Why it was not sent.
        reason: String,
    },
}

struct Arrived<'a>(&'a [String]);

impl fmt::Display for Arrived<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0 else { return f.write_str("nothing else arrived") };
        write!(f, "instead, this arrived: {first}")?;
        for more in rest {
            write!(f, ", {more}")?;
        }
        Ok(())
    }
}

/// Describes messages for an error.
pub(crate) fn describe<T>(messages: &VecDeque<T>, describe: impl Fn(&T) -> String) -> Vec<String> {
    let mut described: Vec<_> =
        messages.iter().take(MAX_SHOWN).map(|message| excerpt(describe(message))).collect();
    if let more @ 1.. = messages.len().saturating_sub(MAX_SHOWN) {
        described.push(format!("and {more} more"));
    }
    described
}

/// Cuts a long text.
pub(crate) fn excerpt(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN_LEN) {
        text.truncate(end);
        text.push('…');
    }
    text
}
