//! The state that the server and its namespaces share, and the reporting of handler errors.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use engineio::WeakEngine;
use handlers::{ErrorMap, HandlerError, StateMap};
use net::metrics::{self, Series};
use net::{LogRateLimit, print_if_unlogged};
use socketio_proto::{Excerpt, Parser};

use super::{Server, SocketIoApplication};
use crate::connection::Handshake;
use crate::handler::ConnectError;
use crate::limits::Limits;
use crate::namespace::INVALID_NAMESPACE;
use crate::observer::{Observation, Observers};
use crate::recovery::RecoverySettings;
use crate::socket::{AckError, DeliveryCounters, EmitError, Socket};

/// The state that the server and all its namespaces share.
pub(crate) struct ServerShared {
    pub(crate) limits: Limits,
    pub(crate) deliveries: DeliveryCounters,
    pub(super) states: StateMap,
    /// What clients learn of the errors of the program.
    pub(crate) errors: ErrorMap,
    pub(crate) observers: Observers,
    /// `None` for the default parser.
    pub(crate) parser: Option<Arc<dyn Parser>>,
    pub(super) on_error: Option<OnError>,
    /// `None` if connection state recovery is disabled.
    pub(crate) recovery: Option<RecoverySettings>,
    /// These limit the log lines of errors if the program has no hook, or the hook panics. The errors that clients can
    /// cause have a limit of their own, so that they do not suppress the others.
    pub(super) internal_error_log: LogRateLimit,
    pub(super) client_error_log: LogRateLimit,
    /// The same for clients whose request to connect is refused.
    pub(super) refusal_log: LogRateLimit,
    /// The same for handlers that keep their thread.
    pub(crate) blocked_log: LogRateLimit,
    /// Set once the server is built.
    pub(super) server: OnceLock<WeakEngine<SocketIoApplication>>,
}

pub(super) type OnError = Box<dyn Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync>;

impl ServerShared {
    pub(crate) fn server(&self) -> Option<Server> {
        self.server.get()?.upgrade().map(Server)
    }

    pub(crate) fn states(&self) -> &StateMap {
        &self.states
    }

    /// Logs and reports that a client may not connect to a namespace.
    pub(crate) fn report_refused(
        &self,
        namespace: &str,
        handshake: &Handshake,
        socket: Option<&Socket>,
        error: &ConnectError,
    ) {
        self.refusal_log.try_log(|suppressed| {
            let (name, reason) = (Excerpt(namespace), Excerpt(error));
            let address = handshake.address().map(tracing::field::display);
            let hint = (error.message() == INVALID_NAMESPACE)
                .then_some("no namespace has this name: `Server::of` creates one, `Server::of_pattern` many");
            tracing::warn!(namespace = %name, address, error = %reason, hint, suppressed, "refused a client");
            if !self.observers.is_active() {
                let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                print_if_unlogged(
                    format_args!("refused a client in namespace `{name}`: {reason}{hint}"),
                    suppressed,
                );
            }
        });
        self.observers.notify(|| Observation::SocketRefused { namespace, handshake, socket, error });
    }

    /// Counts an error, and reports it to the observers and the error hook. Without a hook, logs it.
    pub(crate) fn report_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        if is_normal_end(error, socket, event) {
            return;
        }
        // Otherwise the client is told why, and has often caused it.
        let is_refusal = event.is_some() && !error.is_internal();
        metrics::count(if is_refusal { Series::EventsRefused } else { Series::Errors });
        if self.notify_of_error(error, socket, event) {
            return;
        }
        self.limit_of(error).try_log(|suppressed| {
            let (event, error) = (event.map(Excerpt), Excerpt(error));
            let name = event.as_ref().map(tracing::field::display);
            match &event {
                Some(event) if is_refusal => {
                    tracing::warn!(socket = socket.log_id(), event = name, %error, suppressed, "refused an event");
                    print_if_unlogged(format_args!("refused the event `{event}`: {error}"), suppressed);
                }
                _ => {
                    tracing::warn!(socket = socket.log_id(), event = name, %error, suppressed, "a handler failed");
                    let of_event = event.as_ref().map(|event| format!(" of `{event}`")).unwrap_or_default();
                    print_if_unlogged(format_args!("a handler{of_event} failed: {error}"), suppressed);
                }
            }
        });
    }

    /// Reports the error with which a middleware could not be called to the observers and the error hook. The client is
    /// refused, and counted and logged as such.
    pub(crate) fn report_middleware_error(&self, error: &HandlerError, socket: &Socket) {
        if !is_normal_end(error, socket, None) {
            self.notify_of_error(error, socket, None);
        }
    }

    /// Calls the observers and the error hook. Returns whether there is a hook.
    fn notify_of_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) -> bool {
        self.observers.notify(|| Observation::Error { error, socket, event });
        let Some(hook) = &self.on_error else { return false };
        // The hook is the program's code: if it panics, the connection must survive.
        if catch_unwind(AssertUnwindSafe(|| hook(error, socket, event))).is_err() {
            self.limit_of(error).try_log(|suppressed| {
                let (event, error) = (event.map(Excerpt), Excerpt(error));
                let event = event.as_ref().map(tracing::field::display);
                tracing::error!(socket = socket.log_id(), event, %error, suppressed, "the error hook panicked");
                print_if_unlogged(format_args!("the error hook panicked, for this error: {error}"), suppressed);
            });
        }
        true
    }

    fn limit_of(&self, error: &HandlerError) -> &LogRateLimit {
        if error.is_internal() { &self.internal_error_log } else { &self.client_error_log }
    }
}

/// Returns whether a handler failed only because its socket is disconnected.
fn is_normal_end(error: &HandlerError, socket: &Socket, event: Option<&str>) -> bool {
    let is_normal_end = socket.disconnect_reason().is_some() && is_caused_by_disconnect(error);
    if is_normal_end {
        let event = event.map(|event| tracing::field::display(Excerpt(event)));
        tracing::debug!(
            socket = socket.log_id(),
            event,
            "a handler ended because its socket is disconnected"
        );
    }
    is_normal_end
}

/// Returns whether the cause of the error is that an event was not sent, or an acknowledgement not received, because a
/// socket is disconnected.
fn is_caused_by_disconnect(error: &HandlerError) -> bool {
    let mut next = error.source().map(|cause| cause as &(dyn Error + 'static));
    while let Some(cause) = next {
        if let Some(EmitError::Disconnected) = cause.downcast_ref() {
            return true;
        }
        if let Some(AckError::Disconnected | AckError::NotSent(EmitError::Disconnected)) =
            cause.downcast_ref()
        {
            return true;
        }
        next = cause.source();
    }
    false
}
