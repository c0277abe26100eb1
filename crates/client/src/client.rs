//! A client: one connection to a server, which its sockets share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handlers::{ErrorMap, HandlerError, StateMap};
use socketio_proto::client::{self as machine, DisconnectReason};
use socketio_proto::{DecoderLimits, Parser};
use tokio::sync::watch;

use crate::builder::SocketBuilder;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::limits::Limits;
use crate::platform::{self, ErrorLogLimit};
use crate::reconnection::{Reconnection, ReconnectionSettings};
use crate::socket::{Socket, SocketInner, SocketSettings, Status};
use crate::state::{Phase, SocketEntry, State};

/// A client: one connection to a server, which reconnects, and a [`Socket`] for each namespace. In JavaScript, this is
/// the `Manager`. Cheap to clone.
///
/// [`Client::builder`] creates it together with its first socket; [`Socket::client`] returns it.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

/// The part of each handle that keeps the client open. The driver and the running handlers do not have it.
pub(crate) struct Handle {
    shared: Arc<ClientShared>,
}

/// The state that all handles share with the driver.
pub(crate) struct ClientShared {
    state: Mutex<State>,
    pub(crate) limits: Limits,
    pub(crate) states: StateMap,
    /// `None` for the default parser.
    pub(crate) parser: Option<Arc<dyn Parser>>,
    /// What the server learns of the errors of the program.
    pub(crate) errors: ErrorMap,
    pub(crate) on_error: Option<OnError>,
    pub(crate) error_log_limit: ErrorLogLimit,
    pub(crate) hooks: ConnectionHooks,
    is_closed: watch::Sender<bool>,
}

pub(crate) type OnError = Box<dyn Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync>;

/// The functions that are called for what happens to the connection.
#[derive(Default)]
pub(crate) struct ConnectionHooks {
    pub(crate) open: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) close: Option<Box<dyn Fn(DisconnectReason) + Send + Sync>>,
    pub(crate) ping: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) upgrade: Option<Box<dyn Fn(engineio_proto::Transport) + Send + Sync>>,
    pub(crate) attempt: Option<OnAttempt>,
    pub(crate) reconnect: Option<OnAttempt>,
    pub(crate) error: Option<OnReconnectError>,
    pub(crate) failed: Option<Box<dyn Fn() + Send + Sync>>,
}

type OnAttempt = Box<dyn Fn(u32) + Send + Sync>;
type OnReconnectError = Box<dyn Fn(&ConnectError) + Send + Sync>;

/// The settings of a client, from the builder.
pub(crate) struct ClientSettings {
    pub(crate) engine: Engine,
    pub(crate) reconnection: ReconnectionSettings,
    pub(crate) limits: Limits,
    pub(crate) states: StateMap,
    pub(crate) parser: Option<Arc<dyn Parser>>,
    /// What the server learns of the errors of the program.
    pub(crate) errors: ErrorMap,
    pub(crate) on_error: Option<OnError>,
    pub(crate) hooks: ConnectionHooks,
}

