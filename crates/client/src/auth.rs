//! The credentials of a socket.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use handlers::{BoxFuture, MaybeSend};
use serde::Serialize;
use socketio_proto::RawJson;
use socketio_proto::client::Auth;

use crate::error::AuthError;

/// The credentials that a function has supplied.
pub(crate) type AuthResult = Result<Option<RawJson<'static>>, AuthError>;

/// Where the credentials of a socket come from.
#[derive(Clone, Default)]
pub(crate) enum AuthSource {
    #[default]
    None,
    Static(RawJson<'static>),
    /// Called for each connection.
    Function(Arc<dyn Fn() -> BoxFuture<AuthResult> + Send + Sync>),
}

impl AuthSource {
    /// The same credentials for each connection. A value that cannot be encoded is an error of each attempt.
    pub(crate) fn from_value(value: &impl Serialize) -> Self {
        match RawJson::object(value) {
            Ok(json) => Self::Static(json),
            Err(error) => {
                let error = AuthError::new(error);
                Self::Function(Arc::new(move || Box::pin(std::future::ready(Err(error.clone())))))
            }
        }
    }

    /// Credentials that a function of the program supplies for each connection.
    pub(crate) fn from_function<F, Fut, T, E>(function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + MaybeSend + 'static,
        T: Serialize,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::Function(Arc::new(move || {
            let supplied = function();
            Box::pin(async move {
                let value = supplied.await.map_err(AuthError::new)?;
                RawJson::object(&value).map(Some).map_err(AuthError::new)
            })
        }))
    }

    /// Returns the credentials in the form of the state machine.
    pub(crate) fn machine(&self) -> Auth {
        match self {
            Self::None => Auth::Static(None),
            Self::Static(json) => Auth::Static(Some(json.clone())),
            Self::Function(_) => Auth::PerConnect,
        }
    }

    /// Starts to obtain the credentials of one connection.
    pub(crate) fn obtain(&self) -> BoxFuture<AuthResult> {
        match self {
            Self::None => Box::pin(std::future::ready(Ok(None))),
            Self::Static(json) => Box::pin(std::future::ready(Ok(Some(json.clone())))),
            Self::Function(function) => match catch_unwind(AssertUnwindSafe(|| function())) {
                Ok(obtained) => obtained,
                Err(panic) => Box::pin(std::future::ready(Err(AuthError::from_panic(&*panic)))),
            },
        }
    }
}

/// Hides the credentials.
impl fmt::Debug for AuthSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Static(_) => "Static",
            Self::Function(_) => "Function",
        })
    }
}
