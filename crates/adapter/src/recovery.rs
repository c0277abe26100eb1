//! Connection state recovery: what an adapter keeps of a client that has lost its connection.

use std::sync::Arc;

use socketio_proto::{Arguments, SocketId};

use crate::local_socket::LocalSocket;
use crate::room::Room;

/// The part of an [`Adapter`](crate::Adapter) that keeps sessions and a log of events. A client that reconnects in time
/// then gets its rooms, its data and the events that it has missed.
///
/// A client recovers in two steps. The server *claims* its session, which changes nothing. Then the middlewares decide
/// about the client. Then the server *resumes* the session, or drops it. So a client that a middleware refuses has
/// received no event.
pub trait Recovery: Send + Sync {
    /// Removes a socket like [`Adapter::del_all`](crate::Adapter::del_all), and keeps its session under the private id
    /// `pid`. The session contains the rooms of the socket and its place in the log. Both are taken in one step, so that
    /// no event is delivered and also replayed.
    fn suspend(&self, id: &SocketId, pid: &str, data: Arguments<'static>);

    /// Finds the session of a client. `offset` is the offset of the last event that the client has received. `then` is
    /// called with the result, perhaps later and on another thread.
    fn claim(
        &self,
        pid: &str,
        offset: Option<&str>,
        then: Box<dyn FnOnce(Result<Session, ClaimError>) + Send>,
    );

    /// Adds a socket with a claimed session: puts it into its rooms and delivers the events that it has missed, in the
    /// order of the log and before any later event. `then` is called after that. An error means that the client has not
    /// received everything: the socket was not added.
    fn resume(
        &self,
        session: Session,
        socket: Arc<dyn LocalSocket>,
        then: Box<dyn FnOnce(Result<(), ClaimError>) + Send>,
    );
}

/// The session of a client that has lost its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id that the socket had and gets again.
    pub id: SocketId,
    /// The private id, which only the client and the servers know.
    pub pid: Box<str>,
    /// The rooms of the socket.
    pub rooms: Vec<Room>,
    /// The data of the socket: one value, as JSON and binary values.
    pub data: Arguments<'static>,
    /// The offset of the last event that the client has received.
    pub offset: Option<Box<str>>,
}

/// The reason why a session cannot be recovered. The client then connects as a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// There is no such session, or it has expired.
    #[error("the session is not known, or it has expired")]
    Unknown,
    /// The log does not reach back to the offset, or it has a gap.
    #[error("the log does not contain all events that the client has missed")]
    Incomplete,
}