impl Client {
    /// Starts to build a client for a server, for instance `http://localhost:3000`. `https`, `ws` and `wss` are allowed
    /// too. The path of the URL is the namespace of the first socket, and its query is sent with each request.
    pub fn builder(url: impl AsRef<str>) -> crate::Builder {
        crate::Builder::new(url.as_ref())
    }

    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self(handle)
    }

    /// Creates a client that does not connect yet, and spawns its driver.
    pub(crate) fn spawn(settings: ClientSettings) -> Self {
        let ClientSettings { engine, reconnection, limits, states, parser, errors, on_error, hooks } =
            settings;
        let mut machine = machine::Client::new(&limits.machine(), &DecoderLimits::default());
        if let Some(parser) = &parser {
            machine = machine.with_parser(Arc::clone(parser));
        }
        let state = State::new(machine, Reconnection::new(reconnection.clone()), parser.clone(), &limits);
        let shared = Arc::new(ClientShared {
            state: Mutex::new(state),
            limits,
            states,
            parser,
            errors,
            on_error,
            error_log_limit: ErrorLogLimit::new(),
            hooks,
            is_closed: watch::Sender::new(false),
        });
        platform::spawn(Driver::new(Arc::clone(&shared), engine, &reconnection));
        Self(Arc::new(Handle { shared }))
    }

    /// Returns the socket of a namespace, and connects it. Creates the socket, with default settings, if it does not
    /// exist yet. [`namespace`](Self::namespace) creates one with settings and handlers. A missing leading slash is
    /// added.
    #[must_use]
    pub fn socket(&self, namespace: impl AsRef<str>) -> Socket {
        self.namespace(namespace).connect()
    }

    /// Starts to build the socket of a namespace, with credentials, handlers and other settings of its own. It uses the
    /// connection of the client. A missing leading slash is added.
    pub fn namespace(&self, namespace: impl AsRef<str>) -> SocketBuilder {
        SocketBuilder::new(self.clone(), namespace.as_ref())
    }

    pub(crate) fn states(&self) -> &StateMap {
        &self.0.shared.states
    }

    /// Returns the socket of a namespace. Creates it with these settings if it does not exist.
    pub(crate) fn get_or_insert(&self, namespace: &str, settings: SocketSettings) -> Socket {
        let with_slash;
        let namespace = if namespace.starts_with('/') {
            namespace
        } else {
            with_slash = format!("/{namespace}");
            &with_slash
        };
        let inner = {
            let mut state = self.0.shared.state();
            match state.find(namespace) {
                Some(socket) => Arc::clone(socket),
                None => {
                    let (auth, retries) = (settings.auth.machine(), settings.retries);
                    let (shared, handle) = (Arc::clone(&self.0.shared), Arc::downgrade(&self.0));
                    state.insert(namespace, auth, retries, |key| {
                        Arc::new(SocketInner::new(key, namespace, shared, handle, settings))
                    })
                }
            }
        };
        if self.0.shared.is_closed() {
            inner.set_status(Status::Inactive(Some(ConnectError::Closed)));
        }
        Socket::new(inner, Arc::clone(&self.0))
    }

    /// Returns whether a connection to the server is open. Its sockets may not be connected yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.shared.state().session.is_some()
    }

    /// Returns the transport of the open connection.
    #[must_use]
    pub fn transport(&self) -> Option<engineio_proto::Transport> {
        self.0.shared.state().session.as_ref().map(crate::engine::Session::transport)
    }

    /// Closes the client for good: disconnects all sockets, sends what was passed to the open connection, closes it, and
    /// waits until the handlers have finished. Dropping the last handle does the same without waiting, and calls no
    /// more handlers.
    ///
    /// Events that are still buffered, because there is no connection, are dropped. Cancel safe: closing goes on if the
    /// future is dropped.
    pub async fn close(&self) {
        self.0.shared.start_closing(Phase::Closing { calls_handlers: true });
        let mut is_closed = self.0.shared.is_closed.subscribe();
        // The sender cannot be dropped, because this handle keeps it.
        let _ = is_closed.wait_for(|is_closed| *is_closed).await;
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<ClientShared> {
        &self.0.shared
    }
}

impl ClientShared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // No code of the program runs under the lock, so even a poisoned mutex holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the driver.
    pub(crate) fn notify(&self) {
        let driver = self.state().notify();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    fn start_closing(&self, phase: Phase) {
        let driver = {
            let mut state = self.state();
            if state.phase == Phase::Closed {
                return;
            }
            state.phase = phase;
            state.notify()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Records that the driver has ended, and tells everything that waits.
    pub(crate) fn finish(&self) {
        let sockets = {
            let mut state = self.state();
            state.phase = Phase::Closed;
            state.session = None;
            state.take_sockets()
        };
        for SocketEntry { socket, .. } in &sockets {
            socket.end_stream();
            socket.set_status(Status::Inactive(Some(ConnectError::Closed)));
        }
        self.is_closed.send_replace(true);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.start_closing(Phase::Closing { calls_handlers: false });
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientShared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
