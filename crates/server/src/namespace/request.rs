//! The request of a client for a namespace that does not exist yet.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use socketio_proto::{ArgumentsError, Excerpt};

use crate::connection::Handshake;
use crate::server::Server;
use crate::socket::Socket;

/// The request of a client for a namespace that does not exist yet, as the predicate of
/// [`Server::of_predicate`] receives it. Cheap to clone.
#[derive(Clone)]
pub struct NamespaceRequest {
    server: Server,
    /// The socket that waits for the namespace. It is never connected; if the namespace is created, another socket
    /// with the same id takes its place. So the program must not see it.
    candidate: Socket,
}

impl NamespaceRequest {
    pub(crate) fn new(server: Server, candidate: Socket) -> Self {
        Self { server, candidate }
    }

    /// Returns the name of the namespace, with its leading slash. The client has chosen it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.candidate.namespace().name()
    }

    /// Deserializes the client's auth payload as `T`. The payload is `{}` if the client sent none.
    ///
    /// # Errors
    /// Returns an error if the payload does not fit `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.candidate.auth()
    }

    /// Returns the handshake request of the connection.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        self.candidate.handshake()
    }

    /// Returns the server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the value of this type that was passed to [`Builder::state`](crate::Builder::state).
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.server.states().get()
    }
}

impl fmt::Debug for NamespaceRequest {
    /// Omits the auth payload, because it contains secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceRequest").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A type that the predicate of [`Server::of_predicate`] may return.
#[diagnostic::on_unimplemented(
    message = "the predicate of a namespace cannot return `{Self}`",
    note = "a predicate returns `bool` or `Result<bool, E>` with `E: Display`"
)]
pub trait IntoAllowed: Send {
    #[doc(hidden)]
    fn into_allowed(self) -> bool;
}

impl IntoAllowed for bool {
    fn into_allowed(self) -> bool {
        self
    }
}

/// An error means `false`. It is logged at level `debug`, and the client does not receive it.
impl<E: fmt::Display + Send> IntoAllowed for Result<bool, E> {
    fn into_allowed(self) -> bool {
        self.unwrap_or_else(|error| {
            tracing::debug!(error = %Excerpt(&error), "the predicate of a namespace failed");
            false
        })
    }
}
