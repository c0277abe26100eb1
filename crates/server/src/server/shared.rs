//! The state that the server and its namespaces share, and the reporting of handler errors.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use engineio::WeakEngine;
use handlers::{ErrorMap, HandlerError, StateMap};
use net::LogRateLimit;
use socketio_proto::{Excerpt, Parser};

use super::{Server, SocketIoApplication};
use crate::limits::Limits;
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
    /// Limits the log lines of errors if the program has no hook, or the hook panics.
    pub(super) error_log_limit: LogRateLimit,
    /// Set once the server is built.
    pub(super) server: OnceLock<WeakEngine<SocketIoApplication>>,
}

pub(super) type OnError = Box<dyn Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync>;

impl ServerShared {
    pub(crate) fn server(&self) -> Option<Server> {
        self.server.get()?.upgrade().map(Server)
    }

    /// Reports an error to the observers and the error hook. If the handler failed only because its socket is
    /// disconnected, this is a normal end.
    pub(crate) fn report_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        if socket.disconnect_reason().is_some() && is_caused_by_disconnect(error) {
            let event = event.map(|event| tracing::field::display(Excerpt(event)));
            tracing::debug!(
                socket = socket.log_id(),
                event,
                "a handler ended because its socket is disconnected"
            );
            return;
        }
        self.observers.notify(|| Observation::Error { error, socket, event });
        if let Some(hook) = &self.on_error
            // The hook is the program's code: if it panics, the connection must survive.
            && catch_unwind(AssertUnwindSafe(|| hook(error, socket, event))).is_ok()
        {
            return;
        }
        self.error_log_limit.try_log(|suppressed| {
            let (event, error) = (event.map(Excerpt), Excerpt(error));
            let event = event.as_ref().map(tracing::field::display);
            if self.on_error.is_some() {
                tracing::error!(socket = socket.log_id(), event, %error, suppressed, "the error hook panicked");
            } else {
                tracing::warn!(socket = socket.log_id(), event, %error, suppressed, "a handler failed");
            }
        });
    }
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
