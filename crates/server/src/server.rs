//! The server: its namespaces, and the Engine.IO engine that runs its connections.

mod builder;
mod listen;
mod shared;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use adapter::{Adapter, SocketId};
use engineio::{Application, Engine, Session};
use handlers::{HandlerError, StateMap};
use net::ListenerSettings;

use crate::connection::{Connection, Handshake};
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::socket::Socket;
pub use builder::Builder;
pub(crate) use shared::ServerShared;

/// A Socket.IO server. Cheap to clone; all clones are the same server.
///
/// A server dereferences to its namespace `/`, so it has all methods of [`Namespace`]: `io.on(..)`,
/// `io.to(room).emit(..)`. It has its own HTTP listener ([`listen`](Self::listen)), or it is mounted in another HTTP
/// server ([`layer`](Self::layer), [`service`](Self::service)).
#[derive(Clone)]
pub struct Server(Engine<SocketIoApplication>);

/// The application that the Engine.IO engine of a server runs. It appears only in the types of [`Server::layer`] and
/// [`Server::service`].
pub struct SocketIoApplication {
    root: Namespace,
    namespaces: RwLock<HashMap<Box<str>, Namespace>>,
    shared: Arc<ServerShared>,
    adapter: AdapterFactory,
    listener: ListenerSettings,
}

type AdapterFactory = Box<dyn Fn(&str) -> Arc<dyn Adapter> + Send + Sync>;

impl Server {
    /// Returns a builder for a server with custom settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Creates a server with default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the namespace with this name. Creates it if it does not exist. A missing leading slash is added.
    ///
    /// # Panics
    /// Panics if the name contains a comma: the protocol cannot encode such a name.
    #[must_use]
    pub fn of(&self, name: &str) -> Namespace {
        assert!(!name.contains(','), "a namespace name must not contain a comma: {name:?}");
        let name = format!("/{}", name.trim_start_matches('/'));
        let inner = self.application();
        if let Some(namespace) = self.find_namespace(&name) {
            return namespace;
        }
        // Create the program's adapter without holding the lock: its constructor may call this server.
        let namespace = Namespace::new(&name, Arc::clone(&inner.shared), (inner.adapter)(&name));
        let mut namespaces = inner.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = namespaces.get(name.as_str()) {
            // The new namespace and its adapter are dropped after the lock is released.
            return earlier.clone();
        }
        namespaces.insert(name.into_boxed_str(), namespace.clone());
        namespace
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.0.session_count()
    }

    fn application(&self) -> &SocketIoApplication {
        self.0.application()
    }

    pub(crate) fn find_namespace(&self, name: &str) -> Option<Namespace> {
        let inner = self.application();
        if name == "/" {
            return Some(inner.root.clone());
        }
        inner.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Creates a random id. `None` if the operating system has no random bytes; then no client can connect.
    pub(crate) fn new_socket_id(&self) -> Option<SocketId> {
        let mut random = [0; 15];
        match getrandom::fill(&mut random) {
            Ok(()) => Some(SocketId::from_random(random)),
            Err(error) => {
                tracing::error!(%error, "cannot get random bytes for a socket id");
                None
            }
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.application().shared.limits
    }

    pub(crate) fn states(&self) -> &StateMap {
        &self.application().shared.states
    }

    pub(crate) fn report_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        self.application().shared.report_error(error, socket, event);
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// A server dereferences to its namespace `/`. In Node, too, the server forwards these methods to that namespace.
impl Deref for Server {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.application().root
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connection_count()).finish_non_exhaustive()
    }
}

impl Application for SocketIoApplication {
    type Handler = Connection;

    /// A client is authenticated when a middleware has let it into a namespace.
    const AUTHENTICATES: bool = true;

    fn on_open(&self, engine: &Engine<Self>, session: Session, request: http::request::Parts) -> Connection {
        let handshake = Handshake::new(&request, SystemTime::now());
        Connection::new(Server(engine.clone()), session, handshake, net::now())
    }
}

impl fmt::Debug for SocketIoApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoApplication").finish_non_exhaustive()
    }
}
