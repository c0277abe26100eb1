//! Functions of the application that the engine calls while it handles requests.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use crate::connection_error::ConnectionError;
use crate::session_refusal::SessionRefusal;

/// Adds headers to responses, see [`Options::on_initial_headers`](crate::Options::on_initial_headers) and
/// [`Options::on_headers`](crate::Options::on_headers).
#[derive(Clone)]
pub struct HeadersHook(Arc<AddHeaders>);

type AddHeaders = dyn Fn(&mut HeaderMap, &Parts) + Send + Sync;

impl HeadersHook {
    /// Wraps a function that gets the headers of the response, and the request. It runs on the connection's task, so it
    /// must not block.
    pub fn new(hook: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, headers: &mut HeaderMap, request: &Parts) {
        (self.0)(headers, request);
    }
}

impl fmt::Debug for HeadersHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadersHook(..)")
    }
}

/// Is called for refused requests, see [`Options::on_connection_error`](crate::Options::on_connection_error).
#[derive(Clone)]
pub struct ConnectionErrorHook(Arc<ReportError>);

type ReportError = dyn Fn(&ConnectionError, &Parts) + Send + Sync;

impl ConnectionErrorHook {
    /// Wraps a function that gets the error, and the request. It runs on the connection's task, so it must not block.
    pub fn new(hook: impl Fn(&ConnectionError, &Parts) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Calls the function.
    pub fn call(&self, error: &ConnectionError, request: &Parts) {
        (self.0)(error, request);
    }
}

impl fmt::Debug for ConnectionErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionErrorHook(..)")
    }
}

/// Is called for clients that get no session, see [`Options::on_session_refused`](crate::Options::on_session_refused).
#[derive(Clone)]
pub struct SessionRefusedHook(Arc<ReportRefusal>);

type ReportRefusal = dyn Fn(SessionRefusal, &Parts) + Send + Sync;

impl SessionRefusedHook {
    /// Wraps a function that gets the reason, and the request. It runs on the connection's task, so it must not block.
    pub fn new(hook: impl Fn(SessionRefusal, &Parts) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Calls the function.
    pub fn call(&self, refusal: SessionRefusal, request: &Parts) {
        (self.0)(refusal, request);
    }
}

impl fmt::Debug for SessionRefusedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionRefusedHook(..)")
    }
}
